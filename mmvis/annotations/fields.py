"""The fields of annotations, checked: ids, sizes, and the lists with one item a frame.

The lists are long, so each is checked in one go; only where that finds a fault the items are looked at one by one.
"""
from array import array
from typing import Any, Callable, List, NoReturn, Optional, Sequence, Union

import numpy as np

from mmvis.errors import InputError, shown
from mmvis.structures.rle_decode import LONGEST_SIDE, Counts, pack_runs

from .polygons import rasterize

#: The beginning of a sentence about an item: file, video, annotation and frame.
Where = Callable[[int], str]


def as_integer(value: Any) -> Optional[int]:
    """A whole number, also one that is written as 7.0; None for anything else."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def as_id(value: Any) -> Union[int, str, None]:
    """An id of a video, a category or an annotation: a whole number or a text; None for anything else."""
    return value if type(value) is str else as_integer(value)


def is_finite(value: Any) -> bool:
    """Whether a value is a number that float64 can hold: neither NaN nor Infinity, no text, not true or false."""
    return type(value) in (int, float) and -1.7e308 < value < 1.7e308


def read_areas(items: Sequence[Any], field: str, where: Where) -> np.ndarray:
    """Areas, float64 [N]; NaN where there is none (null).

    Raises:
        InputError: something that is no number from 0 to the pixels of the largest frame.
    """
    areas = np.full(len(items), np.nan)
    given = [i for i, item in enumerate(items) if item is not None]
    numbers = _as_numbers([[items[i] for i in given]])
    if numbers is None or (numbers < 0).any() or (numbers > LONGEST_SIDE ** 2).any():
        bad = next(i for i in given if not is_finite(items[i]) or not 0 <= items[i] <= LONGEST_SIDE ** 2)
        raise InputError(f'{where(bad)}: {field} is {shown(items[bad])}, not a number of pixels or null.')
    areas[given] = numbers
    return areas


def read_boxes(items: Sequence[Any], field: str, where: Where) -> np.ndarray:
    """Boxes, float64 [N, 4], x y w h in pixels; NaN where there is none (null).

    Raises:
        InputError: something that is no list of four finite numbers.
    """
    boxes = np.full((len(items), 4), np.nan)
    given = [i for i, item in enumerate(items) if not _is_absent(item)]
    numbers = None
    if set(map(type, found := [items[i] for i in given])) <= {list} and set(map(len, found)) <= {4}:
        numbers = _as_numbers(found)
    if numbers is None:
        bad = next(i for i in given
                   if not (isinstance(items[i], list) and len(items[i]) == 4 and all(map(is_finite, items[i]))))
        raise InputError(f'{where(bad)}: {field} is {shown(items[bad])}, not four finite numbers x y w h or null.')
    boxes[given] = numbers.reshape(-1, 4)
    return boxes


def read_masks(items: Sequence[Any], heights: np.ndarray, widths: np.ndarray, field: str,
               where: Where) -> List[Optional[Counts]]:
    """Masks as the counts of an RLE at the size of their frames; None where there is none (null, [] or {}).

    Polygons are drawn; the counts of RLEs are handed on as they are, unchecked.

    Args:
        items: N RLEs (counts a list or a string), lists of polygons, or null.
        heights, widths: int64 [N], of the frames.

    Raises:
        InputError: something else, an RLE of another size, a polygon that is none.
    """
    masks: List[Optional[Counts]] = [None] * len(items)
    for i, (item, height, width) in enumerate(zip(items, heights.tolist(), widths.tolist())):
        if item is None or item == {} or item == []:
            continue
        if type(item) is dict:
            counts = item.get('counts')
            if item.get('size') == [height, width] and type(counts) in (str, list):
                masks[i] = pack_runs(counts) if type(counts) is list else counts
            else:
                _refuse_rle(item, height, width, field, where(i))
        else:
            masks[i] = _draw_polygons(item, height, width, field, where, i)
    return masks


def _is_absent(item: Any) -> bool:
    return item is None or item == []


def _as_numbers(lists: Sequence[List]) -> Optional[np.ndarray]:
    """The numbers of lists one after another, float64; None if one of them is no finite number."""
    flat = array('d')
    try:
        for one in lists:
            flat.fromlist(one)
    except (TypeError, OverflowError):
        return None
    numbers = np.frombuffer(flat, np.float64) if len(flat) else np.zeros(0)
    is_number = all(set(map(type, one)) <= {int, float} for one in lists)  # an array takes true for 1
    return numbers if is_number and np.isfinite(numbers).all() else None


def _refuse_rle(item: dict, height: int, width: int, field: str, where: str) -> NoReturn:
    if 'counts' not in item or 'size' not in item:
        raise InputError(f'{where}: {field} is {shown(item)}: an RLE has size and counts.')
    if item['size'] != [height, width]:
        raise InputError(f'{where}: the size of {field} is {shown(item["size"])}, but the frame is '
                         f'{[height, width]} (height, width).')
    raise InputError(f'{where}: counts of {field} is {shown(item["counts"])}, neither a text nor a list of runs.')


def _draw_polygons(item: Any, height: int, width: int, field: str, where: Where, i: int) -> bytes:
    if not isinstance(item, list) or not isinstance(item[0], list):
        raise InputError(f'{where(i)}: {field} is {shown(item)}, which is neither an RLE, nor a list of polygons, nor '
                         'null.')
    polygons = []
    for polygon in item:
        numbers = _as_numbers([polygon]) if isinstance(polygon, list) else None
        if numbers is None or len(numbers) < 6 or len(numbers) % 2:
            raise InputError(f'{where(i)}: {field} has the polygon {shown(polygon)}'
                             f'{_what_of_polygon(polygon)}.')
        polygons.append(numbers)
    try:
        return rasterize(polygons, height, width)
    except ValueError as error:
        raise InputError(f'{where(i)}: {field} cannot be drawn: {error}.') from None


def _what_of_polygon(polygon: Any) -> str:
    if not isinstance(polygon, list):
        return ', not a list x y x y ...'
    wrong = [value for value in polygon if not is_finite(value)]
    if wrong:
        return f' with {shown(wrong[0])}, not a finite number'
    return f' of {len(polygon)} numbers: an even number of at least 6 is needed'
