"""The 16 epochs of InstanceFormer (its official scripts): AdamW with 1e-4, divided by 10 after epochs 4 and 10.

The backbone has 1e-5; sampling offsets and reference points have a tenth of the rate. Gradient norm at most 0.1.
"""
train_cfg = dict(type='EpochTrainLoop', max_epochs=16)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(
        backbone=dict(lr_mult=0.1), sampling_offsets=dict(lr_mult=0.1), reference_points=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=0.1, norm_type=2))

param_scheduler = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=16, milestones=[4, 10], gamma=0.1)]

# --auto-scale-lr: the learning rate above is meant for so many clips a step
auto_scale_lr = dict(enable=False, base_batch_size=16)
