"""MinVIS's training: AdamW, 1e-4, backbone a tenth, 32 frames a step, 6,000 steps on YouTube-VIS 2019.

Weight decay 0.05, not on norms, embeddings and tables of positions; no warm-up; divided by 10 after two thirds. Gradient
norm at most 0.01. Published in mixed precision: --amp.
"""
_base_ = ['./mask2former.py']

max_iters = 6000
val_interval = 1000             # iterations, with --validate

train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[4000], gamma=0.1)]

default_hooks = dict(checkpoint=dict(interval=1000))

# --auto-scale-lr: the learning rate above is meant for so many frames a step
auto_scale_lr = dict(base_batch_size=32)
