"""MaskTrackRCNN on the sample set: ResNet-18, narrow heads, 160x288 input; trains from scratch on two CPU cores."""
_base_ = ['../_base_/models/masktrack_rcnn_r50_fpn.py', '../_base_/datasets/sample.py',
          '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py']

model = dict(
    # From scratch, nothing is frozen; frames of a batch are too few for batch norm statistics, groups need none.
    backbone=dict(depth=18, base_channels=32, stem_channels=32, frozen_stages=-1, norm_eval=False,
                  norm_cfg=dict(type='GN', num_groups=8, requires_grad=True)),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=5),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_scales=[4]),
    bbox_roi_extractor=dict(finest_scale=28),
    bbox_head=dict(num_classes=8, in_channels=64, fc_channels=256),
    track_head=dict(in_channels=64, fc_channels=256),
    mask_roi_extractor=dict(finest_scale=28),
    mask_head=dict(num_classes=8, in_channels=64, conv_channels=64, num_convs=2))

test_pipeline = [dict(type='ClipResize', scale=(288, 160), rule='mmcv')]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(box_mode='inclusive', clip=dict(type='KeyReferencePairs', reference='same_video'),
                 pipeline=[dict(type='ClipResize', scale=(288, 160), rule='mmcv'), dict(type='ClipFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.01),
                     clip_grad=dict(max_norm=10, norm_type=2))
