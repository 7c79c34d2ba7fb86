"""MaskTrackRCNN with ResNet-50 and FPN: every number of the official config, for 40 classes."""
model = dict(
    type='MaskTrackRCNN',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                  norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch'),
    neck=dict(type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    rpn_head=dict(type='MaskTrackRPNHead', in_channels=256, feat_channels=256, anchor_scales=[8],
                  anchor_ratios=[0.5, 1.0, 2.0], anchor_strides=[4, 8, 16, 32, 64], target_stds=[1.0, 1.0, 1.0, 1.0]),
    bbox_roi_extractor=dict(type='InclusiveRoIExtractor', strides=[4, 8, 16, 32], out_size=7, sample_num=2),
    bbox_head=dict(type='MaskTrackBBoxHead', num_classes=40, in_channels=256, fc_channels=1024, roi_size=7,
                   target_stds=[0.1, 0.1, 0.2, 0.2]),
    track_head=dict(type='MaskTrackEmbeddingHead', in_channels=256, fc_channels=1024, roi_size=7),
    mask_roi_extractor=dict(type='InclusiveRoIExtractor', strides=[4, 8, 16, 32], out_size=14, sample_num=2),
    mask_head=dict(type='MaskTrackMaskHead', num_classes=40, in_channels=256, conv_channels=256, num_convs=4),
    # max_age=N forgets an object unseen for N frames; the published rule keeps every object to the end of the video.
    tracker=dict(type='AssociationTracker', match_coeff=[1.0, 2.0, 10.0], max_age=None),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=0.5),
            sampler=dict(num=64, pos_fraction=0.5, neg_pos_ub=-1), allowed_border=0, smoothl1_beta=1 / 9),
        rcnn=dict(
            assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, ignore_iof_thr=0.5),
            sampler=dict(num=128, pos_fraction=0.25, neg_pos_ub=-1), add_gt_as_proposals=True, mask_size=28)),
    test_cfg=dict(
        rpn=dict(nms_across_levels=False, nms_pre=200, nms_post=200, max_num=200, nms_thr=0.7, min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(iou_thr=0.5), max_per_img=10, mask_thr_binary=0.5)))
