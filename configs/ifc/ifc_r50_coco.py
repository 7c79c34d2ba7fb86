"""Pre-training of IFC on COCO images (T = 1), as published: 300 epochs, 8 processes of 4 images."""
_base_ = ['../_base_/models/ifc_r50.py', '../_base_/datasets/coco.py', '../_base_/schedules/ifc_6k.py']

model = dict(num_classes=80, num_frames=1)

train_pipeline = [
    dict(type='ClipCrop', size=(384, 600), mode='absolute_range'),
    dict(type='ClipResize', scale=[(1333, short) for short in range(480, 801, 32)], rule='detectron2'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipBoxesFromMasks'),
]
test_pipeline = [dict(type='ClipResize', scale=(1333, 800), rule='detectron2')]
# Images without an object are trained on, too: FILTER_EMPTY_ANNOTATIONS is False in the official config.
train_dataloader = dict(batch_size=4, sampler=dict(type='InfiniteClipSampler'),
                        dataset=dict(pipeline=train_pipeline, keep_empty=True))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=1108800)
val_interval = 100000
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=1108800, milestones=[739200], gamma=0.1)]
default_hooks = dict(checkpoint=dict(interval=10000))
auto_scale_lr = dict(base_batch_size=32)

# ImageNet, torchvision's first weights
load_from = 'models/resnet50.pth'
