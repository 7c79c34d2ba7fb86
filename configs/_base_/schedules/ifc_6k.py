"""IFC's fine-tuning on videos (Hwang et al., NeurIPS 2021; its official configs): 6,000 steps of 16 clips.

AdamW, learning rate 1e-4 (backbone 1e-5), divided by 10 after 4,000 steps, no warm-up; weight decay 1e-4 on every
parameter, norms and embeddings included; gradient norm at most 0.01.
"""
_base_ = ['../default_runtime.py']

train_cfg = dict(type='IterTrainLoop', max_iters=6000)
val_interval = 1000             # iterations, with --validate
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=0.01, norm_type=2))

param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=6000, milestones=[4000], gamma=0.1)]

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1000, max_keep_ckpts=3))
log_processor = dict(by_epoch=False)

# --auto-scale-lr: the learning rate above is meant for so many clips a step
auto_scale_lr = dict(enable=False, base_batch_size=16)
