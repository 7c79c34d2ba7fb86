"""From the host to the device of the model and back, without more waiting than the results ask for.

A copy out of ordinary memory waits until the device has done all that it was given before; one out of pinned memory is
queued behind it. A copy to the host has to wait, so what is needed at one time goes in one. On a CPU nothing is copied.
"""
from functools import lru_cache
from typing import Any, List, Optional, Tuple, Union

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: Union[str, torch.device]) -> Tensor:
    """The tensor on a device; one of the host is sent to a GPU without a wait."""
    if torch.device(device).type != 'cuda' or tensor.device.type != 'cpu':
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


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
    parts = [tensor.detach().contiguous().flatten().view(torch.uint8) for tensor in tensors]
    bytes_ = torch.cat(parts).cpu().split([len(part) for part in parts])
    return [x.clone().view(tensor.dtype).view(tensor.shape) for x, tensor in zip(bytes_, tensors)]
