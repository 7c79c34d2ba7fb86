"""The long short-term transformer that carries identities from frame to frame (AOT, arXiv 2106.02638; IAI, ECCV 2022).

Sequences are [B, N, C]: the N = h * w cells of a map, row by row.
"""
import math
from functools import lru_cache
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvis.registry import MODELS

from .id_bank import IdentityBank
from .memory import LSTTMemory


@lru_cache(maxsize=8)
@torch.inference_mode(False)     # a tensor made in inference mode could not take part in training later
def sine_positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Position code float32 [1, h * w, C]: half of the channels for y, half for x, sine and cosine in turns.

    Coordinates run from 0 to 2 pi over the map, both ends included.
    """
    half = channels // 2
    frequency = 10000. ** -(2 * torch.div(torch.arange(half, device=device), 2, rounding_mode='floor') / half)

    def code(size: int) -> Tensor:
        position = torch.arange(size, device=device) / (size - 1 + 1e-6) * (2 * math.pi)
        angles = position[:, None] * frequency
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1)

    y, x = code(height), code(width)
    grid = torch.cat([y[:, None].expand(-1, width, -1), x[None].expand(height, -1, -1)], dim=2)
    return grid.reshape(1, height * width, channels)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def window_indices(height: int, width: int, window: int, device: torch.device) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """How the cells of a map see each other through a square window around each.

    Returns:
        offset: int64 [N, N], number of the window's place at which cell p sees cell q, and whether it sees it, bool
        [N, N]; cell: int64 [N, window ** 2], the cell that p sees at each place, and whether there is one, bool.
    """
    radius = window // 2
    y = torch.arange(height, device=device).repeat_interleave(width)
    x = torch.arange(width, device=device).repeat(height)
    dy, dx = y - y[:, None] + radius, x - x[:, None] + radius
    seen = (dy >= 0) & (dy < window) & (dx >= 0) & (dx < window)
    offset = (dy * window + dx).masked_fill(~seen, 0)
    shift = torch.arange(window, device=device) - radius
    at_y = y[:, None] + shift.repeat_interleave(window)
    at_x = x[:, None] + shift.repeat(window)
    inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
    cell = (at_y * width + at_x).masked_fill(~inside, 0)
    return offset, seen, cell, inside


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, N, C] -> [B, heads, N, C / heads]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[B, heads, N, c] -> [B, N, heads * c]."""
    return x.transpose(1, 2).flatten(2)


def to_map(x: Tensor, size: Tuple[int, int]) -> Tensor:
    """[B, h * w, C] -> [B, C, h, w]."""
    return x.transpose(1, 2).unflatten(2, size)


def to_sequence(x: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, h * w, C]."""
    return x.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head attention without maps of its own input, and a projection of the result."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(channels, channels)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[B, N, C] for queries [B, N, C], keys and values [B, L, C]."""
        query, key, value = (split_heads(x, self.heads) for x in (query, key, value))
        return self.projection(join_heads(F.scaled_dot_product_attention(query, key, value)))


