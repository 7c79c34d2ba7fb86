"""LVMT with ViT-S of DINOv3: every number of the published models (github.com/tue-mps/lvmt and tue-mps/pmt), for 40 classes.

The larger ones differ in the sizes of ``vit_base`` and ``vit_large``; PMT is propagation='linear'.
"""
# DINOv3: rotary positions, keys without bias
vit_base = dict(embed_dims=768, depth=12, num_heads=12)
vit_large = dict(embed_dims=1024, depth=24, num_heads=16)
# DINOv2: a position table of 40 x 40 patches of 16 pixels
vit_small_dinov2 = dict(position='learned', grid=40, eps=1e-6)
vit_base_dinov2 = dict(**vit_base, **vit_small_dinov2)
vit_large_dinov2 = dict(**vit_large, **vit_small_dinov2)
levels_of_large = (5, 11, 17, 23)

model = dict(
    type='LVMT',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=32),
    # never trained
    backbone=dict(type='ViT', embed_dims=384, depth=12, num_heads=6, mlp_ratio=4., patch_size=16, position='rotary',
                  num_registers=4, eps=1e-5, layer_scale=1e-5),
    levels=(2, 5, 8, 11),
    # 'linear': PMT
    propagation='gru',
    num_classes=40, num_queries=200, num_blocks=6,
    # entries of a video in the results; OVIS has 20
    num_records=10,
    # rotary positions are stretched by up to this factor in training
    stretch=2.,
    # frames of a chunk of a training clip; 0: the clip is one
    chunk_frames=0, hold_pairs=False,
    # 'official' teaches an object that the last frame of a clip lacks as the published code does, see the README
    label_rule='annotated',
    # what a source without end shows
    live_score=0.3,
    criterion=dict(class_weight=2., mask_weight=5., dice_weight=5., no_object_weight=0.1, num_points=12544))
