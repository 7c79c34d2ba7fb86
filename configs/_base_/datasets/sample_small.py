# The sample set in frames of 200 x 112, for small vision transformers: close-ups now and then, and any colours (they
# tell objects apart, not classes).
_base_ = './sample.py'

test_pipeline = [dict(type='ClipResize', scale=(200, 112), rule='mmcv', backend='cv2')]
train_pipeline = [
    dict(type='ClipRandomChoice', prob=[0.4, 0.3, 0.3], branches=[
        [], [dict(type='ClipCrop', size=(133, 240), mode='absolute')],
        [dict(type='ClipCrop', size=(105, 189), mode='absolute')]]),
    dict(type='ClipResize', scale=(200, 112), rule='mmcv', backend='cv2'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, redraw_empty=True))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
