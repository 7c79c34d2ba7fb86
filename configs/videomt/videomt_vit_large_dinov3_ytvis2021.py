"""VidEoMT with ViT-L of DINOv3 on YouTube-VIS 2021, as published: 8 processes of 1 clip."""
_base_ = ['../_base_/models/videomt.py', '../_base_/datasets/videomt_ytvis2021.py', '../_base_/schedules/videomt.py']

model = dict(backbone={{_base_.vit_large_dinov3}}, num_query_blocks=4)
val_dataloader = dict(dataset=dict(pipeline=[dict(type='ClipResize', scale=(1333, 480), rule='detectron2')]))
test_dataloader = val_dataloader

max_iters = 160000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, warmup=(500, 1000), power=0.9)]

# Where the published training starts is not known; these are the weights of DINOv3, a folder of the Hugging Face hub.
# Another start: --load-from FILE.
load_from = 'models/dinov3-vitl16-pretrain-lvd1689m'
