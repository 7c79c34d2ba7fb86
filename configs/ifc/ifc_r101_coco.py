"""Pre-training of IFC with ResNet-101 of Caffe on COCO images, as published: 500 epochs."""
_base_ = './ifc_r50_coco.py'

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1., 1., 1.], bgr_to_rgb=False),
    backbone=dict(depth=101, style='caffe'))

train_cfg = dict(max_iters=1848000)
val_interval = 100000
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=1848000, milestones=[1232000], gamma=0.1)]
load_from = 'models/resnet101_msra-6cc46731.pth'
