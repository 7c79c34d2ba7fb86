"""ResNeXt-101, 64x4d (Xie et al., CVPR 2017), as torchvision has it: batch norms frozen, strides 8, 16 and 32."""
resnext101_64x4d = dict(
    _delete_=True, type='mmdet.ResNeXt', depth=101, groups=64, base_width=4, num_stages=4, out_indices=(1, 2, 3),
    frozen_stages=1, norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='pytorch')
