"""The plain vision transformer (Dosovitskiy et al., arXiv 2010.11929) in three published forms: MAE, DINOv2, DINOv3.

The forms differ in where a token's position comes from, in the tokens before the patches and in a few constants; each
rule is a function of its own below. Names of parameters are timm's, so that published weights fit.
"""
import math
from functools import partial
from typing import NamedTuple, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmvis.errors import InputError
from mmvis.registry import MODELS

from ..layers.inference import FastLinear

Rotation = Tuple[Tensor, Tensor]
Size = Tuple[int, int]
_STAGES = 4


# Rules of position and of patches

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


def resize_table(table: Tensor, grid: Size, size: Size, antialias: bool) -> Tensor:
    """A position table [1, P, C] of a grid (rows, columns) of patches for one of another size, by bicubic interpolation
    in float32 (MAE and MemCNP without antialiasing, DINOv2 with it); at its own size it is returned as it is."""
    if tuple(size) == tuple(grid):
        return table
    maps = table.float().transpose(1, 2).unflatten(2, grid)
    resized = F.interpolate(maps, size=size, mode='bicubic', align_corners=False, antialias=antialias)
    return resized.flatten(2).transpose(1, 2).to(table.dtype)


def rotation_frequencies(dim: int, device: Optional[torch.device] = None) -> Tensor:
    """100 ** (-4 k / dim) for k = 0 .. dim / 4 - 1, float32 (of DINOv3 as transformers has it; Meta's are bfloat16)."""
    return 1 / 100. ** torch.arange(0, 1, 4 / dim, dtype=torch.float32, device=device)


def rotation_table(rows: int, columns: int, dim: int, stretch: float = 1., device: Optional[torch.device] = None
                   ) -> Rotation:
    """Cosines and sines float32 [rows * columns, dim] of DINOv3's rotary position (RoPE; arXiv 2104.09864).

    Centres of patches, from -1 to 1 on both axes and times ``stretch``, are turned by 2 pi times
    ``rotation_frequencies``: a quarter of the channels by the row, a quarter by the column, and the same again.
    """
    frequencies = rotation_frequencies(dim, device)
    axes = [2 * (torch.arange(0.5, side, dtype=torch.float32, device=device) / side) - 1 for side in (rows, columns)]
    centres = torch.stack(torch.meshgrid(*axes, indexing='ij'), dim=-1).flatten(0, 1) * stretch
    angles = (2 * math.pi * centres[:, :, None] * frequencies).flatten(1).tile(2)
    return angles.cos(), angles.sin()


def random_stretch(largest: float) -> float:
    """A factor for ``rotation_table``, log-uniform in [1 / largest, largest]."""
    return math.exp((2 * torch.rand(()).item() - 1) * math.log(largest))


def resize_patch_kernel(kernel: Tensor, size: int) -> Tensor:
    """Patch kernels [C, 3, s, s] for patches of another size: the pseudo-inverse of bicubic antialiased resizing, so
    that an image resized with them gives the same tokens (FlexiViT, arXiv 2212.08013)."""
    old = kernel.shape[-1]
    if old == size:
        return kernel
    units = torch.eye(old * old).unflatten(1, (1, old, old))
    resize = F.interpolate(units, size=(size, size), mode='bicubic', align_corners=False, antialias=True).flatten(1)
    inverse = torch.linalg.pinv(resize)                                        # [size ** 2, old ** 2]
    return (kernel.float().flatten(2) @ inverse.T).unflatten(2, (size, size)).to(kernel.dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the channels of the last tokens of [B, heads, N, D] by [P, D], P <= N; those in front (queries, class
    token, registers) stay."""
    cos, sin = rotation
    prefix, patches = x.split([x.shape[2] - len(cos), len(cos)], dim=2)
    first, second = patches.chunk(2, dim=-1)
    turned = patches * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([prefix, turned.to(x.dtype)], dim=2)


# Parts of a block

class KeylessBiasLinear(nn.Linear):
    """The projection of DINOv3 to queries, keys and values: keys have no bias (the middle third is not used)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self._used_bias())

    def _used_bias(self) -> Tensor:
        query, key, value = self.bias.chunk(3)
        return torch.cat([query, torch.zeros_like(key), value])

    def for_inference(self, dtype: torch.dtype) -> nn.Module:
        plain = nn.Linear(self.in_features, self.out_features, device='meta')
        plain.weight, plain.bias = self.weight, nn.Parameter(self._used_bias())
        return FastLinear(plain, dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Optional[Tensor]) -> Tensor:
    """Attention over [B, heads, N, D]; ``allowed`` as of ``Block``."""
    allowed = None if allowed is None else allowed[:, None]
    if q.dtype != torch.bfloat16 or q.device.type != 'cpu':
        return F.scaled_dot_product_attention(q, k, v, allowed)
    # The kernel of a CPU takes twice as long in bfloat16 as two products of matrices (forward and backward, 361 tokens).
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if allowed is not None:
        weights = weights.masked_fill(~allowed, float('-inf'))
    return weights.softmax(dim=-1) @ v


