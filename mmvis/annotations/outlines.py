"""The polygons of an annotation file of images, for transforms that turn outlines and draw the masks afterwards.

Apart from ``AnnotationIndex``, which has all masks drawn: hardly anything needs them, and they are larger than the
masks.
"""
import logging
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from mmvis.errors import InputError

from .kept import Kept, Note, open_kept, read_kept

#: Raised when the meaning of the arrays changes, so that older copies are not used.
_KIND = 'outlines1'


@dataclass
class Outlines:
    """The outlines of A objects, numbered as those of ``AnnotationIndex``.

    Attributes:
        part_ptr: int64 [A + 1], the outlines of object a are part_ptr[a] : part_ptr[a + 1]; none where it has an RLE.
        point_ptr: int64 [P + 1], the points of outline p are point_ptr[p] : point_ptr[p + 1].
        points: float64 [N, 2], x y in pixels of the image as it is on the disk.
    """
    ann_file: str
    part_ptr: np.ndarray
    point_ptr: np.ndarray
    points: np.ndarray
    cache_key: str = ''

    def parts(self, number: int) -> Optional[List[np.ndarray]]:
        """The outlines of an object, float64 [P, 2] each; None if it has none."""
        ends = self.point_ptr[self.part_ptr[number]:self.part_ptr[number + 1] + 1]
        return [self.points[a:b] for a, b in zip(ends[:-1], ends[1:])] or None

    def __reduce__(self):
        # A spawned worker maps the kept copy again instead of receiving a copy of the arrays.
        if self.cache_key:
            return _reopen, (self.ann_file, self.cache_key)
        return Outlines, (self.ann_file, self.part_ptr, self.point_ptr, self.points)


def load_outlines(ann_file: str, note: Note = logging.getLogger(__name__).info) -> Outlines:
    """The outlines of an annotation file that ``load_annotations`` has read and found well formed.

    Args:
        note: takes a sentence on what is going on, while a large file is read for the first time.

    Raises:
        InputError: there is no such file.
    """
    ann_file = os.path.abspath(ann_file)
    return _make(ann_file, read_kept(ann_file, _KIND, _as_arrays, note))


def _reopen(ann_file: str, key: str) -> Outlines:
    kept = open_kept(key)
    if kept is not None:
        return _make(ann_file, kept)
    outlines = load_outlines(ann_file)
    if outlines.cache_key not in ('', key):
        raise InputError(f'annotation file {ann_file} has changed since the data set was made.')
    return outlines


def _make(ann_file: str, kept: Kept) -> Outlines:
    return Outlines(ann_file, **kept.arrays, cache_key=kept.key)


def _as_arrays(data: Any) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Nothing for ``meta``, and the arrays of ``Outlines``."""
    objects = [record.get('segmentation') for record in data.get('annotations') or ()]
    polygons = [item if isinstance(item, list) else [] for item in objects]  # of videos there are RLEs alone
    points = [np.array(polygon, np.float64).reshape(-1, 2) for parts in polygons for polygon in parts]
    return {}, dict(part_ptr=np.cumsum([0, *map(len, polygons)]), point_ptr=np.cumsum([0, *map(len, points)]),
                    points=np.concatenate([np.zeros((0, 2)), *points]))
