"""Deformable 3x3 convolution (Dai et al., ICCV 2017) on CPUs, stride 1 and padding 1: one way to train, one to infer.

torchvision's kernel goes through places and channels one by one. To train, ``grid_sample`` reads the taps: it is
vectorised, and so is its gradient. To infer, every tap is the bilinear mean of 4 pixels, in channels_last an embedding
look-up with weights, for which PyTorch has a vectorised kernel (see ``roi_align_bags``); the columns of a few hundred
places stay in the cache until oneDNN has multiplied them with the packed weights.
"""
from typing import Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .onednn import pack_linear_weight, packed_linear

_PLACES_AT_ONCE = 512


def sampled_deform_conv3x3(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Deformable convolution with a gradient.

    Args:
        x: float32 [B, C, h, w]; weight: float32 [K, C, 3, 3].
        offsets: float32 [B, groups * 18, h, w]: (group, tap, (dy, dx)), in cells.

    Returns:
        [B, K, h, w].
    """
    batch, channels, height, width = x.shape
    groups = offsets.shape[1] // 18
    y, x_place = _places(offsets, groups)                                    # [B, groups, 9, h, w]
    grid = torch.stack([(2 * x_place + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    columns = F.grid_sample(x.reshape(batch * groups, -1, height, width),
                            grid.view(batch * groups, 9 * height, width, 2), padding_mode='zeros', align_corners=False)
    return (weight.flatten(1) @ columns.view(batch, 9 * channels, height * width)).view(batch, -1, height, width)


def pack_deform_weight(weight: Tensor) -> Tensor:
    """Weights [K, C, 3, 3] for ``deform_conv3x3``."""
    return pack_linear_weight(weight.permute(0, 2, 3, 1).flatten(1).contiguous())


def deform_conv3x3(x: Tensor, offsets: Tensor, weight: Tensor, offset_groups: int) -> Tensor:
    """Deformable convolution with stride 1 and padding 1, without gradient.

    Args:
        x: [B, C, h, w] on the CPU, of the type of the weight; fastest in channels_last.
        offsets: float32 [B, offset_groups * 18, h, w]: (group, tap, (dy, dx)), in cells.
        weight: of ``pack_deform_weight``.

    Returns:
        [B, K, h, w] in channels_last.
    """
    batch, channels, height, width = x.shape
    table = x.permute(0, 2, 3, 1).reshape(-1, channels // offset_groups)
    index, share = _corners(offsets, offset_groups)
    index, share = index.view(batch * height * width, -1, 4), share.view(batch * height * width, -1, 4).to(x.dtype)
    out = []
    for places, parts in zip(index.split(_PLACES_AT_ONCE), share.split(_PLACES_AT_ONCE)):
        columns = F.embedding_bag(places.flatten(0, 1), table, mode='sum', per_sample_weights=parts.flatten(0, 1))
        out.append(packed_linear(columns.view(len(places), 9 * channels), weight, None))
    return torch.cat(out).view(batch, height, width, -1).permute(0, 3, 1, 2)


def _places(offsets: Tensor, groups: int) -> Tuple[Tensor, Tensor]:
    """Row and column that each tap reads: float32 [B, groups, 9, h, w] each."""
    batch, _, height, width = offsets.shape
    offsets = offsets.view(batch, groups, 9, 2, height, width)
    step = torch.arange(-1., 2.)
    row = torch.arange(height).view(-1, 1) + step.repeat_interleave(3).view(-1, 1, 1)
    column = torch.arange(width) + step.repeat(3).view(-1, 1, 1)
    return offsets[:, :, :, 0] + row, offsets[:, :, :, 1] + column


def _corners(offsets: Tensor, groups: int) -> Tuple[Tensor, Tensor]:
    """The 4 pixels that each tap reads, as rows of the table (pixel, group), and their weights: int32 and float32
    [B, h, w, 9, groups, 4]. A place outside (-1, h) x (-1, w) counts 0, and so do pixels beyond the border."""
    batch, _, height, width = offsets.shape
    y, x = (place.permute(0, 3, 4, 2, 1) for place in _places(offsets, groups))
    row, row_share = _neighbours(y, height)
    column, column_share = _neighbours(x, width)
    first = torch.arange(batch, dtype=torch.int32).view(-1, 1, 1, 1, 1, 1) * (height * width)
    group = torch.arange(groups, dtype=torch.int32).view(-1, 1)
    index = (first + row * width)[..., :, None] + column[..., None, :]                     # [..., 2, 2]
    share = row_share[..., :, None] * column_share[..., None, :]
    return (index.flatten(-2) * groups + group), share.flatten(-2)


def _neighbours(place: Tensor, size: int) -> Tuple[Tensor, Tensor]:
    """Pixels before and after each place along one direction (int32, within the map) and their weights: [..., 2]."""
    low = place.floor()
    part = place - low
    share = torch.stack([(1 - part) * ((low >= 0) & (low < size)), part * ((low >= -1) & (low < size - 1))], dim=-1)
    low = low.clamp(-1, size).to(torch.int32)
    return torch.stack([low, low + 1], dim=-1).clamp_(0, size - 1), share
