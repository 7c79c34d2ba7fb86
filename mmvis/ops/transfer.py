"""From the host to the device of the model and back, without more waiting than the results ask for.

A copy out of ordinary memory waits until the device has done all that it was given before; one out of pinned memory is
queued behind it. A copy to the host has to wait, so what is needed at one time goes in one. On a CPU nothing is copied.
"""
from functools import lru_cache
from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def to_device(tensor: Tensor, device: Union[str, torch.device]) -> Tensor:
    """The tensor on a device; one of the host is sent to a GPU without a wait."""
    if torch.device(device).type != 'cuda' or tensor.device.type != 'cpu':
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


def each_to_device(tensors: Sequence[Tensor], device: Union[str, torch.device]) -> List[Tensor]:
    """:func:`to_device` of tensors of the host, in one copy."""
    if torch.device(device).type != 'cuda' or not tensors:
        return [tensor.to(device) for tensor in tensors]
    parts = [_bytes(tensor) for tensor in tensors]
    padded = [F.pad(part, (0, -len(part) % 8)) for part in parts]          # every type can be read from there
    copies = to_device(torch.cat(padded), device).split([len(part) for part in padded])
    return [copy[:len(part)].view(tensor.dtype).view(tensor.shape) for copy, part, tensor in zip(copies, parts, tensors)]


def on_device(values: Any, device: Union[str, torch.device], dtype: Optional[torch.dtype] = None) -> Tensor:
    """Numbers of the host (lists of any depth, arrays) as a tensor on a device."""
    return to_device(torch.as_tensor(values, dtype=dtype), device)


@lru_cache(maxsize=256)
def constant(values: Any, device: torch.device, dtype: Optional[torch.dtype] = None) -> Tensor:
    """:func:`on_device` of a number or tuples of numbers that come again and again. Not to be changed in place."""
    with torch.inference_mode(False):                       # a training may take what a validation has made
        return on_device(values, device, dtype)


@lru_cache(maxsize=256)
def per_level(values: tuple, sizes: Tuple[int, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """[sum of sizes, ...] from a number (or a row of them) a level of a pyramid: each as often as its level has places.
    Not to be changed in place."""
    with torch.inference_mode(False):
        return to_device(torch.as_tensor(values, dtype=dtype).repeat_interleave(torch.tensor(sizes), dim=0), device)


def constant_like(tensor: Tensor, values: Any) -> Tensor:
    """:func:`constant` of the device and type of a tensor."""
    return constant(values, tensor.device, tensor.dtype)


def to_host(*tensors: Tensor) -> List[Tensor]:
    """The tensors on the CPU, after one wait for all of them."""
    if all(tensor.device.type == 'cpu' for tensor in tensors):
        return list(tensors)
    parts = [_bytes(tensor) for tensor in tensors]
    bytes_ = torch.cat(parts).cpu().split([len(part) for part in parts])
    return [x.clone().view(tensor.dtype).view(tensor.shape) for x, tensor in zip(bytes_, tensors)]


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def masks_to_host(masks: Tensor, *tensors: Tensor) -> List[Any]:
    """Bool masks [..., w] as an array, and other tensors on the CPU, after one wait. A GPU sends a bit a pixel."""
    if masks.device.type == 'cpu':
        return [masks.numpy(), *tensors]
    bits, *others = to_host(pack_bits(masks), *tensors)
    return [np.unpackbits(bits.numpy(), axis=-1, count=masks.shape[-1]).view(bool), *others]


def pack_bits(x: Tensor) -> Tensor:
    """uint8 [..., ceil(n / 8)] of bool [..., n], as ``numpy.packbits`` along the last axis."""
    eights = F.pad(x.to(torch.uint8), (0, -x.shape[-1] % 8)).unflatten(-1, (-1, 8))
    return (eights << constant(tuple(range(7, -1, -1)), x.device, torch.uint8)).sum(-1, dtype=torch.uint8)
