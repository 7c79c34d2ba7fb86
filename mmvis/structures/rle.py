"""Compressed run-length masks, as pycocotools reads and writes them.

An RLE is ``{'size': [h, w], 'counts': str}``: column-major runs, compressed to a string. Strings, not bytes,
so that a mask goes into JSON as it is.
"""
from typing import List, Sequence, TypedDict

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
