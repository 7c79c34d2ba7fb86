"""Local correlation of two feature maps (FlowNet, Fischer et al., arXiv 1504.06852), as the track head of
CMaskTrack R-CNN (OVIS, Qi et al., arXiv 2102.01558) compares the current frame with a reference frame."""
from typing import Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.utils import _pair

Size = Union[int, Tuple[int, int]]


def local_correlation(a: Tensor, b: Tensor, patch_size: Size, kernel_size: Size = 1, stride: Size = 1,
                      padding: Size = 0, dilation: Size = 1, patch_dilation: Size = 1) -> Tensor:
    """Product of each place of ``a`` with the places of ``b`` around it, summed over channels and a kernel.

        out[n, p, q, i, j] = sum over c, u, v of a[n, c, y, x] * b[n, c, y + dy, x + dx]
        y = i * stride - padding + u * dilation,   dy = (p - (patch - 1) // 2) * patch_dilation,   x and dx likewise

    What lies outside either map counts as 0. With an even patch the shifts are not symmetric: 16 gives -7 to 8.

    Args:
        a, b: [N, C, H, W].
        patch_size: number of shifts in y and x; every other size, too, is one number or (y, x).

    Returns:
        [N, patch, patch, H', W'], H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride + 1. No division by C.

    Raises:
        ValueError: the maps differ in shape.
    """
    if a.shape != b.shape or a.dim() != 4:
        raise ValueError(f'local_correlation needs two maps [N, C, H, W] of one shape, not {list(a.shape)} and '
                         f'{list(b.shape)}.')
    patch, kernel, spread = _pair(patch_size), _pair(kernel_size), _pair(patch_dilation)
    height, width = a.shape[-2:]
    before = [(size - 1) // 2 * step for size, step in zip(patch, spread)]
    after = [size // 2 * step for size, step in zip(patch, spread)]
    moved = F.pad(b, (before[1], after[1], before[0], after[0]))
    rows = [torch.stack([(a * moved[..., dy:dy + height, dx:dx + width]).sum(1)
                         for dx in range(0, patch[1] * spread[1], spread[1])], dim=1)
            for dy in range(0, patch[0] * spread[0], spread[0])]
    out = torch.stack(rows, dim=1)                                               # [N, patch, patch, H, W]
    if kernel == (1, 1) and _pair(stride) == (1, 1) and _pair(padding) == (0, 0):
        return out
    ones = out.new_ones(1, 1, *kernel)
    out = F.conv2d(out.flatten(0, 2)[:, None], ones, None, stride, padding, dilation)
    return out.reshape(len(a), *patch, *out.shape[-2:])
