"""LVMT with ViT-S of DINOv3 on OVIS, as published: 8 processes of 1 clip."""
_base_ = ['../_base_/models/lvmt.py', '../_base_/datasets/videomt_ovis.py', '../_base_/schedules/lvmt.py']

model = dict(num_classes=25, num_records=20)

max_iters = 80000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, warmup=(6000, 0), power=0.9)]

# The authors' segmenter of this set (PMT and LVMT alike), whose training they do not describe. Another start:
# --load-from FILE.
load_from = 'models/ovis_small_dinov3_segmenter.pth'
