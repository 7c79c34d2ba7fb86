"""InstanceFormer on the frames of sample clips as images, between instanceformer_r18_sample_pretrain.py and
instanceformer_r18_sample.py: slots learn what an object looks like.

The frames of a clip are images of their own: nothing is carried, each has its own matching. What the slots hold of one
object in different frames is pulled together, and apart from that of other objects.
"""
_base_ = './instanceformer_r18_sample_pretrain.py'

model = dict(backbone=dict(frozen_stages=1), separate_frames=True)
train_pipeline = [
    dict(type='ClipResize', scale=[(144, 81), (240, 135)], rule='detr', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(batch_size=2, dataset=dict(
    clip=dict(_delete_=True, type='RandomClips', num_frames=3, range=20, replace=False, repeats=20),
    pipeline=train_pipeline))

train_cfg = dict(max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=1, T_max=1, eta_min=1e-4, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
load_from = 'work_dirs/instanceformer_r18_sample_pretrain/epoch_8.pth'
