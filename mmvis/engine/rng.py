"""The states of the random generators of a process, as tensors and plain Python values.

A resumed training draws the same numbers as one that was never stopped only when these states come back with it.
"""
import random
from typing import Any, Dict

import numpy as np
import torch


def get_rng_state() -> Dict[str, Any]:
    """States of the generators of Python, NumPy, torch and (where there is one) the present CUDA device.

    Holds only tensors and plain Python values, so that it can be read back by a weights-only ``torch.load``.
    """
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        'python': random.getstate(),
        'numpy': (name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)),
        'torch': torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: Dict[str, Any]) -> None:
    """Put back what :func:`get_rng_state` returned. A CUDA state is left out where there is no CUDA device.

    Raises:
        ValueError, TypeError, ...: it is another thing; the generators may then have changed in part.
    """
    version, numbers, gauss = state['python']
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state['numpy']
    if not 0 <= position <= len(keys):  # NumPy does not look, and would draw from the memory behind
        raise ValueError(f'position {position} of {len(keys)}')
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state['torch'])
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])
