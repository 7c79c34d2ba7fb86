"""MemCNP-VIS with ViT-B: every number of the official config, for 40 classes."""
model = dict(
    type='MemCNP',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='MAEViT', embed_dims=768, depth=12, num_heads=12, mlp_ratio=4, grid=14, with_cp=True),
    # The fourth level follows from the third one's output.
    neck=dict(type='mmdet.FPN', in_channels=[768, 768, 768], out_channels=256, num_outs=4, add_extra_convs='on_output',
              relu_before_extra_convs=True),
    bbox_head=dict(type='MemCNPHead', num_classes=40, in_channels=256, feat_channels=256, stacked_convs=3,
                   strides=[8, 16, 32, 64], num_slots=128, memory_momentum=0.999, assigner='uncertainty',
                   # jitter of the reference boxes in training: of their centres, of their sizes
                   aug_ref_bbox_param=[0.05, 0.05]),
    # max_age=N forgets an object unseen for N frames; the published rule keeps every object to the end of the video.
    tracker=dict(type='CosineTracker', match_coeff=[1.0, 2.0, 10.0], max_age=None),
    test_cfg=dict(nms_pre=200, score_thr=0.015, nms=dict(iou_thr=0.5), max_per_img=10, mask_thr_binary=0.5))
