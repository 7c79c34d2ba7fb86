"""Mask2Former with ResNet-50 for the 80 classes of COCO: every number of the official code
(github.com/facebookresearch/Mask2Former, instance segmentation). MinVIS and CTVIS are built on this network."""
segmenter = dict(
    type='MaskedAttentionSegmenter',
    # all batch norms are frozen, every convolution learns
    backbone=dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=-1,
                  norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='pytorch'),
    in_channels=[256, 512, 1024, 2048],
    embed_dims=256,
    num_queries=100,
    num_classes=80,
    pixel_decoder=dict(num_layers=6, num_heads=8, num_points=4, feedforward_dims=1024),
    decoder=dict(num_layers=9, num_heads=8, feedforward_dims=2048))

model = dict(
    type='Mask2Former',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=32),
    segmenter=segmenter,
    num_instances=100,
    criterion=dict(class_weight=2., mask_weight=5., dice_weight=5., no_object_weight=0.1, num_points=12544))
