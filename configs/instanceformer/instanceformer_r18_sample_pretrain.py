"""InstanceFormer on single frames of the sample set, from scratch: the first half of instanceformer_r18_sample.py.

ResNet-18, narrow; three levels, 2 encoder and 4 decoder layers, 40 slots; 160x288 input. The learning rate is meant for
6 frames a step, in two processes.
"""
_base_ = ['../_base_/models/instanceformer_r50.py', '../_base_/datasets/sample.py',
          '../_base_/schedules/instanceformer_16e.py', '../_base_/default_runtime.py']

model = dict(
    # From scratch nothing is frozen; frames of a batch are too few for batch norm statistics, groups need none.
    backbone=dict(depth=18, base_channels=32, stem_channels=32, frozen_stages=-1, norm_eval=False,
                  norm_cfg=dict(type='GN', num_groups=8, requires_grad=True)),
    neck=dict(in_channels=[64, 128, 256], out_channels=128, num_outs=3),
    num_classes=8, class_units=None, num_queries=40, embed_dims=128, num_heads=8, num_levels=3, num_points=4,
    feedforward_dims=256, encoder_layers=2, decoder_layers=4, dropout=0.0, propagate_reference=None, num_candidates=30)

train_pipeline = [
    # Classes are learned sooner from close-ups, and close-ups cost less.
    dict(type='ClipRandomChoice', prob=[0.3, 0.4, 0.3], branches=[
        [], [dict(type='ClipCrop', size=(108, 192), mode='absolute')],
        [dict(type='ClipCrop', size=(72, 128), mode='absolute')]]),
    dict(type='ClipResize', scale=[(144, 81), (208, 117)], rule='detr', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    # Colours tell objects apart, not classes: without this the classifier learns the few hundred colours by heart.
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
test_pipeline = [dict(type='ClipResize', scale=(288, 160), rule='detr')]
train_dataloader = dict(
    batch_size=3,
    batch_sampler=dict(group_by_aspect=False, drop_last=True),
    dataset=dict(clip=dict(type='SingleFrames'), pipeline=train_pipeline, redraw_empty=True))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=8)
# From scratch a small transformer takes five times the published rate, and its sampling offsets have far to go.
optim_wrapper = dict(
    _delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4, fused=True),
    paramwise_cfg=dict(custom_keys=dict(sampling_offsets=dict(lr_mult=0.5), reference_points=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=1.0, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=8, T_max=8, eta_min=1e-4, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=6)
