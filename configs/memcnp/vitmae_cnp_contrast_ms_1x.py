"""The official config of MemCNP-VIS (github.com/SCoulY/MemCNP-VIS), its published default: ViT-B, YouTube-VIS 2021."""
_base_ = ['../_base_/models/memcnp_vit_base.py', '../_base_/datasets/ytvis2021.py',
          '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py']

test_pipeline = [dict(type='ClipResize', scale=(960, 480), rule='mmcv')]
train_dataloader = dict(
    batch_size=4,                                   # on each of four GPUs
    dataset=dict(box_mode='inclusive', clip=dict(type='KeyReferencePairs', reference=5),
                 pipeline=[dict(type='ClipResize', scale=[(640, 360), (960, 480)], rule='mmcv',
                                multiscale_mode='range'),
                           dict(type='ClipFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(box_mode='inclusive', pipeline=test_pipeline))
test_dataloader = val_dataloader

# One rate and one weight decay for every parameter that is trained.
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    # mmengine reaches the full rate in iteration end - 1; the official warm-up reaches it in iteration 1000
    dict(type='LinearLR', start_factor=1 / 80, by_epoch=False, begin=0, end=1001),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=16)

# Training starts from MAE on ImageNet (README beside this file); another start: --cfg-options load_from=FILE.
load_from = 'models/mae_pretrain_vit_base.pth'
