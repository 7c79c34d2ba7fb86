"""LVMT with ViT-B of DINOv2 on YouTube-VIS 2019, which is not published: the recipe of ViT-L."""
_base_ = ['../_base_/models/lvmt.py', '../_base_/datasets/videomt_ytvis2019.py', '../_base_/schedules/lvmt.py']

model = dict(backbone={{_base_.vit_base_dinov2}})

# No segmenter is published for it; these are the weights of DINOv2. Another start: --load-from FILE.
load_from = 'models/dinov2_vitb14_reg4_pretrain.pth'
