"""Which point of the feature pyramid learns which object (FCOS, Tian et al. 2019; CondInst, Tian et al. 2020)."""
from dataclasses import dataclass
from typing import Sequence, Tuple

import torch
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import per_level


@dataclass
class FrameTargets:
    """Targets of B images at the P points of all levels, finest level first, row by row.

    Attributes:
        points: float32 [P, 2], x y in pixels.
        strides: float32 [P], of the level of each point.
        labels: int64 [B, P], class; K at points without an object.
        identities: int64 [B, P], identity slot; M at points without an object.
        distances: float32 [B, P, 4], pixels from the point to the left, top, right and bottom side of its box.
        gt_index: int64 [B, P], which object of the image; -1 at points without one.
    """
    points: Tensor
    strides: Tensor
    labels: Tensor
    identities: Tensor
    distances: Tensor
    gt_index: Tensor


def mask_centroids(masks: Tensor) -> Tensor:
    """Mean pixel index of each mask, float32 [N, 2] as x y; NaN for a mask without a pixel.

    Args:
        masks: uint8 [N, H, W].
    """
    rows, columns = masks.sum(2).float(), masks.sum(1).float()
    area = rows.sum(1)
    x = (columns * torch.arange(columns.shape[1], device=masks.device)).sum(1) / area
    y = (rows * torch.arange(rows.shape[1], device=masks.device)).sum(1) / area
    return torch.stack([x, y], 1)


def frame_targets(points: Sequence[Tensor], samples: Sequence[FrameSample], identities: Sequence[Tensor],
                  num_classes: int, max_obj_num: int, strides: Sequence[int],
                  regress_ranges: Sequence[Tuple[float, float]], center_radius: float = 1.5) -> FrameTargets:
    """Targets of one frame of each of B clips.

    A point takes an object if it lies inside its box, less than ``center_radius`` strides from the centroid of its mask
    in x and in y, and if the largest distance to a side is in the range of its level. Of several objects it takes the
    one with the smallest box. An object without a pixel has no centroid and takes no point.

    Args:
        points: float32 [h * w, 2] of each level, x y in pixels of the network input.
        samples: B frames with objects.
        identities: B times int64 [N], the slots that the objects are to be given (see ``clip_identities``).
        num_classes, max_obj_num: K and M, which stand for "no object" in the targets.
        strides: of the levels. regress_ranges: smallest and largest of "the largest distance", both included, by level.
    """
    if not len(points) == len(strides) == len(regress_ranges):
        raise ValueError(f'{len(points)} levels, but {len(strides)} strides and {len(regress_ranges)} regress_ranges.')
    counts = tuple(len(p) for p in points)
    all_points = torch.cat(list(points))
    per_point = [per_level(x, counts, all_points.device)
                 for x in (tuple(strides), tuple(map(tuple, regress_ranges)))]
    images = [_image_targets(all_points, *per_point, sample.gt_instances, slots, num_classes, max_obj_num,
                             center_radius) for sample, slots in zip(samples, identities)]
    return FrameTargets(all_points, per_point[0], *(torch.stack(x) for x in zip(*images)))


def _image_targets(points: Tensor, strides: Tensor, ranges: Tensor, truth, slots: Tensor, num_classes: int,
                   max_obj_num: int, center_radius: float) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """labels [P], identities [P], distances [P, 4], gt_index [P] of one image."""
    num = len(points)
    if not len(truth):
        none = points.new_full((num,), -1, dtype=torch.long)
        return none + 1 + num_classes, none + 1 + max_obj_num, points.new_zeros(num, 4), none
    boxes = truth.bboxes.float()
    distances = torch.cat([points[:, None] - boxes[:, :2], boxes[:, 2:] - points[:, None]], 2)        # [P, N, 4]
    offset = (points[:, None] - mask_centroids(truth.masks)).abs().amax(2)
    farthest = distances.amax(2)
    inside = (distances.amin(2) > 0) & (offset < center_radius * strides[:, None])
    inside &= (farthest >= ranges[:, :1]) & (farthest <= ranges[:, 1:])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    smallest, chosen = torch.where(inside, area, torch.inf).min(1)
    positive = smallest < torch.inf
    return (torch.where(positive, truth.labels[chosen], num_classes), torch.where(positive, slots[chosen], max_obj_num),
            distances[torch.arange(num, device=points.device), chosen], torch.where(positive, chosen, -1))
