"""The one reading that an ill-spelt value of a results file can have. Where there is more than one, there is none."""
import ast
import math
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import shown

#: Longer sides are no frame.
_LONGEST_SIDE = (1 << 16) - 1


def is_rle(frame: Dict[str, Any]) -> bool:
    """Whether an object is spelt as an RLE: a size of two integers and counts as a string."""
    size, counts = frame.get('size'), frame.get('counts')
    return (type(counts) is str and counts[1:2] not in ('"', "'") and isinstance(size, list) and len(size) == 2
            and type(size[0]) is type(size[1]) is int and 0 < min(size) and max(size) <= _LONGEST_SIDE)


def as_integer(value: Any) -> Optional[int]:
    """The integer that a float without a fraction (7.0) or a string of digits ("7") stands for."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch('0|-?[1-9][0-9]{0,17}', value):
        return int(value)
    return value if type(value) is int else None


def as_number(value: Any) -> Optional[float]:
    """The finite float that an integer or a string ("0.9") stands for."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_rle(frame: Any, frame_size: Optional[Sequence[int]]) -> Tuple[Optional[Dict[str, Any]], str]:
    """A frame that is not ``{'size': [h, w], 'counts': str}`` with integers, as such.

    Read are: a size of floats without a fraction, counts as a list of runs that fill the size, counts as the text of a
    Python bytes object ("b'...'"), polygons where the size of the frame is known.

    Args:
        frame: anything but null.
        frame_size: h, w (more is not looked at) of the video's frames.

    Returns:
        The RLE, or None where there is no safe reading; what is odd, to be put behind the name of the frame.
    """
    if isinstance(frame, list):
        polygons = _polygons(frame, frame_size)
        return polygons, ' is a list of polygons' if polygons or _looks_polygonal(frame) else f' is {shown(frame)}'
    if not isinstance(frame, dict):
        return None, f' is {shown(frame)}'
    for key in ('size', 'counts'):
        if key not in frame:
            return None, f' has no {key}'
    size, counts = frame['size'], frame['counts']
    sides = [as_integer(side) if not isinstance(side, str) else None for side in size] if isinstance(size, list) else []
    if len(sides) != 2 or None in sides or not 0 < min(sides) <= max(sides) <= _LONGEST_SIDE:
        return None, f'.size is {shown(size)}, not [height, width]'
    if isinstance(counts, str):
        problem = '' if sides == size else f'.size is {shown(size)}, not integers'
        text = _unquoted(counts)
        if text is None:
            return None, f'.counts is {shown(counts)}, no RLE'
        return {'size': sides, 'counts': text}, problem or f'.counts is the text of a bytes object, {shown(counts)}'
    if not isinstance(counts, list):
        return None, f'.counts is {shown(counts)}, not a string'
    problem = '.counts is a list of runs, not a string'
    if not all(type(run) is int and run >= 0 for run in counts) or sum(counts) != sides[0] * sides[1]:
        return None, problem + ' (and they do not fill the size)'
    return {'size': sides, 'counts': _compress(counts, sides)}, problem


def _unquoted(counts: str) -> Optional[str]:
    """Counts as they are, or what stands in the text of a bytes object: an RLE string itself has no quotation mark."""
    if counts[1:2] not in ('"', "'"):
        return counts
    try:
        value = ast.literal_eval(counts)
        return value.decode('ascii') if isinstance(value, bytes) else None
    except (ValueError, SyntaxError, UnicodeDecodeError):
        return None


def _compress(runs: List[int], size: List[int]) -> str:
    return coco_mask.frPyObjects({'size': size, 'counts': runs}, *size)['counts'].decode('ascii')


def _looks_polygonal(frame: list) -> bool:
    return all(isinstance(polygon, list) for polygon in frame)


def _polygons(frame: list, frame_size: Optional[Sequence[int]]) -> Optional[Dict[str, Any]]:
    """The polygons as the evaluation code draws those of an annotation file."""
    if frame_size is None or not _looks_polygonal(frame):
        return None
    height, width = frame_size[:2]
    for polygon in frame:
        if len(polygon) < 6 or len(polygon) % 2 or not all(type(x) in (int, float) for x in polygon):
            return None
        # Far outside the frame it is no polygon of this frame (and would cost memory without bound).
        if not np.abs(polygon).max() <= 4 * max(height, width):
            return None
    rle = coco_mask.merge(coco_mask.frPyObjects(frame, height, width))
    return {'size': [height, width], 'counts': rle['counts'].decode('ascii')}