class SelfAttention(Attention):
    """Multi-head attention with linear maps of query, key and value."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.linear_q = nn.Linear(channels, channels)
        self.linear_k = nn.Linear(channels, channels)
        self.linear_v = nn.Linear(channels, channels)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return super().forward(self.linear_q(query), self.linear_k(key), self.linear_v(value))


class LocalAttention(nn.Module):
    """Attention to a square window around each cell, with learned biases of logits and values for each place in it.

    Maps at stride 32 are hardly larger than the window, so all pairs of cells are computed and those too far apart
    masked: faster than gathering a window of C channels for every cell.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_emb = nn.Conv2d(channels, heads * window ** 2, 1, groups=heads)
        self.v_bias = nn.Parameter(torch.zeros(1, heads, channels // heads, window ** 2, 1))
        self.fc = nn.Linear(channels, channels)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, size: Tuple[int, int]) -> Tensor:
        """[B, N, C] for query, key and value [B, N, C] of maps of ``size`` (h, w), N = h * w."""
        offset, seen, cell, inside = window_indices(*size, self.window, query.device)
        relative = self.relative_emb(to_map(query, size))                      # of the unscaled query
        relative = relative.unflatten(1, (self.heads, -1)).flatten(3).transpose(2, 3)      # [B, heads, N, window ** 2]
        query, key, value = (split_heads(x, self.heads) for x in (query, key, value))
        logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        logits = logits + relative.gather(3, offset.expand_as(logits))
        weights = logits.masked_fill(~seen, -math.inf).softmax(3)
        by_place = weights.gather(3, cell.expand_as(relative)) * inside
        v_bias = self.v_bias[..., 0].transpose(2, 3)                            # [1, heads, window ** 2, c]
        return self.fc(join_heads(weights @ value + by_place @ v_bias))


class ChannelGate(nn.Module):
    """Gated channel transformation (arXiv 1909.11519)."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        energy = (x.square().sum((2, 3), keepdim=True) + self.eps).sqrt() * self.alpha
        norm = self.gamma / (energy.square().mean(1, keepdim=True) + self.eps).sqrt()
        return x * (1 + (energy * norm + self.beta).tanh())


class GNActivation(nn.Module):
    """Between the two linear layers: group norm, GELU, channel gate, depth-wise 5x5 convolution."""

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(num_groups, channels)
        self.gct = ChannelGate(channels)
        self.conv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)

    def forward(self, x: Tensor, size: Tuple[int, int]) -> Tensor:
        """[B, h * w, C] -> [B, h * w, C]."""
        return to_sequence(self.conv(self.gct(F.gelu(self.gn(to_map(x, size))))))


class LSTTLayer(nn.Module):
    """Self-attention, attention to the long and to the short memory, feed-forward."""

    def __init__(self, channels: int, feedforward: int, self_heads: int, attn_heads: int, window: int,
                 drop_path: float, num_groups: int) -> None:
        super().__init__()
        self.drop_path_prob = drop_path
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.self_attn = SelfAttention(channels, self_heads)
        self.linear_q = nn.Linear(channels, channels)
        self.linear_v = nn.Linear(channels, channels)
        self.long_term_attn = Attention(channels, attn_heads)
        self.short_term_attn = LocalAttention(channels, attn_heads, window)
        self.linear1 = nn.Linear(channels, feedforward)
        self.activation = GNActivation(feedforward, num_groups)
        self.linear2 = nn.Linear(feedforward, channels)

    def drop_path(self, x: Tensor) -> Tensor:
        """In training, leave out whole cells of the map, the same ones of every clip of the batch."""
        if not self.training or self.drop_path_prob == 0:
            return x
        keep = 1 - self.drop_path_prob
        return x * (torch.rand(1, x.shape[1], 1, device=x.device) < keep).to(x.dtype) / keep

    def attend_self(self, x: Tensor, positions: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """(x after self-attention, query, content) [B, N, C]; the query is also the key under which it is stored."""
        u = self.norm2(x)
        x = x + self.drop_path(self.self_attn(u + positions, u + positions, u))
        content = self.norm1(x)
        return x, self.linear_q(content), content

    def attend_memory(self, x: Tensor, query: Tensor, long_memory: Tuple[Tensor, Tensor],
                      short_memory: Tuple[Tensor, Tensor], size: Tuple[int, int]) -> Tensor:
        """[B, N, C], for x and query of ``attend_self`` and (keys, values) of both memories."""
        x = x + self.long_term_attn(query, *long_memory) \
            + self.drop_path(self.short_term_attn(query, *short_memory, size))
        return x + self.drop_path(self.linear2(self.activation(self.linear1(self.norm3(x)), size)))

    def values(self, content: Tensor, id_embedding: Tensor) -> Tensor:
        """What is stored of a frame beside its keys [B, N, C]: what is there and who."""
        return self.linear_v(content + id_embedding)


@MODELS.register_module()
class LSTT(nn.Module):
    """One layer of the transformer and the embedding of identity maps.

    Args:
        max_obj_num: M identity slots; an identity map has M + 1 channels, the last of them the background.
        channels, feedforward: widths; ffn_groups: of the group norm between them; self_heads, attn_heads: of the
            attention to the frame itself and to the memories; window: of the short-term attention, in cells.
        id_stride: of the identity embedding, that of the feature map: it sees ``id_stride`` + 1 pixels.
        drop_path: probability, in training.
    """

    def __init__(self, max_obj_num: int = 20, channels: int = 256, feedforward: int = 1024, ffn_groups: int = 32,
                 self_heads: int = 4, attn_heads: int = 2, window: int = 15, id_stride: int = 32,
                 drop_path: float = 0.1) -> None:
        super().__init__()
        self.channels = channels
        self.layer = LSTTLayer(channels, feedforward, self_heads, attn_heads, window, drop_path, ffn_groups)
        self.norm = nn.LayerNorm(channels)
        self.id_bank = IdentityBank(max_obj_num, channels, id_stride)
        self.init_weights()

    def init_weights(self) -> None:
        """Xavier for everything with more than one axis, the gate and the biases of the window included."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor, memory: LSTTMemory) -> Tensor:
        """Look at one frame with the memory of those before it.

        Args:
            x: [B, C, h, w], projected features of the frame.
            memory: of the clip; it keeps what ``remember`` needs of this frame.

        Returns:
            [B, C, h, w].
        """
        size = x.shape[2:]
        x, query, content = self.layer.attend_self(
            to_sequence(x), sine_positions(*size, self.channels, x.device).to(x.dtype))
        memory.see(query, content)
        if memory.is_empty:
            values = self.layer.values(content, self.id_bank.empty(size))
            long = short = query, values
        else:
            long, short = memory.long_term(), memory.short_term
        return to_map(self.norm(self.layer.attend_memory(x, query, long, short, size)), size)

    def remember(self, memory: LSTTMemory, id_embedding: Tensor, has_new: bool = False) -> None:
        """Store the frame last seen.

        Args:
            id_embedding: [B, N, C] of ``id_bank``, for the map of its identities at the padded size of the input.
            has_new: an instance was seen for the first time.
        """
        query, content = memory.seen
        memory.store(query, self.layer.values(content, id_embedding), has_new)
