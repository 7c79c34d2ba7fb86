"""Winograd convolution F(4x4, 3x3) for CPUs (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016).

A 3x3 convolution with stride 1 and padding 1 computes 4x4 outputs from a 6x6 tile of the input with 36 instead of 144
multiplications a pair of channels. All three transforms are linear, so they are matrix products here: ``B (x) B`` on
the 36 values of a tile, one product a value with the transformed weights, ``A (x) A`` to the 16 outputs.

The textbook points 0, +-1, +-2 cost accuracy: several times the rounding error of the direct convolution. The points
0, +-sqrt(1/2), +-sqrt(2) used here cost almost none: the error is at most twice that of the direct convolution, a few
1e-6 of the largest output in float32 (tests/ops/test_winograd.py compares with float64).
"""
from functools import lru_cache
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .onednn import pack_conv_weight, packed_conv

_POINTS = (0.0, 0.5 ** 0.5, -0.5 ** 0.5, 2 ** 0.5, -2 ** 0.5)  # and infinity
_OUT, _TILE = 4, 6
_VALUES = _TILE ** 2
_TILES_AT_ONCE = 192  # so many transformed tiles of 256 channels (7 MB) stay in the cache until they are used


@lru_cache(maxsize=None)
def _transforms() -> Tuple[Tensor, Tensor, Tensor]:
    """The matrices of the 1-D algorithm, float64: A^T [4, 6], G [6, 3], B^T [6, 6] (Cook-Toom at ``_POINTS``)."""
    points = np.array(_POINTS)
    output, weight, data = np.zeros((_OUT, _TILE)), np.zeros((_TILE, 3)), np.zeros((_TILE, _TILE))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        output[:, i] = point ** np.arange(_OUT)
        weight[i] = point ** np.arange(3) / np.prod(point - others)
        data[i, :-1] = np.poly(others)[::-1]
    output[-1, -1] = weight[-1, -1] = 1
    data[-1] = np.poly(points)[::-1]
    return torch.from_numpy(output), torch.from_numpy(weight), torch.from_numpy(data)


@lru_cache(maxsize=None)
def _tile_transforms() -> Tuple[Tensor, Tensor]:
    """``B (x) B`` [36, 36] and ``A (x) A`` [16, 36] in float32."""
    output, _, data = _transforms()
    return torch.kron(data, data).float(), torch.kron(output, output).float()


def winograd_weight(weight: Tensor) -> Tensor:
    """Weights for ``winograd_conv3x3``, transformed in float64 and packed, of a float32 [K, C, 3, 3] on the CPU."""
    _, g, _ = _transforms()
    channels = weight.shape[1]
    moved = torch.einsum('ia,kcab,jb->ijkc', g, weight.double(), g).reshape(-1, channels, 1, 1)
    return pack_conv_weight(moved.float(), (1, _VALUES * channels, 1, _TILES_AT_ONCE), groups=_VALUES)


def winograd_pays(x: Tensor, out_channels: int) -> bool:
    """Whether the transforms are worth their cost for x [N, C, h, w]: enough channels, and enough tiles for the four
    times larger weights. A rule of the shape alone (measured on an AVX-512 CPU), so that a run repeats to the bit."""
    n, channels, h, w = x.shape
    return min(channels, out_channels) >= 128 and n * -(-h // _OUT) * -(-w // _OUT) >= 128


def _step(total: int, most: int) -> int:
    """Size of about equal pieces of ``total``, at most ``most`` each (but at least 1)."""
    count = -(-total // max(most, 1))
    return max(-(-total // max(count, 1)), 1)


def winograd_conv3x3(x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """3x3 convolution, stride 1, padding 1.

    Args:
        x: float32 [N, C, h, w] on the CPU, fastest in channels_last.
        weight: of ``winograd_weight``; bias: [K] or None.

    Returns:
        [N, K, h, w] in channels_last.
    """
    n, channels, h, w = x.shape
    out_channels = weight.shape[0] // _VALUES
    rows, columns = -(-h // _OUT), -(-w // _OUT)
    to_tile, from_tile = _tile_transforms()
    padded = F.pad(x.contiguous(memory_format=torch.channels_last),
                   (1, _OUT * columns - w + 1, 1, _OUT * rows - h + 1))
    tiles = padded.permute(0, 2, 3, 1).unfold(1, _TILE, _OUT).unfold(2, _TILE, _OUT)
    tiles = tiles.permute(0, 1, 2, 4, 5, 3)                             # [N, rows, columns, 6, 6, C], a view
    out = x.new_empty(n, rows, _OUT, columns, _OUT, out_channels)
    row_step = _step(rows, _TILES_AT_ONCE // max(columns, 1))
    image_step = _step(n, _TILES_AT_ONCE // max(rows * columns, 1))     # some small maps at once, or parts of one
    for image in range(0, n, image_step):
        for row in range(0, rows, row_step):
            piece = tiles[image:image + image_step, row:row + row_step]
            moved = torch.matmul(to_tile, piece.reshape(-1, _VALUES, channels))
            moved = moved.view(1, 1, -1, _VALUES * channels).permute(0, 3, 1, 2)
            moved = packed_conv(moved, weight, None, groups=_VALUES)
            moved = torch.matmul(from_tile, moved.permute(0, 2, 3, 1).reshape(-1, _VALUES, out_channels))
            moved = moved.view(*piece.shape[:3], _OUT, _OUT, out_channels).permute(0, 1, 3, 2, 4, 5)
            torch.add(moved, 0 if bias is None else bias, out=out[image:image + image_step, row:row + row_step])
    out = out.view(n, rows * _OUT, columns * _OUT, out_channels)[:, :h, :w]
    return out.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
