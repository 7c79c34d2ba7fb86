"""From small masks of the whole frame to run lengths of the original frame."""
from typing import List, Tuple

import numpy as np

from mmvis.structures import RLE, encode_crop


def encode_masks(probabilities: np.ndarray, factor: float, size: Tuple[int, int], threshold: float = 0.5,
                 ratio_of_sizes: bool = True) -> List[RLE]:
    """RLEs of masks that are resized bilinearly, cut at the right and bottom border, and thresholded.

    The resize is that of ``torch.nn.functional.interpolate(align_corners=False)``, made only where a mask can pass the
    threshold.

    Args:
        probabilities: float32 [n, h, w], in a frame padded to the right and below.
        factor: pixels of the original frame a pixel of these masks; they grow to floor(h * factor) x floor(w * factor).
        size: (h, w) of the original frame.
        ratio_of_sizes: the sampling ratio is old / new size (PyTorch 1.1, later ``recompute_scale_factor=True``); else
            it is 1 / factor.
    """
    return [_encode(mask, factor, size, threshold, ratio_of_sizes) for mask in probabilities]


def _encode(mask: np.ndarray, factor: float, size: Tuple[int, int], threshold: float, ratio_of_sizes: bool) -> RLE:
    high = mask > threshold
    if not high.any():
        return encode_crop(high[:0, :0], 0, 0, size)
    (y, rows, row_part), (x, columns, column_part) = (
        _taps(high.any(1 - axis), int(mask.shape[axis] * factor), factor, size[axis], ratio_of_sizes)
        for axis in (0, 1))
    # Column by column, the order of run lengths; both steps blend whole rows in memory.
    narrow = np.ascontiguousarray(_blend(mask, rows, row_part).T)
    return encode_crop((_blend(narrow, columns, column_part) > threshold).T, x, y, size)


def _taps(used: np.ndarray, grown: int, factor: float, limit: int,
          ratio_of_sizes: bool) -> Tuple[int, Tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Along one axis: the first new pixel that can pass, and of it and the following ones both old neighbours and the
    share of the second. ``used`` says which old pixels pass; ``grown`` is the new size, of which ``limit`` count."""
    ratio = np.float32(len(used) / grown if ratio_of_sizes else 1 / factor)
    index = np.flatnonzero(used)
    first = max(int((index[0] - 0.5) / ratio - 1.5), 0)
    last = min(int((index[-1] + 1.5) / ratio + 1.5), grown, limit)
    half = np.float32(0.5)
    place = np.maximum(ratio * (np.arange(first, max(first, last), dtype=np.float32) + half) - half, 0)
    low = place.astype(np.int64)
    return first, (low, np.minimum(low + 1, len(used) - 1)), (place - low).astype(np.float32)[:, None]


def _blend(mask: np.ndarray, rows: Tuple[np.ndarray, np.ndarray], part: np.ndarray) -> np.ndarray:
    out = mask[rows[0]]
    out *= 1 - part
    out += mask[rows[1]] * part
    return out
