"""The training of PMT and LVMT (their official configs): AdamW, 1e-4, decay 0.05 on all that is trained, 8 clips a step.

6,000 steps of warm-up, then down to 0 as (1 - share of the way) ** 0.9. Gradients are not clipped. Batch norms count the
tokens of all processes. Published in mixed precision: --amp.
"""
_base_ = ['./videomt.py']

max_iters = 60000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(paramwise_cfg=dict(decay=1.))
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, warmup=(6000, 0), power=0.9)]
sync_bn = 'torch'
