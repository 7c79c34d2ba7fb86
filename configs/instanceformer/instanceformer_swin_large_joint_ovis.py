"""InstanceFormer with Swin-L on clips of OVIS and pseudo-clips of COCO images. Not run here."""
_base_ = ['./instanceformer_r50_joint_ovis.py', '../_base_/models/swin_large.py']

model = dict(backbone={{_base_.swin_large}}, neck=dict(in_channels={{_base_.swin_large_channels}}))
load_from = 'work_dirs/instanceformer_swin_large_joint_ytvis2019/epoch_16.pth'
