"""VidEoMT with ViT-B of DINOv2 on YouTube-VIS 2019, as published: 8 processes of 1 clip."""
_base_ = ['../_base_/models/videomt.py', '../_base_/datasets/videomt_ytvis2019.py', '../_base_/schedules/videomt.py']

model = dict(backbone={{_base_.vit_base}})

# The authors' segmenter of this set, whose training they do not describe; or an EoMT of configs/eomt. Another start:
# --load-from FILE.
load_from = 'models/yt_2019_base_segmenter.pth'
