"""The 12 epochs of MaskTrackRCNN (Yang et al., Video Instance Segmentation, ICCV 2019; its official configs).

8 pairs of frames a step: SGD with learning rate 0.005, divided by 10 after epochs 8 and 11, gradient norm at most 35, a
linear warm-up over 500 iterations from 1/3 of the learning rate.
"""
train_cfg = dict(type='EpochTrainLoop', max_epochs=12)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=0.0001),
    clip_grad=dict(max_norm=35, norm_type=2))

param_scheduler = [
    # mmengine reaches the full rate in iteration end - 1; the official warm-up reaches it in iteration 500
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]

# --auto-scale-lr: the learning rate above is meant for so many samples a step
auto_scale_lr = dict(enable=False, base_batch_size=8)
