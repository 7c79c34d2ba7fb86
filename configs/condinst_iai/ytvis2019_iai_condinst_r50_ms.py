"""The R50 config of YouTube-VIS 2019, trained at sizes from 649x360 to 960x480: one size a clip."""
_base_ = './ytvis2019_iai_condinst_r50.py'

train_dataloader = dict(dataset=dict(pipeline=[
    # the longest side is drawn from 649 .. 960 and the shortest from 360 .. 480, independently; 649 is as published
    dict(type='ClipResize', scale=[(649, 360), (960, 480)], rule='mmcv', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5, per_frame=True)]))
