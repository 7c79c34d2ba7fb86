"""The pixel decoder of Mask2Former: a deformable encoder over three scales, and one step up to stride 4."""
from typing import List, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.deformable_encoder import Encoder, Tokens


class PixelDecoder(nn.Module):
    """Four maps of a backbone (strides 4, 8, 16, 32) to three scales and the features of every pixel.

    Scales go from coarse to fine wherever they stand in a list: strides 32, 16, 8. Computed in float32 under autocast
    too, as published. Padding counts as image.

    Args:
        in_channels: of the backbone's maps, from fine to coarse.
        embed_dims: C of all that comes out.
        with_cp: of the deformable attention, see ``DeformableAttention``.
    """
    #: ``optimize_for_inference`` leaves the weights in float32.
    keeps_float32 = True

    def __init__(self, in_channels: Sequence[int], embed_dims: int = 256, num_layers: int = 6, num_heads: int = 8,
                 num_points: int = 4, feedforward_dims: int = 1024, with_cp: bool = False) -> None:
        super().__init__()
        self.input_convs = nn.ModuleList([nn.Sequential(nn.Conv2d(channels, embed_dims, 1), _norm(embed_dims))
                                          for channels in reversed(in_channels[1:])])
        self.level_embed = nn.Parameter(torch.empty(len(self.input_convs), embed_dims))
        self.encoder = Encoder(num_layers, embed_dims, num_heads, len(self.input_convs), num_points, feedforward_dims,
                               dropout=0., with_cp=with_cp)
        self.lateral = nn.Sequential(nn.Conv2d(in_channels[0], embed_dims, 1, bias=False), _norm(embed_dims))
        self.output = nn.Sequential(nn.Conv2d(embed_dims, embed_dims, 3, padding=1, bias=False), _norm(embed_dims),
                                    nn.ReLU(inplace=True))
        self.mask_features = nn.Conv2d(embed_dims, embed_dims, 1)
        self._init_weights()

    def _init_weights(self) -> None:
        nn.init.normal_(self.level_embed)
        for conv in (x[0] for x in self.input_convs):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)
        for conv in (self.lateral[0], self.output[0], self.mask_features):
            nn.init.kaiming_uniform_(conv.weight, a=1)
        nn.init.zeros_(self.mask_features.bias)

    def forward(self, maps: Sequence[Tensor], positions: Sequence[Tensor]) -> Tuple[List[Tensor], Tensor]:
        """
        Args:
            maps: [N, channels, h, w] of strides 4, 8, 16, 32.
            positions: float32 [1, C, h, w] of strides 32, 16, 8.

        Returns:
            float32 [N, C, h, w] of strides 32, 16, 8; mask features float32 [N, C, h4, w4].
        """
        with torch.autocast(maps[0].device.type, enabled=False):
            maps = [x.float() for x in maps]
            scales = [conv(x) for conv, x in zip(self.input_convs, maps[:0:-1])]
            shapes = [tuple(x.shape[-2:]) for x in scales]
            places = [position.flatten(2) + level[:, None] for position, level in zip(positions, self.level_embed)]
            tokens = Tokens(torch.cat([x.flatten(2) for x in scales], dim=2).transpose(1, 2), shapes,
                            maps[0].new_ones(1, len(shapes), 2))
            scales = self.encoder(tokens, torch.cat(places, dim=2).transpose(1, 2)).maps(len(shapes))
            finest = F.interpolate(scales[-1], maps[0].shape[-2:], mode='bilinear', align_corners=False)
            return scales, self.mask_features(self.output(self.lateral(maps[0]) + finest))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels)
