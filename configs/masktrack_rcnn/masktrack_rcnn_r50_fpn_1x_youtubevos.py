"""The official config of MaskTrackRCNN (github.com/youtubevos/MaskTrackRCNN), under its published name."""
_base_ = ['../_base_/models/masktrack_rcnn_r50_fpn.py', '../_base_/datasets/ytvis2019.py',
          '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py']

test_pipeline = [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(box_mode='inclusive', clip=dict(type='KeyReferencePairs', reference='same_video'),
                 pipeline=[dict(type='ClipResize', scale=(640, 360), rule='mmcv'), dict(type='ClipFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

# Training starts from Mask R-CNN on COCO (README beside this file); another start: --cfg-options load_from=FILE.
load_from = 'models/mask_rcnn_r50_fpn_1x_20181010-069fa190.pth'
