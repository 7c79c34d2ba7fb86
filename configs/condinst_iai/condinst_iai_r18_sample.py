"""CondInst+IAI on the sample set: three stages of ResNet-18, narrow heads; trains from scratch on two CPU cores."""
_base_ = ['../_base_/models/condinst_iai_r50.py', '../_base_/datasets/sample.py',
          '../_base_/schedules/iai_12e.py', '../_base_/default_runtime.py']

norm_cfg = dict(type='GN', num_groups=8)
model = dict(
    # From scratch, nothing is frozen; the frames of a batch are too few for batch norm statistics, groups need none.
    # Objects are some 60 pixels wide: the memory looks at a map of stride 16, which three stages give.
    backbone=dict(depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2),
                  base_channels=48, stem_channels=48, frozen_stages=-1, norm_eval=False, norm_cfg=norm_cfg),
    in_channels=192, fused_channels=384,
    lstt=dict(max_obj_num=12, channels=128, feedforward=256, ffn_groups=8, id_stride=16),
    neck=dict(in_channels=[48, 96, 384], out_channels=64, num_outs=3),
    bbox_head=dict(num_classes=8, max_obj_num=12, in_channels=64, feat_channels=64, stacked_convs=2,
                   mask_branch_channels=32, mask_branch_convs=2, norm_cfg=norm_cfg, mask_norm_cfg=norm_cfg,
                   strides=(8, 16, 32), regress_ranges=((-1, 32), (32, 64), (64, 1e8))),
    # Else only the slots of the first few objects would ever be trained.
    shuffle_identities=True)

test_pipeline = [dict(type='ClipResize', scale=(288, 160), rule='mmcv')]
train_pipeline = [
    dict(type='ClipResize', scale=[(224, 124), (304, 168)], rule='mmcv', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    # Colours tell objects apart, not classes: without this the classifier learns the few hundred colours by heart.
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(clip=dict(type='GapClips', num_frames=4, max_gap=3, repeats=25), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=5)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=6e-4, weight_decay=0.05),
                     clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=300),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=5, T_max=5, eta_min=6e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
