"""MaskTrackRCNN with ResNet-101; otherwise the official R50 config. Starts from an ImageNet backbone."""
_base_ = './masktrack_rcnn_r50_fpn_1x_youtubevos.py'

model = dict(backbone=dict(depth=101))
load_from = 'models/resnet101.pth'
