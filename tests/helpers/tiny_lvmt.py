"""An LVMT and a PMT of some ten thousand parameters; frames and samples are those of ``tiny_videomt``."""
from typing import Any

import torch
from helpers.tiny_videomt import NUM_CLASSES

from mmvis.registry import MODELS

DINOV2 = dict(type='ViT', embed_dims=24, depth=4, num_heads=3, grid=4, layer_scale=1.)
DINOV3 = dict(type='ViT', embed_dims=24, depth=4, num_heads=3, position='rotary', eps=1e-5, layer_scale=1.)


def tiny_config(kind: str = 'gru', **changes: Any) -> dict:
    """``kind``: the propagation."""
    config = dict(type='LVMT', propagation=kind, levels=(0, 1, 2, 3), num_classes=NUM_CLASSES, num_queries=8, num_blocks=2,
                  backbone=DINOV3, criterion=dict(num_points=64))
    return {**config, **changes}


@torch.no_grad()
def tiny_model(kind: str = 'gru', seed: int = 0, **changes: Any) -> torch.nn.Module:
    """Random weights that tell queries and frames apart; masks of any size, some empty."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(kind, **changes))
    model.q.weight *= 2
    model.predictor.class_head.weight *= 8
    model.predictor.mask_head[4].weight *= 8
    return model.eval()
