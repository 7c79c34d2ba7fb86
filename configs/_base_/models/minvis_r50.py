"""MinVIS with ResNet-50: every number of the published models; a config of a data set says how many classes there are."""
_base_ = ['./mask2former_r50.py']

model = dict(
    _delete_=True, type='MinVIS',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=32),
    segmenter={{_base_.segmenter}},
    # entries of a video in the results
    num_records=10,
    # 'official' teaches an object that the last frame of a clip lacks as the published code does, see the README
    label_rule='annotated',
    # what a source without end shows
    live_score=0.3,
    criterion=dict(class_weight=2., mask_weight=5., dice_weight=5., no_object_weight=0.1, num_points=12544))
