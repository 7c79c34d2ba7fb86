"""Values of maps at points, and points where a prediction is unsure (PointRend, arXiv 1912.08193)."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32


def sample_at_points(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values [N, C, P] of maps [N, C, h, w] at points [N, P, 2].

    Points are x, y in 0 .. 1 of width and height (corners of the map, not centres of its outer pixels); 0 outside.
    """
    maps = at_least_float32(maps)
    return F.grid_sample(maps, 2 * points[:, :, None].to(maps.dtype) - 1, mode='bilinear', align_corners=False)[..., 0]


def uniform_points(num: int, num_points: int, device: torch.device) -> Tensor:
    """Random points float32 [num, num_points, 2], uniform in 0 .. 1."""
    return torch.rand(num, num_points, 2, device=device)


@torch.no_grad()
def unsure_points(logits: Tensor, num_points: int, oversample: float = 3., importance: float = 0.75) -> Tensor:
    """Points [N, num_points, 2] for maps of logits [N, h, w], mostly where these are near 0.

    Of ``oversample * num_points`` uniform points the ``importance * num_points`` with the least absolute logit stay;
    the rest are drawn anew, uniformly.
    """
    num, num_unsure = len(logits), int(importance * num_points)
    points = uniform_points(num, int(num_points * oversample), logits.device)
    distance = sample_at_points(logits[:, None], points)[:, 0].abs()
    nearest = distance.topk(num_unsure, dim=1, largest=False).indices
    chosen = points.gather(1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, uniform_points(num, num_points - num_unsure, logits.device)], dim=1)
