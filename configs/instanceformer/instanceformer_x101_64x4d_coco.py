"""COCO pre-training of InstanceFormer with ResNeXt-101 64x4d (`--backbone resnext101_64x4d`). Not run here."""
_base_ = ['./instanceformer_r50_coco.py', '../_base_/models/resnext101_64x4d.py']

model = dict(backbone={{_base_.resnext101_64x4d}})
load_from = 'models/resnext101_64x4d-173b62eb.pth'
