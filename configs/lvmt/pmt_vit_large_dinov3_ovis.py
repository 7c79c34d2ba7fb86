"""PMT with ViT-L of DINOv3 on OVIS, as published: 8 processes of 1 clip."""
_base_ = ['../_base_/models/lvmt.py', '../_base_/datasets/videomt_ovis.py', '../_base_/schedules/lvmt.py']

model = dict(
    backbone={{_base_.vit_large}}, levels={{_base_.levels_of_large}}, propagation='linear', num_classes=25, num_records=20)

# The authors' segmenter of this set (PMT and LVMT alike), whose training they do not describe. Another start:
# --load-from FILE.
load_from = 'models/ovis_dinov3_segmenter.pth'
