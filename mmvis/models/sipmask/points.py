"""Places of a pyramid in the image, and boxes as distances from them (FCOS, arXiv 1904.01355)."""
from typing import List, Sequence, Tuple

import torch
from torch import Tensor


def level_points(sizes: Sequence[Tuple[int, int]], strides: Sequence[int], device: torch.device) -> List[Tensor]:
    """Centres float32 [h * w, 2] (x, y) of the cells of each level, row by row, in pixels of the network input."""
    points = []
    for (height, width), stride in zip(sizes, strides):
        y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing='ij')
        points.append(torch.stack([x, y], dim=-1).reshape(-1, 2).float() * stride + stride // 2)
    return points


def to_boxes(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes [..., 4] at points [..., 2] from distances [..., 4] to the left, top, right and bottom side, in pixels."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)


def to_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """Inverse of ``to_boxes``: distances [..., 4] from points [..., 2] to the sides of boxes [..., 4]."""
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1)


def flatten_levels(maps: Sequence[Tensor]) -> Tensor:
    """Maps [B, C, h, w] of several levels -> float32 [B, sum of h * w, C], level by level, row by row."""
    return torch.cat([x.float().flatten(2).transpose(1, 2) for x in maps], dim=1)
