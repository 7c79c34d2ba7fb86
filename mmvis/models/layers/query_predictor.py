"""From the tokens of a vision transformer to classes and masks (EoMT, arXiv 2503.19108; VidEoMT and LVMT alike)."""
import math
from typing import Tuple

import torch
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel of [N, C, h, w], epsilon 1e-6."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ScaleBlock(nn.Module):
    """A map [N, C, h, w] at twice its size, [N, C, 2 h, 2 w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv2(self.act(self.conv1(x))))


class QueryPredictor(nn.Module):
    """Class logits by one linear layer, mask logits as products of a query's vector with the enlarged map of patches.

    Args:
        dim: C; num_classes: K, not counting "no object", which is last.
        patch_size: masks have stride 4, so that log2(patch_size) - 2 scale blocks are needed (at least 1).
    """

    def __init__(self, dim: int, num_classes: int, patch_size: int = 16) -> None:
        super().__init__()
        self.class_head = nn.Linear(dim, num_classes + 1)
        self.mask_head = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(),
                                       nn.Linear(dim, dim))
        self.upscale = nn.Sequential(*[ScaleBlock(dim) for _ in range(max(1, int(math.log2(patch_size)) - 2))])

    def forward(self, queries: Tensor, patches: Tensor, size: Tuple[int, int]
                ) -> Tuple[Tensor, Tensor]:
        """Class logits [N, Q, K + 1] and mask logits [N, Q, 4 rows, 4 columns].

        Args:
            queries: [N, Q, C]; patches: [N, rows * columns, C]; size: (rows, columns).
        """
        pixels = self.upscale(patches.transpose(1, 2).unflatten(2, size))
        return self.class_head(queries), torch.einsum('nqc,nchw->nqhw', self.mask_head(queries), pixels)
