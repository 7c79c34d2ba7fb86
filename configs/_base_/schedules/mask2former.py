"""Mask2Former's training on COCO instances (its official configs): AdamW, 1e-4, 16 images a step, 50 epochs.

The backbone learns with a tenth of it. Weight decay 0.05, not on norms, embeddings and tables of positions. No warm-up;
divided by 10 after nine tenths and again after 0.963 of the steps. Gradient norm at most 0.01.
Published in mixed precision: --amp.
"""
_base_ = ['../default_runtime.py']

max_iters = 368750
val_interval = 5000             # iterations, with --validate

train_cfg = dict(type='IterTrainLoop', max_iters=max_iters)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper', constructor='Detectron2Groups', paramwise_cfg=dict(backbone_lr_mult=0.1),
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05), clip_grad=dict(max_norm=0.01, norm_type=2))

param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[327778, 355092], gamma=0.1)]

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=3))
log_processor = dict(by_epoch=False)

# --auto-scale-lr: the learning rate above is meant for so many images a step
auto_scale_lr = dict(enable=False, base_batch_size=16)
