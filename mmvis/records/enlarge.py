"""From mask logits at a fraction of the frame's size to the run lengths of the whole frame."""
from functools import lru_cache
from typing import NamedTuple, Optional, Tuple

import numpy as np

from mmvis.structures import RLE, encode_crop

Range = Tuple[int, int]


@lru_cache(maxsize=64)
def _taps(size: int, new_size: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``new_size`` places the two it lies between, and the weight of the second (corners not aligned)."""
    place = np.maximum((np.arange(new_size, dtype=np.float32) + np.float32(0.5)) * np.float32(size / new_size)
                       - np.float32(0.5), 0)
    first = np.minimum(place.astype(np.int64), size - 1)
    return first, np.minimum(first + 1, size - 1), (place - first).astype(np.float32)


class EncodedMask(NamedTuple):
    """A mask at the size of the frame.

    Attributes:
        rle: run lengths; box: float32 [4], x1 y1 x2 y2 with x2, y2 one past the last pixel.
        values: logits of the pixels of the mask, float32 [n].
    """
    rle: RLE
    box: np.ndarray
    values: np.ndarray


def enlarge_and_encode(logits: np.ndarray, size: Tuple[int, int], network: Optional[Tuple[int, int]] = None,
                       cut: Optional[Tuple[int, int]] = None) -> Optional[Tuple[RLE, np.ndarray]]:
    """Enlarge a mask bilinearly to a frame and encode where it is above 0.

    The pixels are those of ``torch.nn.functional.interpolate(mode='bilinear', align_corners=False)``, but only the
    surroundings of positive logits are computed: an interpolated value is above 0 only next to one.

    Args:
        logits: float32 [h4, w4].
        size: (h, w) of the frame.
        network: (H, W), a first step to the padded input of the network, of which the top left ``cut`` (height, width)
            is then enlarged, or reduced, to ``size``; None: one step, all of it.

    Returns:
        RLE at ``size`` and box float32 [4], x1 y1 x2 y2 with x2, y2 one past the last pixel; None without a pixel.
    """
    found = _enlarge(logits, size, network, cut)
    return None if found is None else _encode(found[0] > 0, *found[1:], size)


def enlarge_with_values(logits: np.ndarray, size: Tuple[int, int], network: Optional[Tuple[int, int]] = None,
                        cut: Optional[Tuple[int, int]] = None) -> Optional[EncodedMask]:
    """As ``enlarge_and_encode``, and the enlarged logits of the pixels of the mask."""
    found = _enlarge(logits, size, network, cut)
    if found is None:
        return None
    inside = found[0] > 0
    encoded = _encode(inside, *found[1:], size)
    return None if encoded is None else EncodedMask(*encoded, found[0][inside])


def _enlarge(logits: np.ndarray, size: Tuple[int, int], network: Optional[Tuple[int, int]],
             cut: Optional[Tuple[int, int]]) -> Optional[Tuple[np.ndarray, int, int]]:
    """A window of the enlarged map outside of which nothing is positive, and its left and top; None: nothing is."""
    whole, offset = logits.shape, (0, 0)
    if network is not None:
        positive = logits > 0
        if not positive.any():
            return None
        region = tuple(_one_more(_reach(positive.any(1 - axis), network[axis]), cut[axis]) for axis in (0, 1))
        logits = _resize(logits, offset, whole, network, region)
        whole, offset = cut, (region[0][0], region[1][0])
    positive = logits > 0
    if not positive.any():
        return None
    rows, columns = (_reach(_placed(positive.any(1 - axis), offset[axis], whole[axis]), size[axis]) for axis in (0, 1))
    return _resize(logits, offset, whole, size, (rows, columns)), columns[0], rows[0]


def _encode(inside: np.ndarray, left: int, top: int, size: Tuple[int, int]) -> Optional[Tuple[RLE, np.ndarray]]:
    """RLE and box of a window of a mask; None without a pixel."""
    y, x = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(y):
        return None
    inside = inside[y[0]:y[-1] + 1, x[0]:x[-1] + 1]
    left, top = left + int(x[0]), top + int(y[0])
    box = np.array([left, top, left + inside.shape[1], top + inside.shape[0]], np.float32)
    return encode_crop(inside, left, top, size), box


def _resize(x: np.ndarray, offset: Tuple[int, int], size: Tuple[int, int], new_size: Tuple[int, int],
            region: Tuple[Range, Range]) -> np.ndarray:
    """The rows and columns of a region of an image of ``size`` resized to ``new_size``.

    ``x`` holds what the region needs of the image, from row and column ``offset`` on.
    """
    first, second, weight = (tap[slice(*region[1])] for tap in _taps(size[1], new_size[1]))
    wide = x[:, first - offset[1]] * (1 - weight) + x[:, second - offset[1]] * weight
    first, second, weight = (tap[slice(*region[0])] for tap in _taps(size[0], new_size[0]))
    weight = weight[:, None]
    return wide[first - offset[0]] * (1 - weight) + wide[second - offset[0]] * weight


def _reach(positive: np.ndarray, new_size: int) -> Range:
    """The range of new places that lie next to a positive one, for bool [size]."""
    first, second, _ = _taps(len(positive), new_size)
    places = np.flatnonzero(positive[first] | positive[second])
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)


def _one_more(found: Range, end: int) -> Range:
    """A range wider by one on both sides, within 0 .. ``end``."""
    return min(max(found[0] - 1, 0), end), min(found[1] + 1, end)


def _placed(positive: np.ndarray, offset: int, size: int) -> np.ndarray:
    """Bool [n] as part of bool [size]."""
    return np.pad(positive, (offset, size - offset - len(positive)))
