"""What MemCNP-VIS trains each point towards. Boxes are inclusive, in pixels of the network input."""
from dataclasses import dataclass
from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvis.ops.transfer import constant_like

from ..sipmask.points import to_distances
from ..sipmask.targets import centerness_targets


@dataclass
class PointTargets:
    """Targets of the P points of one image, level by level.

    Attributes:
        centreness: float32 [P], 0 (border of every object or outside) to 1.
        inside: bool [P], inside any object.
        nearest: int64 [P], the object whose centre is nearest, whether the point lies in it or not.
    """
    centreness: Tensor
    inside: Tensor
    nearest: Tensor


def point_targets(points: Sequence[Tensor], sizes: Sequence[Tuple[int, int]], boxes: Tensor) -> PointTargets:
    """Targets for G > 0 objects.

    Args:
        points: of each level, float32 [h * w, 2] (x, y); sizes: (h, w) of each level.
        boxes: [G, 4].
    """
    distances = to_distances(points[0][:, None], boxes).clamp(min=0)
    # nan: a point on both sides of a box without extent
    centreness = centerness_targets(distances.flatten(0, 1)).nan_to_num(nan=0.).view(-1, len(boxes)).amax(1)
    centreness = centreness.view(1, 1, *sizes[0])
    # The coarser levels take the map of the finest one, made smaller.
    scaled = [centreness] + [F.interpolate(centreness, size=size, mode='bilinear', align_corners=False)
                             for size in sizes[1:]]
    every = torch.cat(list(points))
    inside = (to_distances(every[:, None], boxes).amin(-1) >= 0).any(1)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    nearest = ((every[:, None] - centres) ** 2).sum(-1).argmin(1)
    return PointTargets(torch.cat([x.flatten() for x in scaled]), inside, nearest)


def memory_boxes(points: Tensor, boxes: Tensor, size: Tuple[int, int]) -> Tensor:
    """The boxes that the memory is given with the points: float32 [P, 4], -1 to 1; NaN without objects.

    Left, top, right and bottom distance to the sides of the object, as parts of the padded image. A point inside every
    object gets the smallest one, any other the first that it lies outside of: an oddity of the official code that its
    weights have seen.

    Args:
        points: [P, 2]; boxes: [G, 4]; size: (H, W), padded.
    """
    if not len(boxes):
        return points.new_full((len(points), 4), float('nan'))
    distances = to_distances(points[:, None], boxes)
    area = (distances[..., 0] + distances[..., 2]) * (distances[..., 1] + distances[..., 3])
    chosen = area.masked_fill(distances.amin(-1) < 0, -1e8).argmin(1)
    chosen = distances[torch.arange(len(points), device=points.device), chosen]
    return (chosen / constant_like(chosen, (size[1], size[0]) * 2) - 0.5) * 2


class UncertaintyAssigner:
    """The points of a level that see an object best: central, and sure of their box.

    Of the points whose nearest object it is, the ``num_points`` with the largest centreness less uncertainty are
    positive, as far as they lie inside an object; other points are negative when that difference is below 0.
    """

    def __init__(self, num_points: int = 4) -> None:
        self.num_points = num_points

    def __call__(self, targets: PointTargets, uncertainty: Tensor, points: Sequence[Tensor],
                 boxes: Tensor) -> Tuple[Tensor, Tensor]:
        """Positive and negative points, bool [P] each, for ``uncertainty`` [P] (at most 1 counts)."""
        quality = targets.centreness - uncertainty.clamp(max=1)
        owned = targets.nearest == torch.arange(len(boxes), device=boxes.device)[:, None]
        taken = torch.zeros_like(targets.nearest)
        first = 0
        for level in points:
            rows = slice(first, first + len(level))
            own = quality[rows].masked_fill(~owned[:, rows], -torch.inf)
            best, place = own.topk(min(self.num_points, len(level)), dim=1)
            taken.index_add_(0, first + place.flatten(), (best > -torch.inf).flatten().long())
            first += len(level)
        positive = (taken > 0) & targets.inside
        return positive, ~positive & (quality < 0)


class CentreAssigner:
    """Points inside an object and near its centre; all others are negative.

    Args:
        radii: largest distance from the centre for each level, in pixels.
    """

    def __init__(self, radii: Sequence[float] = (24., 48., 96., 192.)) -> None:
        self.radii = tuple(radii)

    def __call__(self, targets: PointTargets, uncertainty: Tensor, points: Sequence[Tensor],
                 boxes: Tensor) -> Tuple[Tensor, Tensor]:
        """As ``UncertaintyAssigner``; the uncertainty does not count."""
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[targets.nearest]
        radius = torch.cat([x.new_full((len(x),), r) for x, r in zip(points, self.radii)])
        positive = targets.inside & ((torch.cat(list(points)) - centres).norm(dim=1) < radius)
        return positive, ~positive


ASSIGNERS = {'uncertainty': UncertaintyAssigner, 'centre': CentreAssigner}
