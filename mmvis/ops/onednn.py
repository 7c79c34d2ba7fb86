"""oneDNN convolutions and products with weights kept in oneDNN's own layout, for inference on CPUs.

PyTorch hands 1x1 convolutions (with one thread) and linear layers in float32 to its BLAS, and repacks the weights of
the other convolutions at every call. The operators that its compiler back end uses do neither; they are part of every
x86 build and need no compiler. They have no gradient.
"""
from typing import Optional, Sequence

import torch
from torch import Tensor

_OPS = ('_convolution_pointwise', '_reorder_convolution_weight', '_linear_pointwise', '_reorder_linear_weight')

#: What users are told where ``cpu_has_bfloat16`` is False.
NO_BFLOAT16 = 'This CPU has no instructions for bfloat16, which is several times slower here than float32'


def cpu_has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this CPU. PyTorch does so everywhere, but without oneDNN far slower."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def onednn_serves(weight: Tensor) -> bool:
    """Whether this build and this CPU have the operators for weights of this device and type."""
    if weight.device.type != 'cpu' or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPS):
        return False
    if weight.dtype == torch.bfloat16:
        return cpu_has_bfloat16()
    return weight.dtype == torch.float32


def pack_conv_weight(weight: Tensor, input_shape: Sequence[int], stride: Sequence[int] = (1, 1),
                     padding: Sequence[int] = (0, 0), dilation: Sequence[int] = (1, 1), groups: int = 1) -> Tensor:
    """Weights [K, C / groups, a, b] in the layout that is best for inputs of ``input_shape`` [N, C, h, w].

    They work for inputs of any other shape too, but are then repacked at each call, which is slow.
    """
    return torch.ops.mkldnn._reorder_convolution_weight(weight, padding, stride, dilation, groups, input_shape)


def packed_conv(x: Tensor, weight: Tensor, bias: Optional[Tensor], stride: Sequence[int] = (1, 1),
                padding: Sequence[int] = (0, 0), dilation: Sequence[int] = (1, 1), groups: int = 1) -> Tensor:
    """Convolution of x [N, C, h, w] (fastest in channels_last) with a packed weight of its type."""
    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, padding, stride, dilation, groups, 'none', [], '')


def pack_linear_weight(weight: Tensor) -> Tensor:
    """Weights [K, C] for ``packed_linear``."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)


def packed_linear(x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    """x [..., C] times a packed weight of its type: [..., K]."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'none', [], '')
