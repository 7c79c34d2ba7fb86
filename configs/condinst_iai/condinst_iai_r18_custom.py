"""CondInst+IAI on your own videos: ResNet-18 with ImageNet weights, small enough to fine-tune on two CPU cores.

Copy this file, or change it on the command line: what is computed from the first five settings follows them.
    python tools/train.py condinst_iai_r18_custom.py --load-from models/resnet18.pth --validate \\
        --cfg-options data_root=FOLDER "scale=(640,360)" lr=1e-4 max_epochs=30
"""
_base_ = ['../_base_/models/condinst_iai_r50.py', '../_base_/datasets/sample.py',
          '../_base_/schedules/iai_12e.py', '../_base_/default_runtime.py']

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (384, 216)              # longest and shortest side of the network input
lr = 2e-4
max_epochs = 20
num_slots = 20                  # more than a video has objects: two slots are for the system itself

norm_cfg = dict(type='GN', num_groups=8)
model = dict(
    # The running statistics of ImageNet stay: a batch is too small for better ones. Frames are small, so the memory
    # looks at the map of stride 16, that of the third stage; the fourth is left out.
    backbone=dict(depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2),
                  frozen_stages=1, norm_eval=True),
    in_channels=256, fused_channels=512,
    lstt=dict(max_obj_num=num_slots, channels=128, feedforward=512, ffn_groups=16, id_stride=16),
    neck=dict(in_channels=[64, 128, 512], out_channels=64),
    bbox_head=dict(num_classes=num_classes, max_obj_num=num_slots, in_channels=64, feat_channels=64, stacked_convs=2,
                   mask_branch_channels=32, mask_branch_convs=2, norm_cfg=norm_cfg, mask_norm_cfg=norm_cfg,
                   # a little over half of the official ones, as the frames are that much smaller
                   regress_ranges=((-1, 40), (40, 80), (80, 160), (160, 320), (320, 1e8))),
    shuffle_identities=True)

test_pipeline = [dict(type='ClipResize', scale=scale, rule='mmcv')]
train_dataloader = dict(
    batch_size=2,
    dataset=dict(type='VISDataset', data_root=data_root,
                 clip=dict(type='GapClips', num_frames=4, max_gap=3, repeats=10),
                 pipeline=[dict(type='ClipResize', scale=scale, rule='mmcv'), dict(type='ClipFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=lr, weight_decay=0.05),
                     clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, gamma=0.1,
         milestones=[max(1, max_epochs * 7 // 10), max(1, max_epochs * 9 // 10)]),
]
auto_scale_lr = dict(base_batch_size=2)
