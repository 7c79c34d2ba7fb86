"""SipMask-VIS with Swin-L and four levels, YouTube-VIS 2021. Not run here.

Backbone, pyramid, sizes and schedule are those of the published config of this name. Its head (SipMaskMemSegHead) was
never released; this is SipMask's.
"""
_base_ = './sipmask_swin-s_fpn_ms_1x_4lvls.py'

model = dict(
    backbone=dict(embed_dims=192, num_heads=[6, 12, 24, 48]),
    neck=dict(in_channels=[192, 384, 768, 1536]),
    test_cfg=dict(score_thr=0.02, max_per_img=10))
test_pipeline = [dict(type='ClipResize', scale=(960, 480), rule='mmcv')]
train_dataloader = dict(batch_size=2)                # on each of four GPUs
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=8)

load_from = 'models/swin_large_patch4_window7_224_22k.pth'
