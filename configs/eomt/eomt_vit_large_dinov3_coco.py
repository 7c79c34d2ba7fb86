"""EoMT with ViT-L of DINOv3 on the instances of COCO: 4 processes of 4 images."""
_base_ = ['../_base_/models/eomt.py', '../_base_/datasets/eomt_coco.py', '../_base_/schedules/eomt.py']

model = dict(
    backbone=dict(_delete_=True, type='ViT', embed_dims=1024, depth=24, num_heads=16, position='rotary', eps=1e-5),
    num_query_blocks=4,
    fade=[(14782, 29564), (29564, 44346), (44346, 59128), (59128, 73910)])

# The blocks with queries learn with the full rate, which is twice that of DINOv2.
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(query_blocks_decay=False))
max_iters = 88704
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, warmup=(2000, 3000), power=0.9)]

# A folder of the Hugging Face hub, under Meta's own licence.
load_from = 'models/dinov3-vitl16-pretrain-lvd1689m'
