"""InstanceFormer with ResNeXt-101 64x4d on clips of YouTube-VIS 2021 and pseudo-clips of COCO images. Not run here."""
_base_ = ['./instanceformer_r50_joint_ytvis2021.py', '../_base_/models/resnext101_64x4d.py']

model = dict(backbone={{_base_.resnext101_64x4d}})
load_from = 'work_dirs/instanceformer_x101_64x4d_coco/epoch_12.pth'
