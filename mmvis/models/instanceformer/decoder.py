"""The decoder of InstanceFormer.

That of Deformable DETR (Zhu et al., ICLR 2021) with two differences: the sampling offsets are computed from the
content alone, without the query position, and a layer may also attend to tokens of earlier frames.
"""
from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch.nn.functional as F
from mmdet.models.layers import inverse_sigmoid
from torch import Tensor, nn

from ..layers.deformable_encoder import DeformableAttention, Tokens, feedforward, init_matrices, mlp
from ..layers.precision import at_least_float32


class DecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention, attention to earlier frames, feed-forward network.

    Args:
        with_memory: whether there is attention to earlier frames.
        with_cp: of the deformable attention, see ``DeformableAttention``.
    """

    def __init__(self, embed_dims: int, num_heads: int, num_levels: int, num_points: int, feedforward_dims: int,
                 dropout: float, with_memory: bool, with_cp: bool = False) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.self_norm = nn.LayerNorm(embed_dims)
        self.cross_attn = DeformableAttention(embed_dims, num_heads, num_levels, num_points, with_cp)
        self.cross_norm = nn.LayerNorm(embed_dims)
        if with_memory:
            self.memory_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
            self.memory_norm = nn.LayerNorm(embed_dims)
        self.ffn = feedforward(embed_dims, feedforward_dims, dropout)
        self.ffn_norm = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor, tokens: Tokens, references: Tensor,
                memory: Optional[Tuple[Tensor, Tensor]]) -> Tuple[Tensor, Tensor]:
        """
        Args:
            x: [B, Q, d]; positions: [1, Q, d], of the slots.
            tokens: the encoded frame; references: see DeformableAttention.
            memory: values and positions [B, R, d] of tokens of earlier frames; None if there are none.

        Returns:
            new x, sampling locations of the cross-attention.
        """
        query = x + positions
        x = self.self_norm(x + self.dropout(self.self_attn(query, query, x, need_weights=False)[0]))
        # The official code hands the positions over too, and never adds them.
        attended, locations = self.cross_attn(x, tokens, references)
        x = self.cross_norm(x + self.dropout(attended))
        if memory is not None:
            values, places = memory
            attended = self.memory_attn(x + positions, values + places, values, need_weights=False)[0]
            x = self.memory_norm(x + self.dropout(attended))
        return self.ffn_norm(x + self.dropout(self.ffn(x))), locations


@dataclass
class Decoded:
    """What the decoder says of a frame, layer by layer (lists of D).

    Attributes:
        features: [B, Q, d].
        references: that the layer started from: [B, Q, 2] points (first layer) or [B, Q, 4] boxes, without gradient
            but for the first.
        boxes: [B, Q, 4] cx cy w h in units of the image without padding.
        locations: of the last layer, [B, Q, heads, L, points, 2] in units of each (padded) level.
    """
    features: List[Tensor]
    references: List[Tensor]
    boxes: List[Tensor]
    locations: Tensor


class Decoder(nn.Module):
    """Stack of decoder layers that refine a box for every slot, each with its own box branch."""

    def __init__(self, num_layers: int = 6, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 4,
                 num_points: int = 4, feedforward_dims: int = 1024, dropout: float = 0.1,
                 with_memory: bool = False, with_cp: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(embed_dims, num_heads, num_levels, num_points, feedforward_dims,
                                                  dropout, with_memory, with_cp) for _ in range(num_layers)])
        init_matrices(self.layers)
        self.box_branches = nn.ModuleList([mlp(embed_dims, embed_dims, 4) for _ in range(num_layers)])
        for branch in self.box_branches:
            nn.init.zeros_(branch[-1].weight)
            nn.init.zeros_(branch[-1].bias)
        nn.init.constant_(self.box_branches[0][-1].bias[2:], -2.)          # boxes start small

    def forward(self, x: Tensor, positions: Tensor, reference: Tensor, tokens: Tokens,
                memory: Optional[Tuple[Tensor, Tensor]] = None) -> Decoded:
        """``reference`` [B, Q, 2] starts the refinement; the other arguments are those of a layer."""
        ratios = tokens.valid_ratios[:, None]
        features, references, boxes = [], [], []
        for layer, branch in zip(self.layers, self.box_branches):
            scale = ratios.repeat(1, 1, 1, reference.shape[-1] // 2)
            x, locations = layer(x, positions, tokens, reference[:, :, None] * scale, memory)
            offset = inverse_sigmoid(reference)
            box = (at_least_float32(branch(x)) + F.pad(offset, (0, 4 - offset.shape[-1]))).sigmoid()
            features.append(x)
            references.append(reference)
            boxes.append(box)
            reference = box.detach()
        return Decoded(features, references, boxes, locations)
