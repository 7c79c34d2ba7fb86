"""EoMT with ViT-S of DINOv2 for the 80 classes of COCO: every number of the official code (github.com/tue-mps/eomt).

The larger ones differ in the sizes of ``vit_base`` and ``vit_large``, the last in its fourth block with queries, too.
"""
vit_base = dict(embed_dims=768, depth=12, num_heads=12)
vit_large = dict(embed_dims=1024, depth=24, num_heads=16)

model = dict(
    type='EoMT',
    # Every image is padded to one size with black pixels, in training and in tests.
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, size=(640, 640), pad_value=0),
    backbone=dict(type='ViT', embed_dims=384, depth=12, num_heads=6, mlp_ratio=4., patch_size=16, position='learned',
                  grid=40, num_registers=4, eps=1e-6, layer_scale=1e-5, with_cp=False, frozen_blocks=0),
    num_classes=80,
    num_queries=200, num_query_blocks=3,
    num_instances=100,
    criterion=dict(class_weight=2., mask_weight=5., dice_weight=5., no_object_weight=0.1, num_points=12544))
