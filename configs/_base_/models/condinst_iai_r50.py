"""CondInst+IAI with ResNet-50: every number of the official config of YouTube-VIS 2019, for 40 classes."""
model = dict(
    type='CondInstIAI',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.68, 116.779, 103.939], std=[58.393, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                  norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch'),
    in_channels=2048, fused_channels=2048,
    lstt=dict(type='LSTT', max_obj_num=20, channels=256, feedforward=1024, ffn_groups=32, self_heads=4, attn_heads=2,
              window=15, id_stride=32, drop_path=0.1),
    neck=dict(type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1, num_outs=5,
              add_extra_convs='on_output', relu_before_extra_convs=True),
    bbox_head=dict(type='IAIHead', num_classes=40, max_obj_num=20, in_channels=256, feat_channels=256, stacked_convs=4,
                   strides=(8, 16, 32, 64, 128), num_mask_levels=3, mask_branch_channels=128, mask_branch_convs=4,
                   center_radius=1.5),
    # The published rule keeps every third frame for ever; policy='bounded' is for streams, the last two are its limits.
    memory=dict(policy='official', interval=3, max_frames=30, max_age=300),
    test_cfg=dict(nms_pre=200, cls_score_thr=0.1, id_score_thr=0.1, nms_iou_thr=0.5, max_per_img=10,
                  associate_by='identity',
                  # forget_after=N: on a stream, N frames after an instance was last seen its slot may go to another.
                  video_score_thr=0.05, forget_after=None))
