"""MemCNP-VIS on the sample set: ResNet-18, narrow head, 160x288 input; trains from scratch on two CPU cores."""
_base_ = ['../_base_/models/memcnp_vit_base.py', '../_base_/datasets/sample.py',
          '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py']

model = dict(
    # From scratch, nothing is frozen; frames of a batch are too few for batch norm statistics, groups need none.
    # Objects are 30 to 90 pixels large: three levels, strides 8 to 32, see them all.
    backbone=dict(_delete_=True, type='mmdet.ResNet', depth=18, base_channels=48, stem_channels=48, num_stages=3,
                  strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(1, 2), frozen_stages=-1, norm_eval=False,
                  norm_cfg=dict(type='GN', num_groups=8, requires_grad=True)),
    neck=dict(in_channels=[96, 192], out_channels=64, num_outs=3),
    bbox_head=dict(num_classes=8, in_channels=64, feat_channels=64, num_groups=8, num_slots=64, strides=[8, 16, 32]))

test_pipeline = [dict(type='ClipResize', scale=(288, 160), rule='mmcv')]
train_pipeline = [
    dict(type='ClipResize', scale=[(240, 134), (336, 186)], rule='mmcv', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    # Colours tell objects apart, not classes: without this the classifier learns the few hundred colours by heart.
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(box_mode='inclusive', clip=dict(type='KeyReferencePairs', reference=5), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=7, val_interval=7)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=6e-4, weight_decay=0.05),
                     clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=7, T_max=7, eta_min=6e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
