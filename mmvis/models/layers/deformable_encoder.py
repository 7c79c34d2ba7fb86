"""Multi-scale deformable attention as a layer, and the encoder of Deformable DETR (Zhu et al., ICLR 2021) made of it."""
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmvis.ops.deform_attn import ms_deform_attn
from mmvis.ops.transfer import constant_like


@dataclass
class Tokens:
    """A pyramid of L levels as one list of places: level after level, each row-major. S places in all.

    Attributes:
        values: [B, S, d].
        shapes: (height, width) of each level.
        valid_ratios: float32 [B, L, 2], the part of each level, in x and y, that is image and not padding.
        padding: bool [B, S], True on padding; None where there is none.
    """
    values: Tensor
    shapes: List[Tuple[int, int]]
    valid_ratios: Tensor
    padding: Optional[Tensor] = None

    def select(self, index) -> 'Tokens':
        """Some of the B images: an index, a slice or a list."""
        index = slice(index, index + 1) if isinstance(index, int) else index
        padding = None if self.padding is None else self.padding[index]
        return Tokens(self.values[index], self.shapes, self.valid_ratios[index], padding)

    def maps(self, num: int) -> List[Tensor]:
        """The ``num`` finest levels as maps [B, d, h, w]."""
        sizes = [height * width for height, width in self.shapes]
        levels = self.values.split(sizes, dim=1)[:num]
        return [level.transpose(1, 2).unflatten(2, shape) for level, shape in zip(levels, self.shapes)]


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention, batch first, without dropout and residual.

    Args:
        with_cp: compute it once more in the backward pass instead of keeping what it needs. Changes no number.
    """

    def __init__(self, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 4, num_points: int = 4,
                 with_cp: bool = False) -> None:
        super().__init__()
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.with_cp = with_cp
        self.sampling_offsets = nn.Linear(embed_dims, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(embed_dims, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)
        self.init_weights()

    def init_weights(self) -> None:
        """Head m looks in its own direction, point p at p + 1 pixels; all points weigh the same."""
        for linear in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(linear.weight)
        nn.init.zeros_(self.attention_weights.bias)
        angles = torch.arange(self.num_heads) * (2 * torch.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        steps = torch.arange(1., self.num_points + 1)
        offsets = directions[:, None, None] * steps[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, self.num_levels, -1, -1).reshape(-1))
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, query: Tensor, tokens: Tokens, references: Tensor) -> Tuple[Tensor, Tensor]:
        """
        Args:
            query: [B, Q, d].
            tokens: what is sampled.
            references: [B, Q, L, 2] points or [B, Q, L, 4] boxes (centre, size), in units of each (padded) level.

        Returns:
            attended [B, Q, d], sampling locations [B, Q, heads, L, points, 2] (x, y) in units of each level.
        """
        inputs = (query, tokens.values, tokens.padding, references)
        if self.with_cp and torch.is_grad_enabled():            # nothing in it is drawn
            return checkpoint(self._attend, tokens.shapes, *inputs, use_reentrant=False, preserve_rng_state=False)
        return self._attend(tokens.shapes, *inputs)

    def _attend(self, shapes: Sequence[Tuple[int, int]], query: Tensor, values: Tensor, padding: Optional[Tensor],
                references: Tensor) -> Tuple[Tensor, Tensor]:
        value = self.value_proj(values)
        if padding is not None:
            value = value.masked_fill(padding[..., None], 0.)
        value = value.unflatten(-1, (self.num_heads, -1))
        parts = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(query).unflatten(-1, (*parts, 2))
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        # One copy for all points: the sum then runs over longer rows.
        references = references[:, :, None, :, None].expand(-1, -1, -1, -1, self.num_points, -1).contiguous()
        if references.shape[-1] == 2:
            sizes = constant_like(references, tuple(tuple(shape)[::-1] for shape in shapes))
            sizes = sizes[:, None].expand_as(offsets[0, 0]).contiguous()
            locations = references + offsets / sizes
        else:
            locations = references[..., :2] + offsets / self.num_points * references[..., 2:] * 0.5
        shapes = torch.tensor(shapes)
        starts = shapes.prod(1).cumsum(0) - shapes.prod(1)
        attended = ms_deform_attn(value, shapes, starts, locations, weights.unflatten(-1, parts[1:]))
        return self.output_proj(attended), locations


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward network, each with residual and LayerNorm after it."""

    def __init__(self, embed_dims: int, num_heads: int, num_levels: int, num_points: int, feedforward_dims: int,
                 dropout: float, with_cp: bool = False) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(embed_dims, num_heads, num_levels, num_points, with_cp)
        self.self_norm = nn.LayerNorm(embed_dims)
        self.ffn = feedforward(embed_dims, feedforward_dims, dropout)
        self.ffn_norm = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens, positions: Tensor, references: Tensor) -> Tensor:
        x = tokens.values
        attended, _ = self.self_attn(x + positions, tokens, references)
        x = self.self_norm(x + self.dropout(attended))
        return self.ffn_norm(x + self.dropout(self.ffn(x)))


class Encoder(nn.Module):
    """Stack of encoder layers over the places of a pyramid.

    Args:
        num_layers: layers; the other arguments are those of a layer.
    """

    def __init__(self, num_layers: int = 6, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 4,
                 num_points: int = 4, feedforward_dims: int = 1024, dropout: float = 0.1,
                 with_cp: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([EncoderLayer(embed_dims, num_heads, num_levels, num_points, feedforward_dims,
                                                  dropout, with_cp) for _ in range(num_layers)])
        init_matrices(self.layers)

    def forward(self, tokens: Tokens, positions: Tensor) -> Tokens:
        """``positions`` [B or 1, S, d] are added to the queries; returns the same pyramid with encoded values."""
        references = pixel_centres(tokens.shapes, tokens.valid_ratios)
        for layer in self.layers:
            tokens = Tokens(layer(tokens, positions, references), tokens.shapes, tokens.valid_ratios, tokens.padding)
        return tokens


def init_matrices(layers: nn.Module) -> None:
    """Xavier's numbers for every matrix, as in the official code; deformable attention then has its own start."""
    for parameter in layers.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for module in layers.modules():
        if isinstance(module, DeformableAttention):
            module.init_weights()


def feedforward(embed_dims: int, hidden_dims: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(embed_dims, hidden_dims), nn.ReLU(inplace=True), nn.Dropout(dropout),
                         nn.Linear(hidden_dims, embed_dims))


def mlp(in_dims: int, hidden_dims: int, out_dims: int) -> nn.Sequential:
    """Three linear layers with ReLU between them."""
    return nn.Sequential(nn.Linear(in_dims, hidden_dims), nn.ReLU(inplace=True),
                         nn.Linear(hidden_dims, hidden_dims), nn.ReLU(inplace=True), nn.Linear(hidden_dims, out_dims))


def pixel_centres(shapes: Sequence[Tuple[int, int]], valid_ratios: Tensor) -> Tensor:
    """Centre of every place, [B, S, L, 2] (x, y), in units of each (padded) level."""
    centres = []
    for level, (height, width) in enumerate(shapes):
        y, x = torch.meshgrid(torch.arange(0.5, height, device=valid_ratios.device, dtype=valid_ratios.dtype),
                              torch.arange(0.5, width, device=valid_ratios.device, dtype=valid_ratios.dtype),
                              indexing='ij')
        valid = valid_ratios[:, level] * constant_like(valid_ratios, (width, height))
        centres.append(torch.stack([x, y], dim=-1).flatten(0, 1) / valid[:, None])
    return torch.cat(centres, dim=1)[:, :, None] * valid_ratios[:, None]
