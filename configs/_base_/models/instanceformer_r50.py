"""InstanceFormer with ResNet-50 for YouTube-VIS (github.com/rajatkoner08/InstanceFormer)."""
model = dict(
    type='InstanceFormer',
    data_preprocessor=dict(
        type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(1, 2, 3), frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='pytorch'),
    neck=dict(
        type='mmdet.ChannelMapper', in_channels=[512, 1024, 2048], kernel_size=1, out_channels=256,
        norm_cfg=dict(type='GN', num_groups=32), act_cfg=None, bias=True, num_outs=4),
    # 42 sigmoid units; those of the 40 classes are the category ids of the annotation files, 0 and 41 stay unused.
    num_classes=42,
    class_units=list(range(1, 41)),
    num_queries=300, embed_dims=256, num_heads=8, num_levels=4, num_points=4, feedforward_dims=1024,
    encoder_layers=6, decoder_layers=6, dropout=0.1,
    propagate_reference='multiply',
    # tracks are the slots among the 50 best scores (slot, class) of the first three frames
    num_candidates=50,
    loss_clips=None,  # --global-batch sets it where it makes the batch of a process smaller
    loss_weights=dict(ce=2.0, bbox=5.0, giou=2.0, mask=2.0, dice=5.0, contrastive=2.0),
    match_costs=dict(class_cost=1.0, box_cost=5.0, giou_cost=2.0),
    official_mask_pairs=False)
