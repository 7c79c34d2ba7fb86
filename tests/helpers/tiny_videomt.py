"""A VidEoMT and an EoMT of some ten thousand parameters, and what they are trained on."""
from typing import Any, List, Tuple

import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS

NUM_CLASSES = 5


def tiny_config(kind: str = 'VidEoMT', **changes: Any) -> dict:
    config = dict(type=kind, num_classes=NUM_CLASSES, num_queries=8, num_query_blocks=2,
                  backbone=dict(type='ViT', embed_dims=24, depth=4, num_heads=3, grid=4, layer_scale=1.),
                  criterion=dict(num_points=64))
    return {**config, **changes}


@torch.no_grad()
def tiny_model(kind: str = 'VidEoMT', seed: int = 0, **changes: Any) -> torch.nn.Module:
    """Random weights that tell queries and frames apart; masks of any size, some empty."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(kind, **changes))
    model.q.weight *= 2
    model.predictor.class_head.weight *= 8
    model.predictor.mask_head[4].weight *= 8
    return model.eval()


def tiny_frames(num: int, size: Tuple[int, int] = (48, 64), seed: int = 0) -> torch.Tensor:
    """float32 [num, 3, height, width]: a coarse pattern that changes slowly."""
    draw = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, 3, 4, 5, generator=draw)
    steps = torch.linspace(0, 1, max(num, 2))[:num, None, None, None]
    return torch.nn.functional.interpolate(ends[0] * (1 - steps) + ends[1] * steps, size)


def tiny_samples(present: List[List[int]], labels: List[int], size: Tuple[int, int] = (48, 64)) -> List[FrameSample]:
    """One sample a frame; ``present``: the objects of each frame, object i a rectangle that moves with the frame."""
    samples = []
    for t, rows in enumerate(present):
        masks = torch.zeros(len(rows), *size, dtype=torch.uint8)
        for mask, i in zip(masks, rows):
            mask[4 + 10 * i:12 + 10 * i, 4 + 3 * t:20 + 3 * t] = 1
        samples.append(FrameSample(metainfo=dict(img_shape=size), gt_instances=InstanceData(
            labels=torch.tensor([labels[i] for i in rows], dtype=torch.int64),
            instance_ids=torch.tensor([100 + i for i in rows], dtype=torch.int64), masks=masks,
            bboxes=torch.zeros(len(rows), 4))))
    return samples
