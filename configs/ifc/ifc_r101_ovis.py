"""IFC with ResNet-101 of Caffe on OVIS (25 classes)."""
_base_ = './ifc_r50_ovis.py'

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1., 1., 1.], bgr_to_rgb=False),
    backbone=dict(depth=101, style='caffe'))
load_from = 'models/ifc_r101_coco.pth'
