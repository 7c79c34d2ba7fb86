"""VidEoMT with ViT-L of DINOv2 on YouTube-VIS 2022, as published: 8 processes of 1 clip."""
_base_ = ['../_base_/models/videomt.py', '../_base_/datasets/videomt_ytvis2022.py', '../_base_/schedules/videomt.py']

model = dict(backbone={{_base_.vit_large}}, num_query_blocks=4)

max_iters = 160000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, warmup=(500, 1000), power=0.9)]

# The authors' segmenter of this set, whose training they do not describe; or an EoMT of configs/eomt. Another start:
# --load-from FILE.
load_from = 'models/yt_2022_large_segmenter.pth'
