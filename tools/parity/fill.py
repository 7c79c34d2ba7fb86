"""Tensors that follow from a key and a salt: the same reference weights and inputs on every machine, without a file.

NumPy's legacy ``RandomState`` stream is frozen, so the weights never change; of ``frames`` a few pixels may differ by
one grey level between major versions of NumPy (its float32 sine changed).
"""
import zlib
from typing import Dict, Sequence

import numpy as np
import torch
from torch import Tensor


def _stream(key: str, salt: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(f'{salt}:{key}'.encode()))


def unit(key: str, shape: Sequence[int], salt: str) -> Tensor:
    """Standard normal numbers float32 of a shape."""
    return torch.from_numpy(np.asarray(_stream(key, salt).standard_normal(tuple(shape)), dtype=np.float32))


def parameter(key: str, shape: Sequence[int], dtype: str, salt: str) -> Tensor:
    """One tensor of a state dict: kernels n / sqrt(fan in), norm scales 1 + 0.1 n, biases and means 0.1 n."""
    dtype = getattr(torch, dtype)
    if key.endswith('num_batches_tracked') or not dtype.is_floating_point:
        return torch.zeros(tuple(shape), dtype=dtype)
    n = unit(key, shape, salt).numpy()
    if key.endswith('running_var'):
        n = 1 + 0.1 * np.abs(n)
    elif key.endswith('running_mean') or len(shape) <= 1 and key.endswith('bias'):
        n = 0.1 * n
    elif len(shape) <= 1:
        n = 1 + 0.1 * n
    else:
        n = n / float(np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(np.array(n, dtype=np.float32)).to(dtype)


def state_dict(manifest: Dict[str, list], salt: str) -> Dict[str, Tensor]:
    """Weights for a manifest {key: [shape, dtype]}."""
    return {key: parameter(key, shape, dtype, salt) for key, (shape, dtype) in manifest.items()}


def frames(num: int, height: int, width: int, salt: str) -> np.ndarray:
    """A clip uint8 [num, height, width, 3] (BGR): waves, and six ellipses that move over them."""
    stream = _stream(f'frames-{num}x{height}x{width}', salt)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.zeros((height, width, 3), np.float32)
    for _ in range(12):
        step_x, step_y = stream.uniform(0.005, 0.08), stream.uniform(0.005, 0.08)
        phase = stream.uniform(0, 6.28, 3)
        for channel in range(3):
            waves[..., channel] += stream.uniform(4, 16) * np.sin(step_x * x + step_y * y + phase[channel])
    ellipses = []
    for _ in range(6):
        centre = stream.uniform(0, width), stream.uniform(0, height)
        speed = stream.uniform(-9, 9), stream.uniform(-6, 6)
        radius = stream.uniform(0.06, 0.2) * width, stream.uniform(0.06, 0.25) * height
        ellipses.append((centre, speed, radius, stream.uniform(-90, 90, 3)))
    clip = np.empty((num, height, width, 3), np.uint8)
    for t in range(num):
        image = 118 + waves
        for (cx, cy), (vx, vy), (a, b), colour in ellipses:
            inside = ((x - cx - vx * t) / a) ** 2 + ((y - cy - vy * t) / b) ** 2 < 1
            image[inside] = 118 + colour + 0.3 * waves[inside]
        clip[t] = np.clip(image, 0, 255).astype(np.uint8)
    return clip
