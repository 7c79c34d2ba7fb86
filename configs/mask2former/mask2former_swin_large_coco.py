"""Mask2Former with Swin-L on the instances of COCO, as published: 16 images a step, 100 epochs. Not run here."""
_base_ = ['./mask2former_r50_coco.py', '../_base_/models/segmenter_swin_large.py']

model = dict(segmenter={{_base_.swin_large_segmenter}})

max_iters = 737500
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[655556, 710184], gamma=0.1)]

load_from = 'models/swin_large_patch4_window12_384_22k.pth'
