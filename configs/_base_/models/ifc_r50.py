"""IFC with ResNet-50: every number of the official code (github.com/sukjunhwang/IFC), for 40 classes."""
model = dict(
    type='IFC',
    # Frames are padded only to the largest of their batch, never to a multiple of anything.
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=1),
    backbone=dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(1, 2, 3), frozen_stages=1,
                  norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='pytorch'),
    in_channels=[512, 1024, 2048],
    num_classes=40,
    # Frames in a window of inference: 5 near-online; 36 offline, as the best published numbers:
    # --cfg-options model.num_frames=36
    num_frames=5,
    stride=1,
    num_queries=100, num_memory=8, embed_dims=256, num_heads=8, ffn_dims=2048, num_encoder_layers=3,
    num_decoder_layers=3, dropout=0.1,
    criterion=dict(class_weight=1., mask_weight=3., dice_weight=3., no_object_weight=0.1),
    match_threshold=0.05,
    min_score=0.01)
