"""EoMT with ViT-S of DINOv2 on the instances of COCO: 4 processes of 4 images.

No instance checkpoint of this size is published.
"""
_base_ = ['../_base_/models/eomt.py', '../_base_/datasets/eomt_coco.py', '../_base_/schedules/eomt.py']

# Steps at which the masks of attention begin to fade and are gone, for each block with queries.
model = dict(fade=[(14782, 29564), (36955, 51737), (59128, 73910)])

# Apache-2.0; by other names and layouts as well: models/README.md
load_from = 'models/dinov2_vits14_reg4_pretrain.pth'
