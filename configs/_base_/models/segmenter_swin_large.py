"""Swin-L of ImageNet-22k as the backbone of Mask2Former and of the systems on it, with 200 queries."""
swin_large = dict(
    _delete_=True, type='mmdet.SwinTransformer', pretrain_img_size=384, embed_dims=192, depths=[2, 2, 18, 2],
    num_heads=[6, 12, 24, 48], window_size=12, mlp_ratio=4, qkv_bias=True, drop_path_rate=0.3, patch_norm=True,
    out_indices=(0, 1, 2, 3), convert_weights=False)
swin_large_segmenter = dict(backbone=swin_large, in_channels=[192, 384, 768, 1536], num_queries=200)
