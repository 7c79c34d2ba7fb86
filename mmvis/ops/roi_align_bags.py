"""RoIAlign (He et al., "Mask R-CNN", ICCV 2017) for inference on CPUs: a weighted sum of pixels, by ``embedding_bag``.

A bin is the mean of s x s samples and a sample the bilinear mean of 4 pixels, so a bin is a weighted sum of 4 s s
pixels. With channels_last features that is an embedding look-up with weights, for which PyTorch has a vectorised
kernel: several times as fast as torchvision's loop over channels, which also has to copy the map to the other layout.
"""
from typing import Tuple

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor
from torch.nn import functional as F


def roi_align(features: Tensor, rois: Tensor, out_size: int, scale: float, samples: int) -> Tensor:
    """RoIAlign with ``aligned=True`` (half-cell shift, no smallest size).

    Args:
        features: [B, C, H, W]. On a CPU without gradient and in channels_last, the fast way is taken; float16 and
            bfloat16 features are read as they are, sums are float32.
        rois: float32 [N, 5], index in the batch and x1 y1 x2 y2 in pixels of the image.
        out_size: bins on a side; scale: cells of the map a pixel; samples: points on a side of a bin, at least 1.

    Returns:
        float32 [N, C, out_size, out_size].
    """
    fast = features.device.type == 'cpu' and features.is_contiguous(memory_format=torch.channels_last) \
        and not (torch.is_grad_enabled() and features.requires_grad)
    if len(rois) == 0 and not features.requires_grad:
        return rois.new_zeros(0, features.shape[1], out_size, out_size)
    if not fast:
        # Not torchvision's function: on CUDA, with deterministic algorithms, it compiles, which takes a C compiler.
        return torch.ops.torchvision.roi_align(features.float(), rois, scale, out_size, out_size, samples, True)
    height, width = features.shape[2:]
    y, y_weight = _pixels(rois[:, 2], rois[:, 4], out_size, scale, samples, height)
    x, x_weight = _pixels(rois[:, 1], rois[:, 3], out_size, scale, samples, width)
    row = rois[:, 0].long()[:, None, None] * height + y
    place = row[:, :, None, :, None] * width + x[:, None, :, None]      # [N, bins, bins, 2 s, 2 s]
    weight = y_weight[:, :, None, :, None] * x_weight[:, None, :, None]
    per_bin = 4 * samples ** 2
    table = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    bins = F.embedding_bag(place.reshape(-1, per_bin), table, mode='sum',
                           per_sample_weights=weight.reshape(-1, per_bin).to(table.dtype))
    return bins.float().view(len(rois), out_size, out_size, -1).permute(0, 3, 1, 2).contiguous()


def _pixels(low: Tensor, high: Tensor, bins: int, scale: float, samples: int, size: int) -> Tuple[Tensor, Tensor]:
    """Pixels read along one direction and their weights, both [N, bins, 2 * samples]; boxes go from low to high [N]."""
    start = low * scale - 0.5
    step = ((high * scale - 0.5) - start) / bins
    # The order of these sums is torchvision's, so that the places agree to the last bit.
    bin_start = start[:, None] + torch.arange(bins, device=low.device) * step[:, None]
    inside = (torch.arange(samples, device=low.device) + 0.5) * step[:, None] / samples
    place = bin_start[:, :, None] + inside[:, None]                                 # [N, bins, samples]
    weight = ((place >= -1) & (place <= size)).to(place.dtype) / samples            # samples further out count 0
    place = place.clamp(0, size - 1)
    first = place.floor()
    part = place - first
    first = first.long()
    return (torch.cat([first, (first + 1).clamp(max=size - 1)], dim=2),
            torch.cat([weight * (1 - part), weight * part], dim=2))
