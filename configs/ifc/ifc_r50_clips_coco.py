"""Pre-training of IFC on pseudo-clips of COCO images: an image five times, each time augmented anew.

The official code can do this (more than one frame on COCO), but no published model is trained so; the length is ours.
"""
_base_ = './ifc_r50_coco.py'

model = dict(num_frames=5)
train_pipeline = [
    dict(type='ClipRepeat', num_frames=5),
    dict(type='ClipCrop', size=(384, 600), mode='absolute_range', per_frame=True),
    dict(type='ClipResize', scale=[(1333, 360), (1333, 480)], rule='detectron2', per_frame=True),
    dict(type='ClipFlip', prob=0.5, per_frame=True),
    dict(type='ClipBoxesFromMasks'),
    dict(type='ClipPad', value=(104, 116, 124)),      # the mean, so about 0 after normalising
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_iters=60000)
val_interval = 10000
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=60000, milestones=[40000], gamma=0.1)]
auto_scale_lr = dict(base_batch_size=16)
load_from = 'models/ifc_r50_coco.pth'
