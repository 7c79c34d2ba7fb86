"""Make a trained model fast: ``optimize_for_inference``. The numbers stay those of the plain model, up to rounding."""
import logging
import os
import shutil
from functools import wraps
from importlib.util import find_spec
from typing import Callable, Dict, Optional, Tuple

import torch
from mmcv.cnn import Linear, fuse_conv_bn
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis.errors import InputError
from mmvis.ops.onednn import (
    NO_BFLOAT16,
    cpu_has_bfloat16,
    onednn_serves,
    pack_conv_weight,
    pack_linear_weight,
    packed_conv,
    packed_linear,
)
from mmvis.ops.winograd import winograd_conv3x3, winograd_pays, winograd_weight

from .precision import set_float32

_DTYPES = {'fp32': torch.float32, 'tf32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
_MOST_SIZES = 8  # layouts of one weight that are kept; a shared head meets as many sizes as the pyramid has levels


def optimize_for_inference(model: nn.Module, precision: str = 'fp32', compiled: bool = False) -> nn.Module:
    """Fold, repack and cast a model in place. Call it last: after the weights are loaded and the device is chosen.

    Batch norm is folded into the convolution that stands before it in its module, activations become channels_last,
    and the weights of convolutions and linear layers are kept in the type and layout that the device likes best. On a
    CPU, 1x1 convolutions and linear layers go to oneDNN, as PyTorch does only for other convolutions, and large 3x3
    convolutions in float32 are computed by Winograd's algorithm. What is chosen depends on shapes alone, never on
    timing: a run repeats to the bit.

    The model can then no longer be trained or moved to another device. Its first frame is slower: the weights are
    packed there.

    Args:
        precision: 'fp32' keeps the numbers, up to rounding; 'bf16' and 'fp16' (CUDA only) run under autocast, with the
            weights cast once; 'tf32' (CUDA only): see ``set_float32``, which holds for the process.
        compiled: leave the layers to torch.compile instead, see ``compile_parts``.

    Raises:
        ValueError: unknown precision, or one that the device cannot run; nothing to compile, or no compiler.
    """
    if precision not in _DTYPES:
        raise InputError(f"precision must be 'fp32', 'tf32', 'bf16' or 'fp16', not {precision!r}.")
    parameter = next(model.parameters(), None)
    device = 'cpu' if parameter is None else parameter.device.type
    if precision == 'fp16' and device != 'cuda':
        raise InputError(f"precision 'fp16' needs CUDA, but the model is on {device}: use 'bf16' or 'fp32'.")
    if precision == 'bf16' and device == 'cuda' and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError("precision 'bf16' needs a GPU of the Ampere generation or newer, which this one is not: use 'fp16' "
                         "or 'fp32'.")
    if precision == 'bf16' and device == 'cpu' and not cpu_has_bfloat16():
        print_log(f'{NO_BFLOAT16}: take precision fp32.', logger='current', level=logging.WARNING)
    set_float32(precision, device)
    model.eval()
    model.requires_grad_(False)
    fuse_conv_bn(model)
    dtype = _DTYPES[precision]
    if compiled:
        compile_parts(model, device)
    else:
        _swap_layers(model, dtype)
    if dtype != torch.float32:
        for name in ('forward', 'step', 'finish'):
            if hasattr(model, name):
                setattr(model, name, _under_autocast(getattr(model, name), device, dtype))
    return model


def compile_parts(model: nn.Module, device: str, backend: str = 'inductor') -> None:
    """Compile, with sizes left open, the methods that a system names in ``COMPILED``: what is pure arithmetic on a frame.
    The first frame, and the first of another kind of size, take a minute or more.

    Raises:
        ValueError: the system names none, or a compiler that torch.compile calls is missing.
    """
    if not getattr(model, 'COMPILED', ()):
        raise InputError(f'{type(model).__name__} has no part that torch.compile takes: leave out --compile.')
    compilers = [os.environ['CXX']] if os.environ.get('CXX') else ['g++', 'clang++', 'c++', 'cl']
    if backend == 'inductor' and not any(map(shutil.which, compilers)):
        raise InputError('torch.compile needs a C++ compiler (g++, or what the variable CXX names), and there is none '
                         'here: install one, or leave out --compile.')
    if backend == 'inductor' and device == 'cuda' and find_spec('triton') is None:
        raise InputError('torch.compile needs the package triton for a GPU, and it is not installed: pip install triton, '
                         'or leave out --compile.')
    for name in model.COMPILED:
        setattr(model, name, torch.compile(getattr(model, name), backend=backend, dynamic=True))


def _swap_layers(model: nn.Module, dtype: torch.dtype) -> None:
    """Replace the layers that have a faster form; one that stands in two places stays one. A module that
    ``keeps_float32`` does so with all its parts."""
    fast: Dict[nn.Module, nn.Module] = {}
    exact = {part for module in model.modules() if getattr(module, 'keeps_float32', False) for part in module.modules()}
    wanted = dtype
    for parent in list(model.modules()):
        dtype = torch.float32 if parent in exact else wanted
        for name, child in list(parent._modules.items()):
            if child not in fast:
                # Subclasses are left alone: they compute something else, or only their weight is used.
                if type(child) is nn.Conv2d and child.padding_mode == 'zeros' and not isinstance(child.padding, str):
                    fast[child] = FastConv2d(child, dtype)
                elif type(child) in (nn.Linear, Linear):     # mmcv's computes the same
                    fast[child] = FastLinear(child, dtype)
                elif type(child) is nn.MultiheadAttention and _is_plain(child):
                    fast[child] = FastAttention(child, dtype)
                elif hasattr(child, 'for_inference'):  # a layer that knows a faster form of itself
                    fast[child] = child.for_inference(dtype)
                else:
                    continue
            parent._modules[name] = fast[child]


def _under_autocast(method: Callable, device: str, dtype: torch.dtype) -> Callable:
    @wraps(method)
    def call(*args, **kwargs):
        with torch.autocast(device, dtype):
            return method(*args, **kwargs)
    return call


def _frozen(tensor: Optional[Tensor], dtype: torch.dtype) -> Optional[nn.Parameter]:
    return None if tensor is None else nn.Parameter(tensor.detach().to(dtype), requires_grad=False)


class FastConv2d(nn.Conv2d):
    """``nn.Conv2d`` for inference: [N, C, h, w] of any float type to [N, K, h', w'] of the type of its weight,
    channels_last."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                         conv.dilation, conv.groups, conv.bias is not None, device='meta')
        self.weight, self.bias = _frozen(conv.weight, dtype), _frozen(conv.bias, dtype)
        self.geometry = (self.stride, self.padding, self.dilation, self.groups)
        self.onednn = onednn_serves(self.weight)
        if not self.onednn:
            self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)
        self.may_winograd = self.onednn and dtype == torch.float32 and self.kernel_size == (3, 3) \
            and self.geometry == ((1, 1), (1, 1), (1, 1), 1)
        self.packed: Dict[Tuple[int, ...], Tensor] = {}  # by size of the map: the best layout depends on it
        self.winograd: Optional[Tensor] = None

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype, memory_format=torch.channels_last)
        if not self.onednn:
            return F.conv2d(x, self.weight, self.bias, *self.geometry)
        if self.may_winograd and winograd_pays(x, self.out_channels):
            if self.winograd is None:
                self.winograd = winograd_weight(self.weight)
            return winograd_conv3x3(x, self.winograd, self.bias)
        size = tuple(x.shape[2:])
        if size not in self.packed:
            if len(self.packed) == _MOST_SIZES:
                self.packed.clear()
            self.packed[size] = pack_conv_weight(self.weight, x.shape, *self.geometry)
        return packed_conv(x, self.packed[size], self.bias, *self.geometry)


class FastLinear(nn.Linear):
    """``nn.Linear`` for inference: [..., C] of any float type to [..., K] of the type of its weight."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device='meta')
        self.weight, self.bias = _frozen(linear.weight, dtype), _frozen(linear.bias, dtype)
        self.packed = pack_linear_weight(self.weight) if onednn_serves(self.weight) else None

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if self.packed is None:
            return F.linear(x, self.weight, self.bias)
        return packed_linear(x, self.packed, self.bias)


class FastAttention(nn.Module):
    """``nn.MultiheadAttention`` for inference: fused attention, and no weights of it are given back."""

    def __init__(self, attention: nn.MultiheadAttention, dtype: torch.dtype) -> None:
        super().__init__()
        self.num_heads, self.batch_first = attention.num_heads, attention.batch_first
        dims = attention.embed_dim
        self.projections = nn.ModuleList()
        for weight, bias in zip(attention.in_proj_weight.split(dims), attention.in_proj_bias.split(dims)):
            linear = nn.Linear(dims, dims, device='meta')
            linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
            self.projections.append(FastLinear(linear, dtype))
        self.out_proj = FastLinear(attention.out_proj, dtype)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Optional[Tensor] = None,
                need_weights: bool = False, attn_mask: Optional[Tensor] = None) -> Tuple[Tensor, None]:
        """As ``nn.MultiheadAttention``: query [L, B, C], key and value [S, B, C] (``batch_first``: B in front), masks
        True, or added, where nothing is attended. Returns [L, B, C] and None."""
        inputs = (query, key, value) if self.batch_first else (x.transpose(0, 1) for x in (query, key, value))
        heads = [project(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                 for project, x in zip(self.projections, inputs)]
        bias = None
        if key_padding_mask is not None:
            bias = _as_bias(key_padding_mask, heads[0].dtype)[:, None, None]
        if attn_mask is not None:
            more = _as_bias(attn_mask, heads[0].dtype)
            more = more if more.dim() == 2 else more.unflatten(0, (-1, self.num_heads))
            bias = more if bias is None else bias + more
        out = F.scaled_dot_product_attention(*heads, attn_mask=bias).transpose(1, 2).flatten(2)
        out = self.out_proj(out)
        return out if self.batch_first else out.transpose(0, 1), None


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    """Whether query, key and value have one size and a bias, and nothing is added to the keys."""
    return attention.in_proj_weight is not None and attention.in_proj_bias is not None \
        and attention.bias_k is None and not attention.add_zero_attn


def _as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as what is added to the products: -inf where a bool mask is True."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, float('-inf'))
