"""Which place learns which object: FCOS with centre sampling (arXiv 1904.01355 and 2006.09214)."""
from typing import Sequence, Tuple

import torch
from torch import Tensor

from mmvis.ops.transfer import per_level

from ..layers.legacy_boxes import box_area
from .points import to_distances


@torch.no_grad()
def assign_places(points: Sequence[Tensor], boxes: Tensor, strides: Sequence[int],
                  regress_ranges: Sequence[Tuple[float, float]], radius: float = 1.5) -> Tensor:
    """The object that each place of the pyramid learns.

    A place takes an object if it lies strictly within ``radius`` strides of the centre of its box and within the box,
    and if the farthest side is within the range of the level. Of several objects it takes the one with the smallest
    box (inclusive area), of equal ones the first.

    Args:
        points: of each level [n_l, 2]; boxes: [G, 4] in the same pixels; regress_ranges: of each level, in pixels.

    Returns:
        int64 [sum of n_l]: index of the object, -1 for the background.
    """
    places = torch.cat(list(points))
    if not len(boxes):
        return places.new_full((len(places),), -1, dtype=torch.long)
    sizes = tuple(len(x) for x in points)

    def of_level(values: Sequence[float]) -> Tensor:
        return per_level(tuple(values), sizes, places.device, places.dtype)

    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = of_level([radius * stride for stride in strides])[:, None, None]
    low = torch.maximum(centre - reach, boxes[:, :2])
    high = torch.minimum(centre + reach, boxes[:, 2:])
    inside = ((places[:, None] > low) & (places[:, None] < high)).all(-1)
    farthest = to_distances(places[:, None], boxes).amax(-1)
    lowest, highest = (of_level(values)[:, None] for values in zip(*regress_ranges))
    candidate = inside & (farthest >= lowest) & (farthest <= highest)
    area, index = torch.where(candidate, box_area(boxes), torch.inf).min(1)
    return torch.where(torch.isfinite(area), index, -1)


def centerness_targets(distances: Tensor) -> Tensor:
    """[N] from the distances [N, 4] of places inside their boxes: 1 at the centre, 0 at the border."""
    near, far = (torch.stack([pick(distances[:, 0::2]), pick(distances[:, 1::2])])
                 for pick in (lambda x: x.amin(1), lambda x: x.amax(1)))
    return (near / far).prod(0).sqrt()
