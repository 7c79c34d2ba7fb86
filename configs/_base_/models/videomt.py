"""VidEoMT with ViT-S of DINOv2: every number of the published models (github.com/tue-mps/videomt), for 40 classes.

The larger ones differ in the sizes of ``vit_base`` and ``vit_large``, the last in its fourth block with queries, too.
"""
vit_base = dict(embed_dims=768, depth=12, num_heads=12)
vit_large = dict(embed_dims=1024, depth=24, num_heads=16)
# DINOv3: rotary positions, which are drawn larger or smaller in training
vit_large_dinov3 = dict(_delete_=True, type='ViT', embed_dims=1024, depth=24, num_heads=16, position='rotary', eps=1e-5)

model = dict(
    type='VidEoMT',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=32),
    # A position table of 40 x 40 patches of 16 pixels. with_cp=True computes the blocks once more in the backward pass
    # (less memory, the same numbers), frozen_blocks=N leaves the first N as they are.
    backbone=dict(type='ViT', embed_dims=384, depth=12, num_heads=6, mlp_ratio=4., patch_size=16, position='learned',
                  grid=40, num_registers=4, eps=1e-6, layer_scale=1e-5, with_cp=False, frozen_blocks=0),
    num_classes=40,
    num_queries=200, num_query_blocks=3,
    # entries of a video in the results; OVIS has 20
    num_records=10,
    # 'official' teaches an object that the last frame of a clip lacks as the published code does, see the README
    label_rule='annotated',
    # what a source without end shows
    live_score=0.3,
    criterion=dict(class_weight=2., mask_weight=5., dice_weight=5., no_object_weight=0.1, num_points=12544))
