"""A MemCNP of some ten thousand parameters."""
from typing import Any

import torch

from mmvis.registry import MODELS

from .tiny_masktrack import NUM_CLASSES


def tiny_config(vit: bool = True, **changes: Any) -> dict:
    """Either backbone, 16 channels; training pairs as for the tiny MaskTrackRCNN."""
    backbone = dict(type='MAEViT', embed_dims=24, depth=4, num_heads=3, grid=4)
    if not vit:
        backbone = dict(type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                        out_indices=(1, 2, 3), norm_eval=True)
    config = dict(
        type='MemCNP', backbone=backbone,
        neck=dict(type='mmdet.FPN', in_channels=[24] * 3 if vit else [16, 32, 64], out_channels=16, num_outs=4,
                  add_extra_convs='on_output'),
        bbox_head=dict(type='MemCNPHead', num_classes=NUM_CLASSES, in_channels=16, feat_channels=16, num_groups=4,
                       num_slots=8))
    return {**config, **changes}


def tiny_model(seed: int = 0, **changes: Any) -> torch.nn.Module:
    """Random weights, large enough in the head that classes, boxes and masks differ from place to place."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(**changes))
    for name, parameter in model.bbox_head.named_parameters():
        if parameter.dim() > 2:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return model.eval()
