"""SipMask-VIS with Swin-S and four levels: published name, YouTube-VIS 2021. Not run here."""
_base_ = './sipmask_swin-s_fpn_ms_1x.py'

model = dict(
    neck=dict(num_outs=4),
    bbox_head=dict(strides=[8, 16, 32, 64], regress_ranges=[(-1, 64), (64, 128), (128, 256), (256, 1e8)]),
    test_cfg=dict(score_thr=0.04, max_per_img=15))
