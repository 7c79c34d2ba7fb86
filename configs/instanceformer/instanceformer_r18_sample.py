"""InstanceFormer on clips of six frames of the sample set, after instanceformer_r18_sample_pretrain.py.

Features and memory tokens are carried over the frames, and every slot starts where its box was. (The published rule moves
all reference points towards the middle of the image, which takes a long training to get used to.) Frames follow each
other as they do in inference.
"""
_base_ = './instanceformer_r18_sample_pretrain.py'

model = dict(memory=dict(num_tokens=10, num_frames=3), propagate_reference='box')
train_pipeline = [
    dict(type='ClipResize', scale=[(240, 134), (336, 186)], rule='detr', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
]
train_dataloader = dict(batch_size=1, dataset=dict(
    clip=dict(_delete_=True, type='GapClips', num_frames=6, max_gap=1, repeats=10), pipeline=train_pipeline))

train_cfg = dict(max_epochs=8, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=8, T_max=8, eta_min=4e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=2)
load_from = 'work_dirs/instanceformer_r18_sample_pretrain/epoch_10.pth'
