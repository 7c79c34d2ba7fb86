"""CondInst+IAI on your own videos: ResNet-18 with ImageNet weights, small enough to fine-tune on two CPU cores.

Copy this file, or change it on the command line:
    python tools/train.py condinst_iai_r18_custom.py --load-from models/resnet18.pth --validate \\
        --cfg-options train_dataloader.dataset.ann_file=A.json train_dataloader.dataset.img_prefix=FRAMES ...
"""
_base_ = ['../_base_/models/condinst_iai_r50.py', '../_base_/datasets/sample.py',
          '../_base_/schedules/iai_12e.py', '../_base_/default_runtime.py']

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 40                # as many as the annotation files have categories
num_slots = 20                  # more than a video has objects: two slots are for the system itself
scale = (384, 216)              # longest and shortest side of the network input

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

train_cfg = dict(max_epochs=20)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.05),
                     clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=20, milestones=[14, 18], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=2)
