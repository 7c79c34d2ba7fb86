"""Compressed run-length masks, as pycocotools reads and writes them.

An RLE is ``{'size': [h, w], 'counts': str}``: column-major runs, compressed to a string. Strings, not bytes,
so that a mask goes into JSON as it is.
"""
from typing import List, Sequence, Tuple, TypedDict

import numpy as np
from pycocotools import mask as _coco_mask


class RLE(TypedDict):
    size: List[int]
    counts: str


def encode_mask(mask: np.ndarray) -> RLE:
    """RLE of one binary mask [h, w] (bool or uint8)."""
    rle = _coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': [int(rle['size'][0]), int(rle['size'][1])], 'counts': rle['counts'].decode('ascii')}


def encode_masks(masks: Sequence[np.ndarray]) -> List[RLE]:
    """RLEs of N binary masks, each [h, w]. One at a time: no N x h x w copy is made."""
    return [encode_mask(mask) for mask in masks]


def decode_rle(rle: RLE) -> np.ndarray:
    """Binary mask uint8 [h, w] of one RLE."""
    return _coco_mask.decode({'size': rle['size'], 'counts': rle['counts'].encode('ascii')})


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
