"""SipMask-VIS with Swin-S: a baseline of the authors of MemCNP-VIS, published name; YouTube-VIS 2021. Not run here."""
_base_ = './vitae-b_sipmask_ms_1x.py'

model = dict(
    backbone=dict(
        _delete_=True, type='mmdet.SwinTransformer', embed_dims=96, depths=[2, 2, 18, 2], num_heads=[3, 6, 12, 24],
        window_size=7, mlp_ratio=4, qkv_bias=True, drop_path_rate=0.2, patch_norm=True, out_indices=(0, 1, 2, 3),
        convert_weights=False),
    neck=dict(in_channels=[96, 192, 384, 768], start_level=1, num_outs=5),
    bbox_head=dict(strides=[8, 16, 32, 64, 128],
                   regress_ranges=[(-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)]))

param_scheduler = [
    # mmengine reaches the full rate in iteration end - 1; the official warm-up reaches it in iteration 1000
    dict(type='LinearLR', start_factor=1 / 80, by_epoch=False, begin=0, end=1001),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]

load_from = 'models/swin_small_patch4_window7_224.pth'
