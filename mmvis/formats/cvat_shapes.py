"""The shapes of CVAT: read from XML, moved between two frames, drawn."""
import math
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple, Optional

import numpy as np

from mmvis.errors import InputError, shown
from mmvis.structures import RLE

from .pictures import Size
from .shapes import ellipse, fill_polygons, paste, rectangle
from .tracks import ShapeCount

#: Elements that cover pixels.
GOOD_SHAPES = ('polygon', 'mask', 'box', 'ellipse')
_NUMBERS = {'box': ('xtl', 'ytl', 'xbr', 'ybr'), 'ellipse': ('cx', 'cy', 'rx', 'ry'),
            'mask': ('left', 'top', 'width', 'height')}


class Shape(NamedTuple):
    """One shape of a track in one frame.

    ``numbers``: of a polygon its points [P, 2]; else the four numbers of ``_NUMBERS``. ``degrees``: it is turned by.
    ``crop``: of a mask, bool [height, width].
    """
    kind: str
    frame: int
    outside: bool
    keyframe: bool
    numbers: np.ndarray
    degrees: float
    crop: Optional[np.ndarray] = None


def read_shape(element: ElementTree.Element, where: str, frame: Optional[int] = None) -> Shape:
    """A shape from its element.

    Args:
        where: the beginning of a sentence about it.
        frame: of an image; of a track the element names it.

    Raises:
        InputError: an attribute is missing or no number.
    """
    if frame is None:
        text = element.get('frame')
        if text is None or not text.isdecimal():
            raise InputError(f'{where}: frame of a {element.tag} is {shown(text)}, not a whole number.')
        frame = int(text)
        where = f'{where}, frame {frame}'
    outside, keyframe = (_flag(element, name, where) for name in ('outside', 'keyframe'))
    degrees = _number(element, 'rotation', where) if element.get('rotation') else 0.
    crop = None
    if element.tag == 'polygon':
        numbers = _points(element.get('points'), where)
    else:
        numbers = np.array([_number(element, name, where) for name in _NUMBERS[element.tag]])
        if element.tag == 'mask':
            crop = _crop(element.get('rle'), numbers, where)
    return Shape(element.tag, frame, outside, keyframe, numbers, degrees, crop)


def _flag(element: ElementTree.Element, name: str, where: str) -> bool:
    text = element.get(name, '0' if name == 'outside' else '1')
    if text.lower() not in ('0', '1', 'true', 'false'):
        raise InputError(f'{where}: {name} is {shown(text)}, neither 0 nor 1.')
    return text.lower() in ('1', 'true')


def _number(element: ElementTree.Element, name: str, where: str) -> float:
    text = element.get(name)
    value = _as_float(text)
    if value is None:
        raise InputError(f'{where}: {name} of a {element.tag} is {shown(text)}, not a finite number.')
    return value


def _as_float(text: Optional[str]) -> Optional[float]:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _points(text: Optional[str], where: str) -> np.ndarray:
    points = []
    for pair in (text or '').strip().strip(';').split(';'):
        numbers = [_as_float(number) for number in pair.split(',')]
        if len(numbers) != 2 or None in numbers:
            raise InputError(f'{where}: points of a polygon has {shown(pair)}, not two finite numbers x,y.')
        points.append(numbers)
    return np.array(points)


def _crop(text: Optional[str], numbers: np.ndarray, where: str) -> np.ndarray:
    """The mask of an ``rle``: runs of background and object in turn, row by row in its box."""
    if (numbers != numbers.round()).any() or (numbers[2:] < 1).any() or (numbers[2:] > 1 << 16).any():
        raise InputError(f'{where}: left, top, width and height of a mask are {numbers.tolist()}, not a box of whole '
                         'pixels.')
    width, height = numbers[2:].astype(int).tolist()
    runs = [part.strip() for part in (text or '').split(',')]
    bad = next((part for part in runs if not part.isdecimal()), None)
    if bad is not None:
        raise InputError(f'{where}: rle of a mask has {shown(bad)}, not a run of pixels.')
    lengths = [int(part) for part in runs]
    if sum(lengths) != width * height:
        raise InputError(f'{where}: the runs of rle come to {sum(lengths)} pixels, but the mask has {width} x '
                         f'{height}.')
    return np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(height, width).astype(bool)


def between(first: Shape, second: Shape, frame: int, where: str) -> Optional[Shape]:
    """The shape in a frame between two that follow each other, as CVAT moves it; None where it shows nothing.

    Boxes and ellipses move evenly. The points of polygons are paired by how far along the outline they lie, and each
    pair moves evenly; points of which one has no partner go to the nearest of the other polygon.

    Raises:
        InputError: the two are of different kinds.
    """
    if first.kind != second.kind:
        if second.outside:
            return first._replace(frame=frame, keyframe=False)
        raise InputError(f'{where}: the next shape is a {second.kind} in frame {second.frame}, this one a '
                         f'{first.kind}: there is nothing between them.')
    if first.kind == 'mask':
        return None
    share = (frame - first.frame) / (second.frame - first.frame)
    turned = (second.degrees - first.degrees + 180) % 360 - 180
    if first.kind == 'polygon':
        left, right = _paired(first.numbers, second.numbers)
    else:
        left, right = first.numbers, second.numbers
    return first._replace(frame=frame, keyframe=False, numbers=left + (right - left) * share,
                          degrees=first.degrees + turned * share)


def _paired(left: np.ndarray, right: np.ndarray):
    """Points of two closed polygons, [N, 2] each, the i-th of one with the i-th of the other."""
    places = [_along(points) for points in (left, right)]
    pairs = {(i, int(np.abs(places[1] - place).argmin())) for i, place in enumerate(places[0])}
    matched = {j for _, j in pairs}
    pairs |= {(int(np.abs(places[0] - place).argmin()), j) for j, place in enumerate(places[1]) if j not in matched}
    order = sorted(pairs)
    return left[[i for i, _ in order]], right[[j for _, j in order]]


def _along(points: np.ndarray) -> np.ndarray:
    """How far along its closed outline each point lies, 0 to 1."""
    steps = np.hypot(*(np.roll(points, -1, 0) - points).T)
    return np.concatenate([[0.], np.cumsum(steps[:-1])]) / max(float(steps.sum()), 1e-9)


def draw(shape: Shape, size: Size, where: str, count: ShapeCount) -> RLE:
    """The pixels of a shape."""
    if shape.kind == 'mask':
        count.outlines += 1
        return paste(shape.crop, int(shape.numbers[0]), int(shape.numbers[1]), size)
    if shape.kind == 'polygon':
        count.outlines += 1
        return fill_polygons([shape.numbers], size, where)
    if shape.kind == 'box':
        count.rectangles += 1
        return fill_polygons([rectangle(*shape.numbers, shape.degrees)], size, where)
    count.round += 1
    return fill_polygons([ellipse(*shape.numbers, shape.degrees)], size, where)
