"""From a small mask in a box to the run lengths of a whole frame, without the whole frame."""
from typing import Tuple

import cv2
import numpy as np

from mmvis.structures import RLE, encode_crop


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
