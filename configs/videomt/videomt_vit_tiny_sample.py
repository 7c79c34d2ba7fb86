"""VidEoMT on clips of the sample set, from the model of ../eomt/eomt_vit_tiny_sample.py."""
_base_ = ['../_base_/models/videomt.py', '../_base_/datasets/sample_small.py', '../_base_/schedules/videomt.py']

max_iters = 1600
model = dict(
    data_preprocessor=dict(pad_size_divisor=8),
    backbone=dict(embed_dims=128, depth=6, num_heads=2, patch_size=8, stem='conv', grid=(14, 25), cut_position=True,
                  num_registers=0, layer_scale=1.),
    num_classes=8, num_queries=10, norm_queries=True, zero_updater=True,
    criterion=dict(no_object_weight=1., num_points=1400, oversample=2., importance=0.5))

train_dataloader = dict(batch_size=1, dataset=dict(clip=dict(type='ConsecutiveClips', num_frames=5)))

# Two processes of 1 clip: tools/train.py ... --gpus 2 --amp
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', clip_grad=dict(max_norm=1.),
                     optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=300),
    dict(type='PolyLR', by_epoch=False, begin=300, end=max_iters, power=0.9, eta_min=3e-6),
]
default_hooks = dict(checkpoint=dict(interval=400))
auto_scale_lr = dict(base_batch_size=2)
load_from = 'work_dirs/eomt_vit_tiny_sample/iter_2400.pth'
