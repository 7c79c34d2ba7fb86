"""InstanceFormer on clips of five frames of the sample set, after instanceformer_r18_sample_pretrain.py.

Features and memory tokens are carried over the frames, and every slot starts where its box was. (The published rule moves
all reference points towards the middle of the image, which takes a long training to get used to.) The frames are drawn from
eleven in a row: a third of the clips then holds a jump of the clock, after which objects may have changed places.
"""
_base_ = './instanceformer_r18_sample_pretrain.py'

# As published, the stem and the first stage of the backbone learn no more.
model = dict(backbone=dict(frozen_stages=1), memory=dict(num_tokens=10, num_frames=3), propagate_reference='box')
train_pipeline = [
    dict(type='ClipResize', scale=[(176, 99), (272, 153)], rule='detr', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(batch_size=2, dataset=dict(
    clip=dict(_delete_=True, type='RandomClips', num_frames=5, range=5, replace=False, repeats=20),
    pipeline=train_pipeline))

train_cfg = dict(max_epochs=3, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=3, T_max=3, eta_min=6e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
load_from = 'work_dirs/instanceformer_r18_sample_pretrain/epoch_8.pth'
