"""Mask2Former, and the systems on it, with some ten thousand parameters."""
from typing import Any

import torch
from torch import Tensor, nn

from mmvis.registry import MODELS

NUM_CLASSES = 5


@MODELS.register_module(name='TinyPyramid')
class Pyramid(nn.Module):
    """A backbone of one convolution a stride."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.steps = nn.ModuleList([nn.Conv2d(3, channels, 4, stride=4)] + [
            nn.Conv2d(channels, channels, 2, stride=2) for _ in range(3)])

    def forward(self, x: Tensor) -> tuple:
        maps = []
        for step in self.steps:
            x = step(x).tanh()
            maps.append(x)
        return tuple(maps)


def tiny_config(kind: str = 'MinVIS', num_classes: int = NUM_CLASSES, num_queries: int = 8, **changes: Any) -> dict:
    segmenter = dict(type='MaskedAttentionSegmenter', backbone=dict(type='TinyPyramid'), num_classes=num_classes,
                     num_queries=num_queries, in_channels=(8, 8, 8, 8), embed_dims=32,
                     pixel_decoder=dict(num_layers=1, num_heads=4, feedforward_dims=32),
                     decoder=dict(num_layers=3, num_heads=4, feedforward_dims=32))
    return dict(type=kind, segmenter=segmenter, criterion=dict(num_points=64), **changes)


def tiny_segmenter(**changes: Any) -> nn.Module:
    return MODELS.build({**tiny_config()['segmenter'], **changes})


@torch.no_grad()
def tiny_model(kind: str = 'MinVIS', seed: int = 0, **changes: Any) -> nn.Module:
    """Random weights that tell queries and frames apart; masks of any size, some empty."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(kind, **changes))
    segmenter = model.segmenter
    segmenter.decoder.query_feat.weight *= 3
    segmenter.decoder.class_head.weight *= 4
    segmenter.decoder.mask_head[4].weight *= 4
    for step in segmenter.backbone.steps:
        step.weight *= 3
    return model.eval()
