"""PMT with ViT-L of DINOv2 on YouTube-VIS 2019, as published: 8 processes of 1 clip."""
_base_ = ['../_base_/models/lvmt.py', '../_base_/datasets/videomt_ytvis2019.py', '../_base_/schedules/lvmt.py']

model = dict(backbone={{_base_.vit_large_dinov2}}, levels={{_base_.levels_of_large}}, propagation='linear')

# The authors' segmenter of this set (PMT and LVMT alike), whose training they do not describe. Another start:
# --load-from FILE.
load_from = 'models/yt-2019_dinov2_segmenter.pth'
