"""EoMT with ViT-L of DINOv2 on the instances of COCO: 4 processes of 4 images."""
_base_ = ['../_base_/models/eomt.py', '../_base_/datasets/eomt_coco.py', '../_base_/schedules/eomt.py']

# Steps at which the masks of attention begin to fade and are gone, for each block with queries.
model = dict(backbone={{_base_.vit_large}}, num_query_blocks=4,
             fade=[(14782, 29564), (29564, 44346), (44346, 59128), (59128, 73910)])

# Apache-2.0; by other names and layouts as well: models/README.md
load_from = 'models/dinov2_vitl14_reg4_pretrain.pth'
