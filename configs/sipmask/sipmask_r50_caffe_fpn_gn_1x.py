"""SipMask-VIS on YouTube-VIS 2019, one scale: the official config, under its published name.

8 pairs of frames on each of 4 GPUs. SGD with learning rate 0.005, divided by 10 after epochs 8 and 11; a linear warm-up
over 1000 iterations from 1/80 of the learning rate; the gradient is not clipped.
"""
_base_ = ['../_base_/models/sipmask_r50.py', '../_base_/datasets/ytvis2019.py', '../_base_/schedules/schedule_1x.py',
          '../_base_/default_runtime.py']

test_pipeline = [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]
train_pipeline = [
    dict(type='ClipResize', scale=(640, 360), rule='mmcv'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipClampBoxes'),
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(box_mode='inclusive', clip=dict(type='KeyReferencePairs', reference='same_video'),
                 pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    _delete_=True, type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=0.0001),
    # Biases of convolutions learn twice as fast and do not decay. The official rule knows norms by their names, bn and
    # gn, so it takes the bias of feat_align.norm for one of a convolution.
    paramwise_cfg=dict(bias_lr_mult=2., bias_decay_mult=0., norm_decay_mult=1.,
                       custom_keys={'feat_align.norm.bias': dict(lr_mult=2., decay_mult=0.)}))
param_scheduler = [
    # mmengine reaches the full rate in iteration end - 1; the official warm-up reaches it in iteration 1000
    dict(type='LinearLR', start_factor=1 / 80, by_epoch=False, begin=0, end=1001),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=32)

# Training starts from SipMask on COCO (README beside this file); another start: --cfg-options load_from=FILE.
load_from = 'models/sipmask_r50_caffe_1x.pth'
