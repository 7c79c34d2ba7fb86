"""InstanceFormer on clips of three frames of the sample set, after instanceformer_r18_sample_pretrain.py.

Features and memory tokens are carried over the frames. The reference points are not: the published rule moves them all
towards the middle of the image, which a model that was trained on single frames first has to get used to.
"""
_base_ = './instanceformer_r18_sample_pretrain.py'

model = dict(memory=dict(num_tokens=10, num_frames=3))
train_pipeline = [
    dict(type='ClipResize', scale=[(240, 134), (336, 186)], rule='detr', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(batch_size=1, dataset=dict(
    clip=dict(_delete_=True, type='NeighbourClips', num_frames=3), pipeline=train_pipeline))

train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=2, T_max=2, eta_min=4e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=2)
load_from = 'work_dirs/instanceformer_r18_sample_pretrain/epoch_10.pth'
