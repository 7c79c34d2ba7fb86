"""Mask2Former's network: from images to classes and masks of a fixed number of queries.

Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022, arXiv 2112.01527. Numbers
follow the official code (github.com/facebookresearch/Mask2Former), which is MIT.
"""
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn

from mmvis.registry import MODELS

from ..builder import build_part
from .decoder import MaskedAttentionDecoder, Prediction
from .pixel_decoder import PixelDecoder


class PixelFeatures(NamedTuple):
    """N images before the queries see them: scales and positions as of ``PixelDecoder``, mask features [N, C, h4, w4]."""
    scales: List[Tensor]
    mask_features: Tensor
    positions: List[Tensor]


class FramePredictions(NamedTuple):
    """T frames by themselves: classes [T, Q, K + 1], mask logits [T, Q, h4, w4], embeddings [T, Q, C] that are compared from
    frame to frame, and the padded size (H, W)."""
    logits: Tensor
    masks: Tensor
    embeddings: Tensor
    network: Tuple[int, int]


@MODELS.register_module()
class MaskedAttentionSegmenter(nn.Module):
    """Backbone, pixel decoder and masked-attention decoder; every image by itself.

    Args:
        backbone: gives maps of strides 4, 8, 16, 32, or its config.
        num_classes: K; num_queries: Q.
        in_channels: of the backbone's maps.
        embed_dims: C of tokens, queries and mask features.
        pixel_decoder, decoder: other arguments of ``PixelDecoder`` and ``MaskedAttentionDecoder``.
    """

    def __init__(self, backbone: Any, num_classes: int = 80, num_queries: int = 100,
                 in_channels: Sequence[int] = (256, 512, 1024, 2048), embed_dims: int = 256,
                 pixel_decoder: Optional[dict] = None, decoder: Optional[dict] = None) -> None:
        super().__init__()
        self.num_classes, self.num_queries, self.embed_dims = num_classes, num_queries, embed_dims
        self.backbone = build_part(backbone)
        self.pixel_decoder = PixelDecoder(in_channels, embed_dims, **pixel_decoder or {})
        self.decoder = MaskedAttentionDecoder(num_classes, num_queries, embed_dims, **decoder or {})
        self.position = SinePositionalEncoding(num_feats=embed_dims // 2, normalize=True)

    def encode(self, images: Tensor) -> PixelFeatures:
        """Images float32 [N, 3, H, W], normalised and padded to multiples of 32."""
        maps = self.backbone(images)
        positions = [self._positions(x) for x in maps[:0:-1]]
        scales, mask_features = self.pixel_decoder(maps, positions)
        return PixelFeatures(scales, mask_features, positions)

    def forward(self, images: Tensor, every_layer: bool = True) -> List[Prediction]:
        """Predictions as of ``MaskedAttentionDecoder``, the last one at the end."""
        features = self.encode(images)
        return self.decoder(features.scales, features.mask_features, features.positions, every_layer)

    def _positions(self, x: Tensor) -> Tensor:
        """Sine encoding float32 [1, C, h, w] of the places of a map."""
        return self.position(torch.zeros(1, *x.shape[-2:], dtype=torch.bool, device=x.device))
