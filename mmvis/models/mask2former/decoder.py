"""The transformer decoder of Mask2Former: queries look only at the pixels of their last mask (masked attention)."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.deformable_encoder import mlp


class Prediction(NamedTuple):
    """What the queries say of N images.

    Attributes:
        logits: classes [N, Q, K + 1], "no object" last; None where they were not asked for.
        masks: logits [N, Q, h4, w4].
        queries: [N, Q, C], normed: what class and mask are computed from.
    """
    logits: Optional[Tensor]
    masks: Tensor
    queries: Tensor


class MaskedAttentionLayer(nn.Module):
    """Cross-attention, self-attention, feed-forward network, each with residual and LayerNorm after it."""

    def __init__(self, embed_dims: int, num_heads: int, feedforward_dims: int) -> None:
        super().__init__()
        self.cross_attn = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.cross_norm = nn.LayerNorm(embed_dims)
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.self_norm = nn.LayerNorm(embed_dims)
        self.ffn = nn.Sequential(nn.Linear(embed_dims, feedforward_dims), nn.ReLU(inplace=True),
                                 nn.Linear(feedforward_dims, embed_dims))
        self.ffn_norm = nn.LayerNorm(embed_dims)

    def forward(self, x: Tensor, query_pos: Tensor, source: Tensor, source_pos: Tensor, hidden: Tensor) -> Tensor:
        """New queries [N, Q, C].

        Args:
            x: [N, Q, C]; query_pos: [1, Q, C]; source: [N, S, C]; source_pos: [1, S, C].
            hidden: bool [N, Q, S], True where a query does not look; never a whole row.
        """
        heads = self.cross_attn.num_heads
        hidden = hidden[:, None].expand(-1, heads, -1, -1).flatten(0, 1)
        x = self.cross_norm(x + self.cross_attn(x + query_pos, source + source_pos, source, attn_mask=hidden,
                                                need_weights=False)[0])
        query = x + query_pos
        x = self.self_norm(x + self.self_attn(query, query, x, need_weights=False)[0])
        return self.ffn_norm(x + self.ffn(x))


class MaskedAttentionDecoder(nn.Module):
    """Q learned queries through layers that look at one scale each, from coarse to fine and again.

    Args:
        num_classes: K.
        embed_dims: C, also of the scales and of the mask features.
        num_scales: layer i looks at scale i modulo this.
    """

    def __init__(self, num_classes: int, num_queries: int = 100, embed_dims: int = 256, num_layers: int = 9,
                 num_heads: int = 8, feedforward_dims: int = 2048, num_scales: int = 3) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(num_queries, embed_dims)
        self.query_embed = nn.Embedding(num_queries, embed_dims)
        self.level_embed = nn.Embedding(num_scales, embed_dims)
        self.layers = nn.ModuleList([MaskedAttentionLayer(embed_dims, num_heads, feedforward_dims)
                                     for _ in range(num_layers)])
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.norm = nn.LayerNorm(embed_dims)
        self.class_head = nn.Linear(embed_dims, num_classes + 1)
        self.mask_head = mlp(embed_dims, embed_dims, embed_dims)

    def forward(self, scales: Sequence[Tensor], mask_features: Tensor, positions: Sequence[Tensor],
                every_layer: bool = True) -> List[Prediction]:
        """Predictions of the learned queries and after each layer; or after the last one alone.

        Args:
            scales: [N, C, h, w], coarse to fine; positions: [1, C, h, w] of each.
            mask_features: [N, C, h4, w4].
        """
        sources = [x.flatten(2).transpose(1, 2) + level for x, level in zip(scales, self.level_embed.weight)]
        places = [position.flatten(2).transpose(1, 2) for position in positions]
        sizes = [tuple(x.shape[-2:]) for x in scales]
        x = self.query_feat.weight.expand(len(mask_features), -1, -1)
        predictions = [self.predict(x, mask_features, every_layer)]
        for i, layer in enumerate(self.layers):
            scale = i % len(scales)
            hidden = hidden_places(predictions[-1].masks, sizes[scale])
            x = layer(x, self.query_embed.weight[None], sources[scale], places[scale], hidden)
            last = self.predict(x, mask_features, every_layer or i == len(self.layers) - 1)
            predictions = [*predictions, last] if every_layer else [last]
        return predictions

    def predict(self, x: Tensor, mask_features: Tensor, with_classes: bool = True) -> Prediction:
        """Classes and masks of queries [N, Q, C] before the norm."""
        queries = self.norm(x)
        masks = torch.einsum('nqc,nchw->nqhw', self.mask_head(queries), mask_features)
        return Prediction(self.class_head(queries) if with_classes else None, masks, queries)


def hidden_places(masks: Tensor, size: Tuple[int, int]) -> Tensor:
    """Where a query does not look: its mask, resized to a scale of ``size``, is negative there; a query whose mask is
    negative everywhere looks everywhere. No gradient.

    Args:
        masks: logits [N, Q, h4, w4].

    Returns:
        bool [N, Q, h * w].
    """
    hidden = F.interpolate(masks.detach(), size, mode='bilinear', align_corners=False).flatten(2) < 0
    return hidden & ~hidden.all(2, keepdim=True)
