"""MaskTrackRCNN on your own videos: ResNet-18 with ImageNet weights, small enough to fine-tune on two CPU cores.

Copy this file, or change it on the command line: what is computed from the first five settings follows them.
    python tools/train.py masktrack_rcnn_r18_fpn_custom.py --load-from models/resnet18.pth --validate \\
        --cfg-options data_root=FOLDER "scale=(640,360)" lr=1e-4 max_epochs=30
"""
_base_ = ['../_base_/models/masktrack_rcnn_r50_fpn.py', '../_base_/datasets/sample.py',
          '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py']

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (384, 216)              # longest and shortest side of the network input
lr = 2e-4
max_epochs = 20

model = dict(
    # The running statistics of ImageNet stay: a batch is too small for better ones.
    backbone=dict(depth=18, frozen_stages=1, norm_eval=True),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, num_outs=5),
    rpn_head=dict(in_channels=64, feat_channels=64),
    bbox_head=dict(num_classes=num_classes, in_channels=64, fc_channels=512),
    track_head=dict(in_channels=64, fc_channels=512),
    mask_head=dict(num_classes=num_classes, in_channels=64, conv_channels=64, num_convs=2),
    train_cfg=dict(rcnn=dict(sampler=dict(num=64, pos_fraction=0.5))))

test_pipeline = [dict(type='ClipResize', scale=scale, rule='mmcv')]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(type='VISDataset', data_root=data_root, box_mode='inclusive',
                 clip=dict(type='KeyReferencePairs', reference='same_video'),
                 pipeline=[dict(type='ClipResize', scale=scale, rule='mmcv'), dict(type='ClipFlip', prob=0.5)]))
val_dataloader = dict(
    dataset=dict(type='VISDataset', data_root=data_root, box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=lr, weight_decay=0.05),
                     clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, gamma=0.1,
         milestones=[max(1, max_epochs * 7 // 10), max(1, max_epochs * 9 // 10)]),
]
auto_scale_lr = dict(base_batch_size=4)
