"""The plain vision transformer of MAE (He et al., arXiv 2111.06377) as MemCNP-VIS uses it: three maps for an FPN.

Keys and arithmetic follow the official code (github.com/SCoulY/MemCNP-VIS), so that its checkpoints and MAE's fit.
"""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmvis.errors import InputError
from mmvis.registry import MODELS

_STAGES = 4


def sincos_table(dim: int, grid: int) -> Tensor:
    """Fixed position table float32 [1, 1 + grid * grid, dim] of MAE; the row of the class token is zero.

    The first half of the channels encodes the column, the second the row; each half holds sines, then cosines, of
    frequencies 10000 ** (-4 k / dim).
    """
    omega = 10000. ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim / 4))
    angle = torch.arange(grid, dtype=torch.float64)[:, None] * omega
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)                        # [grid, dim / 2]
    table = torch.cat([axis.repeat(grid, 1), axis.repeat_interleave(grid, 0)], dim=1)
    return F.pad(table, (0, 0, 1, 0))[None].float()


class Attention(nn.Module):
    """Global self-attention over [B, N, C]."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, num, dim = x.shape
        q, k, v = self.qkv(x).view(batch, num, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, num, dim))


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block over [B, N, C]."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)              # epsilon 1e-5; MAE was trained with 1e-6
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, int(dim * mlp_ratio), dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Patches of an image [B, 3, H, W] as tokens [B, H / size * W / size, C], row by row."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, size, stride=size)
        nn.init.xavier_uniform_(self.proj.weight.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


@MODELS.register_module()
class MAEViT(nn.Module):
    """Vision transformer with global attention in every block and maps of strides 8, 16 and 32.

    The blocks form four stages of equal depth. The class token starts anew in each stage (the patch tokens go on), as
    the published weights were trained. The map of stage 2 is resized to stride 8, that of stage 3 stays at 16, that of
    stage 4 is resized to 32. No norm comes after the last block.

    Args:
        depth: number of blocks, a multiple of 4.
        grid: side of the position table, which is resized to the image (14: images of 224 pixels).
        with_cp: recompute the blocks in the backward pass instead of keeping their activations. Changes no number.
    """
    patch_size = 16

    def __init__(self, embed_dims: int = 768, depth: int = 12, num_heads: int = 12, mlp_ratio: float = 4.,
                 grid: int = 14, with_cp: bool = False) -> None:
        super().__init__()
        if depth % _STAGES or embed_dims % 4 or embed_dims % num_heads:
            raise InputError(f'MAEViT: depth ({depth}) must be a multiple of {_STAGES}, embed_dims ({embed_dims}) one '
                             f'of 4 and of num_heads ({num_heads}).')
        self.grid = grid
        self.with_cp = with_cp
        self.patch_embed = PatchEmbed(self.patch_size, embed_dims)
        self.cls_token = nn.Parameter(torch.randn(1, 1, embed_dims) * 0.02)
        self.register_buffer('pos_embed', sincos_table(embed_dims, grid))      # never trained
        self.blocks = nn.ModuleList([Block(embed_dims, num_heads, mlp_ratio) for _ in range(depth)])

    def position(self, rows: int, columns: int) -> Tensor:
        """Position table [1, 1 + rows * columns, C] for a grid of patches."""
        if (rows, columns) == (self.grid, self.grid):
            return self.pos_embed
        square = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (self.grid, self.grid))
        resized = F.interpolate(square, size=(rows, columns), mode='bicubic', align_corners=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Maps [B, C, H / 8, W / 8], [B, C, H / 16, W / 16], [B, C, H / 32, W / 32] of images [B, 3, H, W].

        Raises:
            ValueError: H or W is not a multiple of 32.
        """
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise InputError(f'MAEViT takes images whose sides are multiples of 32, not {height} x {width}.')
        rows, columns = height // self.patch_size, width // self.patch_size
        position = self.position(rows, columns)
        x = self.patch_embed(images) + position[:, 1:]
        class_token = (self.cls_token + position[:, :1]).expand(len(x), -1, -1)
        maps, per_stage = [], len(self.blocks) // _STAGES
        for first in range(0, len(self.blocks), per_stage):
            x = torch.cat([class_token.to(x.dtype), x], dim=1)
            for block in self.blocks[first:first + per_stage]:
                recompute = self.with_cp and torch.is_grad_enabled()
                x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
            x = x[:, 1:]
            maps.append(x.transpose(1, 2).unflatten(2, (rows, columns)))
        _, fine, middle, coarse = maps
        return _resize(fine, 2), middle, _resize(coarse, 0.5)


def _resize(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
