"""SipMask-VIS on the sample set: ResNet-18, narrow head, 160x288 input; trains from scratch on two CPU cores."""
_base_ = ['../_base_/models/sipmask_r50.py', '../_base_/datasets/sample.py', '../_base_/schedules/schedule_1x.py',
          '../_base_/default_runtime.py']

model = dict(
    data_preprocessor=dict(_delete_=True, type='ClipPreprocessor'),
    # From scratch, nothing is frozen; frames of a batch are too few for batch norm statistics, groups need none.
    backbone=dict(depth=18, base_channels=32, stem_channels=32, frozen_stages=-1, norm_eval=False, style='pytorch',
                  num_stages=3, out_indices=(0, 1, 2), strides=(1, 2, 2), dilations=(1, 1, 1),
                  norm_cfg=dict(type='GN', num_groups=8, requires_grad=True)),
    # Objects are 30 to 90 pixels large: three levels, from stride 4 on, see them all.
    neck=dict(_delete_=True, type='mmdet.FPN', in_channels=[32, 64, 128], out_channels=64, num_outs=3),
    bbox_head=dict(num_classes=8, in_channels=64, feat_channels=64, num_groups=8, strides=[4, 8, 16],
                   regress_ranges=[(-1, 24), (24, 48), (48, 1e8)], num_basis=16, mask_channels=128, basis_upsample=2,
                   track_channels=128))

test_pipeline = [dict(type='ClipResize', scale=(288, 160), rule='mmcv')]
train_pipeline = [
    dict(type='ClipResize', scale=[(240, 134), (336, 186)], rule='mmcv', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    # Colours tell objects apart, not classes: without this the classifier learns the few hundred colours by heart.
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
    dict(type='ClipClampBoxes'),
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(box_mode='inclusive', clip=dict(type='KeyReferencePairs', reference='same_video'),
                 pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=5, val_interval=5)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=6e-4, weight_decay=0.05),
                     clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=5, T_max=5, eta_min=6e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
