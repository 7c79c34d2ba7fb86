"""SipMask-VIS with ResNet-50: every number of the official config, for 40 classes."""
model = dict(
    type='SipMaskVIS',
    # The weights are Caffe's: blue, green, red, and no division by a deviation.
    data_preprocessor=dict(type='ClipPreprocessor', mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0],
                           bgr_to_rgb=False, pad_size_divisor=32),
    backbone=dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                  norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='caffe'),
    # P6 and P7 follow from the outputs; only the one before P7 passes a ReLU.
    neck=dict(type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1, num_outs=5,
              add_extra_convs='on_output', relu_before_extra_convs=True),
    bbox_head=dict(type='SipMaskHead', num_classes=40, in_channels=256, feat_channels=256, stacked_convs=3,
                   strides=[8, 16, 32, 64, 128],
                   regress_ranges=[(-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)], center_sample_radius=1.5,
                   # jitter of the reference boxes in training: of their centres, of their sizes
                   aug_ref_bbox_param=[0.05, 0.05]),
    tracker=dict(type='AssociationTracker', match_coeff=[1.0, 2.0, 10.0], max_age=None),
    test_cfg=dict(nms_pre=200, score_thr=0.03, nms=dict(iou_thr=0.5), max_per_img=10, mask_thr_binary=0.5))
