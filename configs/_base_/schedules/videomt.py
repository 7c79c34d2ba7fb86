"""VidEoMT's training (its official configs): AdamW, 1e-4, decay 0.05 on every parameter, 8 clips a step.

Block i of L of the transformer learns with 0.6 ** (L - 1 - i) of the rate. Everything outside it warms up in 500 steps,
the transformer in the 1,000 after them; then both fall to 0 as (1 - share of the way) ** 0.9. Gradients are not clipped.
Published in mixed precision: --amp.
"""
_base_ = ['../default_runtime.py']

max_iters = 40000
val_interval = 5000             # iterations, with --validate

train_cfg = dict(type='IterTrainLoop', max_iters=max_iters)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper', constructor='LayerDecayGroups', paramwise_cfg=dict(decay=0.6),
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05))

param_scheduler = [dict(type='TwoStagePoly', end=max_iters, warmup=(500, 1000), power=0.9)]

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=3))
log_processor = dict(by_epoch=False)

# --auto-scale-lr: the learning rate above is meant for so many clips a step
auto_scale_lr = dict(enable=False, base_batch_size=8)
