"""From a small mask in a box to the run lengths of a whole frame, without the whole frame."""
from typing import Tuple

import cv2
import numpy as np
from pycocotools import mask as _coco_mask

from mmvis.structures import RLE


def paste_and_encode(probabilities: np.ndarray, box: np.ndarray, size: Tuple[int, int], threshold: float = 0.5) -> RLE:
    """RLE of a mask given inside its box (mmdet 1.x rule: whole pixels, OpenCV's bilinear resize).

    Args:
        probabilities: float32 [s, s].
        box: [4] x1 y1 x2 y2, inclusive, in pixels of the frame; cut to whole pixels.
        size: (h, w) of the frame.
    """
    height, width = size
    x1, y1, x2, y2 = box.astype(np.int32).tolist()
    shape = (max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1))
    crop = cv2.resize(probabilities, shape, interpolation=cv2.INTER_LINEAR) > threshold
    # A box may leave the frame by a pixel of rounding.
    crop = crop[max(-y1, 0):height - y1, max(-x1, 0):width - x1]
    return encode_crop(crop, max(x1, 0), max(y1, 0), size)


def encode_crop(crop: np.ndarray, x: int, y: int, size: Tuple[int, int]) -> RLE:
    """RLE at ``size`` (h, w) of a bool crop inside the frame, its top left pixel at (x, y); 0 around it."""
    height, width = size
    # Frames are run-length coded column by column: in the transposed crop each row is a column of the frame.
    columns = np.pad(np.ascontiguousarray(crop.T, dtype=bool), ((0, 0), (1, 1)))
    column, row = np.divmod(np.flatnonzero(columns[:, 1:] != columns[:, :-1]), columns.shape[1] - 1)
    bounds = (column + x) * height + row + y                           # starts and ends of runs in turn
    # Where a run ends at the bottom of a column and the next begins at the top of the next one, they are one run.
    if len(bounds) > 2:
        joined = bounds[1:-1:2] == bounds[2::2]
        bounds = bounds[np.concatenate([[True], ~np.repeat(joined, 2), [True]])]
    total = height * width
    bounds = np.concatenate([[0], bounds, [total]]) if len(bounds) == 0 or bounds[-1] < total else np.append(0, bounds)
    counts = np.diff(bounds).tolist()
    rle = _coco_mask.frPyObjects({'size': [height, width], 'counts': counts}, height, width)
    return {'size': [height, width], 'counts': rle['counts'].decode('ascii')}
