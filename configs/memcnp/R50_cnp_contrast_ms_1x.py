"""The official config of MemCNP-VIS with ResNet-50, under its published name: YouTube-VIS 2021."""
_base_ = './vitmae_cnp_contrast_ms_1x.py'

model = dict(
    # The official config normalises as PyTorch's weights need it, although this is Caffe's ResNet.
    backbone=dict(_delete_=True, type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                  norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='caffe'),
    # The official pyramid has a fifth level that the head never looks at.
    neck=dict(in_channels=[256, 512, 1024, 2048], start_level=1),
    test_cfg=dict(score_thr=0.03))
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=32)

load_from = 'models/resnet50_caffe.pth'
