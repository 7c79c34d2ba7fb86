"""Masks of a frame: upsampled without the empty parts, made disjoint."""
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor


def _linear_rows(positions: np.ndarray, size: int) -> np.ndarray:
    """Matrix float64 [len(positions), size] that interpolates linearly between ``size`` samples at 0, 1, 2, ...; at
    positions outside them the nearest one."""
    positions = positions.clip(0, size - 1)
    lower = np.minimum(np.floor(positions).astype(int), max(size - 2, 0))
    matrix = np.zeros((len(positions), size))
    rows = np.arange(len(positions))
    matrix[rows, lower] = 1 - (positions - lower)
    matrix[rows, np.minimum(lower + 1, size - 1)] += positions - lower
    return matrix


class MaskUpsampler:
    """Masks of probabilities at stride 4 to two sizes: the padded network input, and the original frame.

    Both are products with matrices that interpolate linearly along an axis, and of the product only what can exceed
    the threshold is computed.

    Args:
        pad_shape: (H, W) of the network input; img_shape: (height, width) before padding; ori_shape: (h, w).
        stride: of the masks.
    """

    def __init__(self, pad_shape: Tuple[int, int], img_shape: Tuple[int, int], ori_shape: Tuple[int, int],
                 stride: int = 4) -> None:
        self.pad_shape, self.img_shape, self.ori_shape = tuple(pad_shape), tuple(img_shape), tuple(ori_shape)
        to_input, to_frame = [], []
        for pad, img, ori in zip(pad_shape, img_shape, ori_shape):
            # "Aligned" interpolation: sample i lies at pixel stride * i + stride // 2.
            rows = _linear_rows((np.arange(pad) - stride // 2) / stride, pad // stride)
            to_input.append(torch.from_numpy(rows))
            pixels = (np.arange(ori) + 0.5) * (img / ori) - 0.5
            to_frame.append(torch.from_numpy(_linear_rows(pixels, img) @ rows[:img]))
        self._matrices = [to_input, to_frame]                  # move to the masks' device and type at the first use
        self._spans = [[_spans(x) for x in matrices] for matrices in self._matrices]

    def to_input(self, mask: Tensor, threshold: float = 0.5) -> 'CroppedMask':
        """Mask [H / stride, W / stride] of probabilities over the threshold, at the padded size of the input."""
        return self._upsample(mask, 0, self.pad_shape, threshold)

    def to_frame(self, mask: Tensor, threshold: float = 0.5) -> 'CroppedMask':
        """The same at the original size."""
        return self._upsample(mask, 1, self.ori_shape, threshold)

    def _upsample(self, mask: Tensor, target: int, size: Tuple[int, int], threshold: float) -> 'CroppedMask':
        over = mask > threshold
        ranges = []
        for axis in (0, 1):
            cells = over.any(1 - axis).nonzero()[:, 0]
            if len(cells) == 0:
                return CroppedMask(0, 0, np.zeros((0, 0), bool), size)
            first, end = self._spans[target][axis]
            # A pixel can be over the threshold only if one of the cells that it hangs on is: three neighbours at most.
            low, high = int(cells[0]), int(cells[-1])
            ranges.append((max(low - 2, 0), high + 3, int(first[low]), int(end[high])))
        (top, bottom, y0, y1), (left, right, x0, x1) = ranges
        rows, columns = self._matrices[target] = [matrix.to(mask) for matrix in self._matrices[target]]
        crop = rows[y0:y1, top:bottom] @ (mask[top:bottom, left:right] @ columns[x0:x1, left:right].T)
        return CroppedMask(x0, y0, (crop > threshold).cpu().numpy(), size)


def _spans(matrix: Tensor) -> Tuple[np.ndarray, np.ndarray]:
    """For each column of a banded matrix the first row in which it or a later one counts, and the row after the last
    in which it or an earlier one does."""
    used, num_rows = matrix.numpy() > 0, len(matrix)
    first = np.where(used.any(0), used.argmax(0), num_rows)
    end = np.where(used.any(0), num_rows - used[::-1].argmax(0), 0)
    return np.minimum.accumulate(first[::-1])[::-1], np.maximum.accumulate(end)


@dataclass
class CroppedMask:
    """A mask that is 0 outside a rectangle: ``crop`` bool [b, a], its top left pixel (x, y); ``size`` (h, w)."""
    x: int
    y: int
    crop: np.ndarray
    size: Tuple[int, int]

    @property
    def window(self) -> Tuple[slice, slice]:
        return slice(self.y, self.y + self.crop.shape[0]), slice(self.x, self.x + self.crop.shape[1])

    def area(self) -> int:
        return int(np.count_nonzero(self.crop))

    def overlap(self, other: 'CroppedMask') -> float:
        """Intersection over union with another mask of the same size."""
        y, x = max(self.y, other.y), max(self.x, other.x)
        common = self.crop[y - self.y:, x - self.x:], other.crop[y - other.y:, x - other.x:]
        height, width = (min(a, b) for a, b in zip(common[0].shape, common[1].shape))
        shared = int(np.count_nonzero(common[0][:height, :width] & common[1][:height, :width]))
        return shared / max(self.area() + other.area() - shared, 1)

    def whole(self) -> np.ndarray:
        """bool [h, w]."""
        out = np.zeros(self.size, bool)
        out[self.window] = self.crop
        return out


def make_disjoint(masks: Sequence[CroppedMask], min_visible: float = 0.1) -> Tuple[List[int], List[CroppedMask]]:
    """Give every pixel to the first mask that has it.

    Returns:
        Rows of the masks that keep a pixel and at least ``min_visible`` of their area, and what they keep. A mask that
        falls away gives its pixels to nobody.
    """
    rows, kept = [], []
    free = np.ones(masks[0].size, bool) if masks else None
    for row, mask in enumerate(masks):
        visible = claim(mask, free)
        area, left = mask.area(), visible.area()
        if left and left / area >= min_visible:
            rows.append(row)
            kept.append(visible)
    return rows, kept


def claim(mask: CroppedMask, free: np.ndarray) -> CroppedMask:
    """The part of a mask in ``free`` bool [h, w], which is then free no more."""
    window = free[mask.window]
    visible = CroppedMask(mask.x, mask.y, mask.crop & window, mask.size)
    window &= ~mask.crop
    return visible


def paint(masks: Sequence[CroppedMask], slots: Sequence[int], max_obj_num: int, size: Tuple[int, int]) -> np.ndarray:
    """Whose each pixel is, uint8 [h, w]: a slot, M = ``max_obj_num`` for the background.

    Of disjoint masks with the same slot the last one gets it; the pixels of the others are nobody's, M + 1.
    """
    owner = np.full(size, max_obj_num, np.uint8)
    last = {slot: row for row, slot in enumerate(slots)}
    for row, (mask, slot) in enumerate(zip(masks, slots)):
        owner[mask.window][mask.crop] = slot if last[slot] == row else max_obj_num + 1
    return owner
