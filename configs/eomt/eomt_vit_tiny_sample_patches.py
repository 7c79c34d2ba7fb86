"""Classes first: the small transformer of eomt_vit_tiny_sample.py taught what each patch of close-ups of the sample set
shows, from scratch on two CPU cores."""
_base_ = ['../_base_/datasets/sample.py', '../_base_/schedules/eomt.py']

model = dict(
    type='PatchClassifier',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=8),
    # Objects are some 30 pixels wide in frames of 112 x 200: patches are half as large as the published ones, by
    # convolutions, and a close-up takes a part of the position table, not all of it squeezed.
    backbone=dict(type='ViT', embed_dims=128, depth=6, num_heads=2, patch_size=8, stem='conv', position='learned',
                  grid=(14, 25), cut_position=True, num_registers=0, layer_scale=1.),
    num_classes=8)

train_pipeline = [
    dict(type='ClipRandomChoice', branches=[
        [dict(type='ClipCrop', size=(side, side), mode='absolute')] for side in (49, 59, 70, 82, 94, 107)]),
    dict(type='ClipResize', scale=(64, 64), rule='mmcv', backend='cv2'),
    dict(type='ClipFlip', prob=0.5),
    # Colours tell objects apart, not classes.
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(
    batch_size=24, dataset=dict(clip=dict(type='SingleFrames'), pipeline=train_pipeline, redraw_empty=True))

# Two processes of 24 close-ups: tools/train.py ... --gpus 2 --amp
max_iters = 4000
train_cfg = dict(max_iters=max_iters)
val_cfg = test_cfg = val_dataloader = test_dataloader = val_evaluator = test_evaluator = None
optim_wrapper = dict(_delete_=True, type='OptimWrapper', clip_grad=dict(max_norm=1.),
                     optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=max_iters, T_max=max_iters - 200, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(interval=1000))
auto_scale_lr = dict(base_batch_size=48)
