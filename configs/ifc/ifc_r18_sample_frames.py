"""Pre-training of IFC on single frames of the sample set (T = 1), from scratch on two CPU cores."""
_base_ = ['../_base_/models/ifc_r50.py', '../_base_/datasets/sample.py', '../_base_/schedules/ifc_6k.py']

model = dict(
    # Objects are some 40 pixels wide: all maps are twice as fine as the published ones, by leaving out a stage.
    # From scratch, nothing is frozen; groups need no statistics of a batch.
    backbone=dict(depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2),
                  base_channels=32, stem_channels=32, frozen_stages=-1, norm_eval=False,
                  norm_cfg=dict(type='GN', num_groups=8, requires_grad=True)),
    # A video has at most five objects. The fewer queries, the more objects each of them learns from.
    in_channels=[32, 64, 128], encoder_stride=16, num_classes=8, num_frames=5,
    num_queries=8, num_memory=8, embed_dims=96, num_heads=4, ffn_dims=256, num_encoder_layers=2, num_groups=8,
    dropout=0., criterion=dict(class_weight=2.))

test_pipeline = [dict(type='ClipResize', scale=(288, 160), rule='detectron2')]
train_pipeline = [
    # Masks are learned soon, classes late: attention has to find the few tokens of an object first. In a close-up it has
    # many, and close-ups cost less.
    dict(type='ClipRandomChoice', prob=[0.4, 0.4, 0.2], branches=[
        [dict(type='ClipCrop', size=(108, 192), mode='absolute')],
        [dict(type='ClipCrop', size=(72, 128), mode='absolute')],
        [dict(type='ClipCrop', size=(48, 86), mode='absolute')]]),
    dict(type='ClipResize', scale=[(144, 80), (208, 116)], rule='mmcv', backend='cv2', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    # Colours tell objects apart, not classes: without this the classifier learns the few hundred colours by heart.
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
    dict(type='ClipBoxesFromMasks'),
]
train_dataloader = dict(
    batch_size=4, dataset=dict(clip=dict(type='SingleFrames'), pipeline=train_pipeline, redraw_empty=True))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# Two processes of 4 frames: tools/train.py ... --gpus 2
train_cfg = dict(_delete_=True, type='EpochTrainLoop', max_epochs=30, val_interval=30)
# Convolutions from scratch take a higher rate than attention.
optim_wrapper = dict(optimizer=dict(lr=2e-4), clip_grad=dict(max_norm=0.1),
                     paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=2.5))))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=300),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=30, T_max=30, eta_min=4e-5, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
auto_scale_lr = dict(base_batch_size=8)
