"""Swin-L (patch 4, window 12, Liu et al., ICCV 2021) with drop path 0.3, strides 8, 16 and 32."""
swin_large = dict(
    _delete_=True, type='mmdet.SwinTransformer', pretrain_img_size=384, embed_dims=192, depths=[2, 2, 18, 2],
    num_heads=[6, 12, 24, 48], window_size=12, mlp_ratio=4, qkv_bias=True, drop_path_rate=0.3, patch_norm=True,
    out_indices=(1, 2, 3), convert_weights=False)
swin_large_channels = [384, 768, 1536]
