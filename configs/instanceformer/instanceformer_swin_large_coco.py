"""COCO pre-training of InstanceFormer with Swin-L. Not run here."""
_base_ = ['./instanceformer_r50_coco.py', '../_base_/models/swin_large.py']

model = dict(backbone={{_base_.swin_large}}, neck=dict(in_channels={{_base_.swin_large_channels}}))
load_from = 'models/swin_large_patch4_window12_384_22k.pth'
