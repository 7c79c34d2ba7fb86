"""Mask2Former with ResNet-50 on the instances of COCO, as published: 8 processes of 2 images, 50 epochs."""
_base_ = ['../_base_/models/mask2former_r50.py', '../_base_/datasets/mask2former_coco.py',
          '../_base_/schedules/mask2former.py']

# of torchvision, or R-50.pkl of detectron2
load_from = 'models/resnet50.pth'
