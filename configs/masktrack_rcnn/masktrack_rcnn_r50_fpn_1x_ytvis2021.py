"""MaskTrackRCNN on YouTube-VIS 2021 (40 classes): the recipe of 2019 with the classes and files of that set."""
_base_ = ['../_base_/models/masktrack_rcnn_r50_fpn.py', '../_base_/datasets/ytvis2021.py',
          '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py']

model = dict(bbox_head=dict(num_classes=40), mask_head=dict(num_classes=40))
test_pipeline = [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(box_mode='inclusive', clip=dict(type='KeyReferencePairs', reference='same_video'),
                 pipeline=[dict(type='ClipResize', scale=(640, 360), rule='mmcv'), dict(type='ClipFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

load_from = 'models/mask_rcnn_r50_fpn_1x_20181010-069fa190.pth'
