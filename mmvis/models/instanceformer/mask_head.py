"""Masks by dynamic convolution (CondInst, Tian et al., ECCV 2020): every object brings the weights of its own small
network, which runs over shared mask features and the coordinates relative to the object."""
from typing import List

import torch
import torch.nn.functional as F
from mmdet.models.utils import aligned_bilinear
from torch import Tensor, nn

from mmvis.models.layers.precision import at_least_float32

#: Channels of the mask features and of the dynamic network, and the stride of the features in pixels.
CHANNELS, STRIDE = 8, 8
#: (output, input) channels of its three layers; the input is x, y and the features.
_LAYERS = ((CHANNELS, 2 + CHANNELS), (CHANNELS, CHANNELS), (1, CHANNELS))
#: Length of the vector that holds all weights and biases of one object: 169.
NUM_PARAMS = sum(out * (in_channels + 1) for out, in_channels in _LAYERS)


class MaskFeatures(nn.Module):
    """From the encoded levels at strides 8, 16 and 32 to mask features [B, 8, H / 8, W / 8]."""

    def __init__(self, embed_dims: int = 256) -> None:
        super().__init__()
        squeezed = max(embed_dims // 4, CHANNELS)
        self.conv32 = nn.Conv2d(embed_dims, embed_dims, 3, padding=1)
        self.conv16 = nn.Conv2d(embed_dims, embed_dims, 3, padding=1)
        self.conv8 = nn.Conv2d(embed_dims, embed_dims, 3, padding=1)
        self.squeeze = nn.Conv2d(embed_dims, squeezed, 3, padding=1)
        self.out = nn.Conv2d(squeezed, CHANNELS, 3, padding=1)
        for conv in self.children():
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    def forward(self, maps: List[Tensor]) -> Tensor:
        """``maps``: [B, d, h, w] of strides 8, 16, 32."""
        fine, middle, coarse = maps
        x = F.relu(self.conv32(coarse))
        x = F.relu(self.conv16(middle + F.interpolate(x, size=middle.shape[-2:], mode='nearest')))
        x = F.relu(self.conv8(fine + F.interpolate(x, size=fine.shape[-2:], mode='nearest')))
        return F.relu(self.out(F.relu(self.squeeze(x))))


def mask_logits(features: Tensor, centres: Tensor, params: Tensor) -> Tensor:
    """Run the network of every object over the mask features.

    Args:
        features: [N or 1, 8, h, w] at stride 8.
        centres: [N, 2] x y in pixels of the network input.
        params: [N, 169]: weights of the three layers, each (out, in) row-major, then their biases.

    Returns:
        [N, 2 h, 2 w] at stride 4. With sides that are no multiples of 8 they cover a little more than the image.
    """
    height, width = features.shape[-2:]
    num = len(params)
    with torch.autocast(params.device.type, enabled=False):             # coordinates of hundreds of pixels need float32
        features, centres, params = (at_least_float32(x) for x in (features, centres, params))
        weights = params.split([out * in_channels for out, in_channels in _LAYERS]
                               + [out for out, _ in _LAYERS], dim=1)
        x = torch.cat([relative_coordinates(height, width, centres), features.flatten(2).expand(num, -1, -1)], dim=1)
        for layer, (out, in_channels) in enumerate(_LAYERS):
            x = torch.baddbmm(weights[3 + layer][..., None], weights[layer].view(num, out, in_channels), x)
            x = F.relu(x) if layer < 2 else x
        return aligned_bilinear(x.view(num, 1, height, width), 2)[:, 0]


def relative_coordinates(height: int, width: int, centres: Tensor) -> Tensor:
    """Centre minus place, in pixels, [N, 2, height * width] (x, y): the sign and the unit of the official code."""
    options = dict(device=centres.device, dtype=centres.dtype)
    y, x = torch.meshgrid(torch.arange(height, **options), torch.arange(width, **options), indexing='ij')
    places = torch.stack([x, y]).flatten(1) * STRIDE + STRIDE // 2
    return centres[..., None] - places
