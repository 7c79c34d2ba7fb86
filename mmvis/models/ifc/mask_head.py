"""Mask features of a frame, and the kernels that find the queries' masks in them."""
from typing import Tuple

import torch.nn.functional as F
from mmdet.models.layers import MLP
from torch import Tensor, nn


class ClipMaskHead(nn.Module):
    """From the encoder's stride-32 map to stride-8 mask features, and from queries to 1x1 kernels over them.

    The first two normalisations have no ReLU behind them; the features themselves are not negative. A query's mask in a
    frame is the product of its kernel with the features: one kernel for all frames, so a query is a tube.

    Args:
        embed_dims: C.
        in_channels: of the backbone's maps at strides 8 and 16.
        num_groups: of the group norms.
    """

    def __init__(self, embed_dims: int = 256, in_channels: Tuple[int, int] = (512, 1024),
                 num_groups: int = 32) -> None:
        super().__init__()
        self.lateral8, self.lateral16 = (nn.Conv2d(channels, embed_dims, 1) for channels in in_channels)
        self.convs = nn.ModuleList(nn.Conv2d(embed_dims, embed_dims, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.GroupNorm(num_groups, embed_dims) for _ in range(3))
        self.depthwise = nn.Conv2d(embed_dims, embed_dims, 5, padding=2, groups=embed_dims)
        self.pointwise = nn.Conv2d(embed_dims, embed_dims, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)
        self.kernels = MLP(embed_dims, embed_dims, embed_dims, 3)

    def laterals(self, c3: Tensor, c4: Tensor) -> Tuple[Tensor, Tensor]:
        """What the features take from the backbone, [N, C, h8, w8] and [N, C, h16, w16]; it depends on the frame alone.

        Args:
            c3, c4: the backbone's maps at strides 8 and 16.
        """
        return self.lateral8(c3), self.lateral16(c4)

    def forward(self, encoded: Tensor, lateral8: Tensor, lateral16: Tensor) -> Tensor:
        """Mask features [N, C, h8, w8] of an encoder output [N, C, h32, w32] and ``laterals`` of the same frames."""
        x = self.norms[0](self.convs[0](encoded))
        x = self.norms[1](self.convs[1](F.interpolate(x, lateral16.shape[-2:]) + lateral16))
        x = self.norms[2](self.convs[2](F.interpolate(x, lateral8.shape[-2:]) + lateral8)).relu()
        return self.pointwise(self.depthwise(x).relu()).relu()
