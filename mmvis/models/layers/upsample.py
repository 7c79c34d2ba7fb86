"""From mask logits at a fraction of the frame's size to the run lengths of the whole frame."""
from functools import lru_cache
from typing import Optional, Tuple

import numpy as np

from mmvis.structures import RLE

from .paste import encode_crop


@lru_cache(maxsize=64)
def _taps(size: int, new_size: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``new_size`` places the two it lies between, and the weight of the second (corners not aligned)."""
    place = np.maximum((np.arange(new_size, dtype=np.float32) + np.float32(0.5)) * np.float32(size / new_size)
                       - np.float32(0.5), 0)
    first = np.minimum(place.astype(np.int64), size - 1)
    return first, np.minimum(first + 1, size - 1), (place - first).astype(np.float32)


def upsample_and_encode(logits: np.ndarray, size: Tuple[int, int]) -> Optional[Tuple[RLE, np.ndarray]]:
    """Enlarge a mask bilinearly to a frame, in one step, and encode where it is above 0.

    The pixels are those of ``torch.nn.functional.interpolate(mode='bilinear', align_corners=False)``, but only the
    surroundings of positive logits are computed: an interpolated value is above 0 only next to one.

    Args:
        logits: float32 [height, width].
        size: (h, w) of the frame.

    Returns:
        RLE at ``size`` and box float32 [4], x1 y1 x2 y2 with x2, y2 one past the last pixel; None without a pixel.
    """
    positive = logits > 0
    if not positive.any():
        return None
    (top, bottom), (left, right) = (_reach(positive.any(axis), new) for axis, new in ((1, size[0]), (0, size[1])))
    first, second, weight = (x[left:right] for x in _taps(logits.shape[1], size[1]))
    wide = logits[:, first] * (1 - weight) + logits[:, second] * weight
    first, second, weight = (x[top:bottom] for x in _taps(logits.shape[0], size[0]))
    weight = weight[:, None]
    crop = wide[first] * (1 - weight) + wide[second] * weight > 0
    rows, columns = np.flatnonzero(crop.any(1)), np.flatnonzero(crop.any(0))
    if not len(rows):
        return None
    crop = crop[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    x, y = left + int(columns[0]), top + int(rows[0])
    box = np.array([x, y, x + crop.shape[1], y + crop.shape[0]], np.float32)
    return encode_crop(crop, x, y, size), box


def _reach(positive: np.ndarray, new_size: int) -> Tuple[int, int]:
    """The range of new places that lie next to a positive one, for bool [size]."""
    first, second, _ = _taps(len(positive), new_size)
    places = np.flatnonzero(positive[first] | positive[second])
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
