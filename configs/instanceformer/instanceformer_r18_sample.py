"""InstanceFormer on clips of the sample set, after instanceformer_r18_sample_looks.py.

Features are carried over the frames, with what the last box was, and every slot starts where the frame looks like what
it holds. (The published rule moves all reference points towards the middle of the image, which takes a long training to
get used to.) The frames are far enough apart for objects to have changed places, as they do where the clock of a video
jumps.
"""
_base_ = './instanceformer_r18_sample_pretrain.py'

# As published, the stem and the first stage of the backbone learn no more.
model = dict(backbone=dict(frozen_stages=1), propagate_reference='search', carry_places=True)
train_pipeline = [
    dict(type='ClipResize', scale=[(144, 81), (256, 144)], rule='detr', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(batch_size=2, dataset=dict(
    clip=dict(_delete_=True, type='RandomClips', num_frames=3, range=8, replace=False, repeats=12),
    pipeline=train_pipeline))

train_cfg = dict(max_epochs=2, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=2, T_max=2, eta_min=1e-5, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
load_from = 'work_dirs/instanceformer_r18_sample_looks/epoch_1.pth'