class Attention(nn.Module):
    """Global self-attention over [B, N, C]."""

    def __init__(self, dim: int, num_heads: int, key_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = (nn.Linear if key_bias else KeylessBiasLinear)(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, rotation: Optional[Rotation] = None, allowed: Optional[Tensor] = None) -> Tensor:
        """As ``Block``."""
        batch, num, dim = x.shape
        q, k, v = self.qkv(x).view(batch, num, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        return self.proj(attend(q, k, v, allowed).transpose(1, 2).reshape(batch, num, dim))


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned factor a channel (arXiv 2103.17239)."""

    def __init__(self, dim: int, value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block over [B, N, C].

    Args:
        eps: of the norms (``ViT`` says which form has which).
        layer_scale: first value of the factors after attention and MLP; None: there are none.
        key_bias: whether the keys have a bias.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4., eps: float = 1e-6,
                 layer_scale: Optional[float] = None, key_bias: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, num_heads, key_bias)
        self.ls1 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = MLP(dim, int(dim * mlp_ratio), dim)
        self.ls2 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)

    def forward(self, x: Tensor, rotation: Optional[Rotation] = None, allowed: Optional[Tensor] = None) -> Tensor:
        """[B, N, C] to [B, N, C].

        Args:
            rotation: of the last tokens, see ``rotate``.
            allowed: bool [B, N, N], True where a row may look at a column; None: everywhere.
        """
        x = x + self.ls1(self.attn(self.norm1(x), rotation, allowed))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Patches of an image [B, 3, H, W] as tokens [B, H / size * W / size, C], row by row."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, size, stride=size)
        nn.init.xavier_uniform_(self.proj.weight.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class ConvStem(nn.Module):
    """Patches by convolutions of stride 2, each with another one at its own stride (Xiao et al., Early Convolutions Help
    Transformers See Better, arXiv 2106.14881): what is small and learned from few images is found sooner.

    Args:
        size: of a patch, a power of 2; dim: C, the channels of the last stage; each stage before has half as many as
            the next. The stages have groups of channels with norms of their own, eight each.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        depth = size.bit_length() - 1
        widths = [3, *(dim >> (depth - 1 - i) for i in range(depth))]
        # an even kernel: a token stands at the centre of its patch
        self.stages = nn.ModuleList([nn.Sequential(_conv(before, width, 4, 2), _conv(width, width, 3, 1))
                                     for before, width in zip(widths, widths[1:])])
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for down, same in self.stages:
            x = down(x)
            x = x + same(x)
        return self.proj(x).flatten(2).transpose(1, 2)


def _conv(channels: int, width: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, width, kernel, stride, 1, bias=False), nn.GroupNorm(8, width), nn.GELU())


class Tokens(NamedTuple):
    """Images as tokens.

    Attributes:
        x: float [N, 1 + R + rows * columns, C]: class token, R registers, patches row by row.
        size: (rows, columns) of the patches.
        rotation: what ``Block`` takes; None where the position is in the tokens.
    """
    x: Tensor
    size: Tuple[int, int]
    rotation: Optional[Rotation]


@MODELS.register_module()
class ViT(nn.Module):
    """Vision transformer with global attention in every block.

    ======= ============ =========================================== ========= =============== ======== ===========
    form    position     resized                                     registers class token has norm eps layer scale
    ======= ============ =========================================== ========= =============== ======== ===========
    MAE     'sincos'     bicubic                                     0         a position      1e-5 (a) no
    DINOv2  'learned'    bicubic, antialiased                        4         none            1e-6     yes
    DINOv3  'rotary'     made for every size; keys without bias      4         none            1e-5     yes
    ======= ============ =========================================== ========= =============== ======== ===========

    (a) in MemCNP; MAE itself was trained with 1e-6.

    Args:
        depth: number of blocks.
        grid: (rows, columns) of the position table, or the side of a square one, as 'sincos' is (DINOv2 for images of
            640 pixels: 40).
        stretch: largest factor of the coordinates of rotary positions in training, drawn log-uniformly from
            [1 / stretch, stretch] once a forward.
        final_norm: whether there is a norm after the last block (``norm``; who calls the blocks applies it).
        with_cp: recompute the blocks in the backward pass instead of keeping their activations. Changes no number.
        frozen_blocks: so many of the first blocks, and what stands before them, are not trained.
        stem: 'patch', one convolution a patch (published), or 'conv', see ``ConvStem``.
        cut_position: an image smaller than the table takes a part of it, in training a random one, instead of all of it
            resized: a crop keeps the scale of positions, and an object may be anywhere.
    """

    def __init__(self, embed_dims: int = 384, depth: int = 12, num_heads: int = 6, mlp_ratio: float = 4.,
                 patch_size: int = 16, position: str = 'learned', grid: Union[int, Size] = 40, num_registers: int = 4,
                 eps: float = 1e-6, layer_scale: Optional[float] = 1e-5, stretch: float = 2., final_norm: bool = True,
                 with_cp: bool = False, frozen_blocks: int = 0, stem: str = 'patch', cut_position: bool = False) -> None:
        super().__init__()
        name = type(self).__name__
        if position not in ('sincos', 'learned', 'rotary'):
            raise InputError(f"{name}: position is 'sincos', 'learned' or 'rotary', not {position!r}.")
        if embed_dims % 4 or embed_dims % num_heads or not 0 <= frozen_blocks <= depth:
            raise InputError(f'{name}: embed_dims ({embed_dims}) must be a multiple of 4 and of num_heads '
                             f'({num_heads}), and frozen_blocks ({frozen_blocks}) at most depth ({depth}).')
        if stem not in ('patch', 'conv'):
            raise InputError(f"{name}: stem is 'patch' or 'conv', not {stem!r}.")
        if stem == 'conv' and (patch_size & (patch_size - 1) or embed_dims % (4 * patch_size)):
            raise InputError(f"{name}: stem='conv' needs a patch_size that is a power of 2, not {patch_size}, and "
                             f'embed_dims that are a multiple of 4 * patch_size, not {embed_dims}.')
        self.embed_dims, self.num_heads, self.patch_size = embed_dims, num_heads, patch_size
        self.position_rule, self.stretch = position, stretch
        self.grid = (grid, grid) if isinstance(grid, int) else tuple(grid)
        self.with_cp, self.frozen_blocks = with_cp, frozen_blocks
        self.cut_position = cut_position
        self.patch_embed = (ConvStem if stem == 'conv' else PatchEmbed)(patch_size, embed_dims)
        self.cls_token = nn.Parameter(torch.randn(1, 1, embed_dims) * 0.02)
        self.reg_token = nn.Parameter(torch.randn(1, num_registers, embed_dims) * 0.02) if num_registers else None
        if position == 'sincos':
            self.register_buffer('pos_embed', sincos_table(embed_dims, self.grid[0]))      # never trained
        elif position == 'learned':
            self.pos_embed = nn.Parameter(torch.randn(1, math.prod(self.grid), embed_dims) * 0.02)
        block = partial(Block, embed_dims, num_heads, mlp_ratio, eps, layer_scale, key_bias=position != 'rotary')
        self.blocks = nn.ModuleList([block() for _ in range(depth)])
        self.norm = nn.LayerNorm(embed_dims, eps=eps) if final_norm else None
        if frozen_blocks:
            self._freeze()

    @property
    def num_prefix(self) -> int:
        """Tokens before the patches: class token and registers."""
        return 1 + (0 if self.reg_token is None else self.reg_token.shape[1])

    def _freeze(self) -> None:
        for name, parameter in self.named_parameters():
            if not name.startswith('norm.') and (not name.startswith('blocks.')
                                                 or int(name.split('.')[1]) < self.frozen_blocks):
                parameter.requires_grad_(False)

    def position(self, rows: int, columns: int) -> Tensor:
        """Position table [1, rows * columns, C] for a grid of patches; 'sincos' has the class token's row in front."""
        if (rows, columns) == self.grid:
            return self.pos_embed
        if self.cut_position and rows <= self.grid[0] and columns <= self.grid[1]:
            return self._cut(rows, columns)
        front, patches = self.pos_embed.tensor_split([int(self.position_rule == 'sincos')], dim=1)
        resized = resize_table(patches, self.grid, (rows, columns), antialias=self.position_rule == 'learned')
        return torch.cat([front, resized], dim=1)

    def _cut(self, rows: int, columns: int) -> Tensor:
        spare = self.grid[0] - rows, self.grid[1] - columns
        top, left = [int(torch.randint(n + 1, ())) for n in spare] if self.training else (0, 0)
        table = self.pos_embed.unflatten(1, self.grid)
        return table[:, top:top + rows, left:left + columns].flatten(1, 2)

    def embed(self, images: Tensor, stretch: Optional[float] = None) -> Tokens:
        """What enters the first block, of images float [N, 3, H, W] whose sides are multiples of the patch size.

        Args:
            stretch: of rotary positions, see ``rotation``.
        """
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise InputError(f'{type(self).__name__} takes images whose sides are multiples of {self.patch_size}, not '
                             f'{height} x {width}.')
        rows, columns = height // self.patch_size, width // self.patch_size
        x, front, rotation = self.patch_embed(images), self.cls_token, None
        if self.position_rule == 'rotary':
            rotation = self.rotation(rows, columns, stretch)
        else:
            position = self.position(rows, columns)
            x = x + position[:, -x.shape[1]:]
            if self.position_rule == 'sincos':
                front = front + position[:, :1]
        if self.reg_token is not None:
            front = torch.cat([front, self.reg_token], dim=1)
        return Tokens(torch.cat([front.to(x.dtype).expand(len(x), -1, -1), x], dim=1), (rows, columns), rotation)

    def rotation(self, rows: int, columns: int, stretch: Optional[float] = None) -> Rotation:
        """Rotary positions of a grid.

        Args:
            stretch: factor of the coordinates; None: 1, in training drawn at every call.
        """
        if stretch is None:
            stretch = random_stretch(self.stretch) if self.training and self.stretch != 1 else 1.
        return rotation_table(rows, columns, self.embed_dims // self.num_heads, stretch, self.cls_token.device)

    def run(self, first: int, end: int, x: Tensor, rotation: Optional[Rotation] = None,
            allowed: Optional[Tensor] = None) -> Tensor:
        """Tokens [N, S, C] through the blocks ``first`` to ``end`` - 1; other arguments as of ``Block``."""
        for block in self.blocks[first:end]:
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, rotation, allowed, use_reentrant=False)
            else:
                x = block(x, rotation, allowed)
        return x


@MODELS.register_module()
class MAEViT(ViT):
    """The transformer of MAE (He et al., arXiv 2111.06377) as MemCNP-VIS uses it: three maps for an FPN.

    The blocks form four stages of equal depth. The class token starts anew in each stage (the patch tokens go on), as
    the published weights were trained (github.com/SCoulY/MemCNP-VIS). The map of stage 2 is resized to stride 8, that
    of stage 3 stays at 16, that of stage 4 is resized to 32. No norm comes after the last block.

    Args:
        depth: number of blocks, a multiple of 4.
        grid: side of the position table, which is resized to the image (14: images of 224 pixels).
        with_cp: as of ``ViT``.
    """

    def __init__(self, embed_dims: int = 768, depth: int = 12, num_heads: int = 12, mlp_ratio: float = 4.,
                 grid: int = 14, with_cp: bool = False) -> None:
        if depth % _STAGES:
            raise InputError(f'MAEViT: depth ({depth}) must be a multiple of {_STAGES}.')
        super().__init__(embed_dims, depth, num_heads, mlp_ratio, position='sincos', grid=grid, num_registers=0,
                         eps=1e-5, layer_scale=None, final_norm=False, with_cp=with_cp)

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Maps [B, C, H / 8, W / 8], [B, C, H / 16, W / 16], [B, C, H / 32, W / 32] of images [B, 3, H, W].

        Raises:
            ValueError: H or W is not a multiple of 32.
        """
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise InputError(f'MAEViT takes images whose sides are multiples of 32, not {height} x {width}.')
        x, size, _ = self.embed(images)
        class_token, maps, per_stage = x[:, :1], [], len(self.blocks) // _STAGES
        for first in range(0, len(self.blocks), per_stage):
            x = self.run(first, first + per_stage, torch.cat([class_token, x[:, 1:]], dim=1))
            maps.append(x[:, 1:].transpose(1, 2).unflatten(2, size))
        _, fine, middle, coarse = maps
        return _resize(fine, 2), middle, _resize(coarse, 0.5)


def _resize(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
