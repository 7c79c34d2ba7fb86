"""The 12 epochs of CondInst+IAI (Zhu et al., Instance As Identity, ECCV 2022; its official configs).

AdamW, learning rate 1e-4 and weight decay 1e-4; for every parameter with "backbone" in its name, the projector behind
the backbone among them, a tenth of that rate and nine tenths of that decay. Divided by 10 after epochs 8 and 11; linear
warm-up over 500 iterations from a thousandth of the rate.
"""
train_cfg = dict(type='EpochTrainLoop', max_epochs=12)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1, decay_mult=0.9))))

param_scheduler = [
    # mmengine reaches the full rate in iteration end - 1; the official warm-up reaches it in iteration 500
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]

# --auto-scale-lr: the learning rate above is meant for so many clips a step
auto_scale_lr = dict(enable=False, base_batch_size=8)
