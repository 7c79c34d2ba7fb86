"""SipMask-VIS on YouTube-VIS 2019, several scales: the official config, under its published name."""
_base_ = './sipmask_r50_caffe_fpn_gn_1x.py'

train_pipeline = [
    # Long and short side are drawn apart; 649 stands so in the official config.
    dict(type='ClipResize', scale=[(649, 360), (960, 480)], rule='mmcv', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipClampBoxes'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
load_from = 'models/sipmask_r50_caffe_ms_2x.pth'
