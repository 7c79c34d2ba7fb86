"""Masks from the shapes that people draw, and polygons from masks."""
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmvis.annotations.polygons import rasterize
from mmvis.errors import InputError
from mmvis.structures import RLE, decode_rle, encode_mask

from .pictures import Size
from .tracks import as_rle

#: Vertices of the polygon that stands for an ellipse.
_ROUND = 96
#: A polygon with fewer vertices must cover a mask so well (intersection over union), or the exact outline is taken.
_GOOD_OUTLINE = 0.98


def fill_polygons(polygons: Sequence[np.ndarray], size: Size, where: str) -> RLE:
    """The pixels in polygons, each float [P, 2] x y in pixels; what lies outside the frame is cut off.

    Raises:
        InputError: fewer than three points, or an outline that is too long to be drawn.
    """
    for polygon in polygons:
        if len(polygon) < 3:
            raise InputError(f'{where}: a polygon has {len(polygon)} points: at least 3 are needed.')
    try:
        return as_rle(rasterize([np.asarray(polygon, float).ravel() for polygon in polygons], *size), size)
    except ValueError as error:
        raise InputError(f'{where}: a polygon cannot be drawn: {error}.') from None


def rectangle(x1: float, y1: float, x2: float, y2: float, degrees: float = 0.) -> np.ndarray:
    """The corners [4, 2] of a rectangle, turned clockwise about its middle."""
    return turn(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float), degrees)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.) -> np.ndarray:
    """Points [P, 2] on an ellipse, turned clockwise."""
    angles = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)
    return turn(np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], 1), degrees)


def turn(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned clockwise (y points down) about their mean."""
    if degrees == 0:
        return points
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    middle = points.mean(0)
    return (points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle


def paste(crop: np.ndarray, left: int, top: int, size: Size) -> RLE:
    """The RLE at ``size`` of a mask [h, w] whose first pixel is at (left, top); what lies outside is cut off."""
    mask = np.zeros(size, np.uint8)
    y1, x1 = max(top, 0), max(left, 0)
    y2, x2 = min(top + crop.shape[0], size.height), min(left + crop.shape[1], size.width)
    if y2 > y1 and x2 > x1:
        mask[y1:y2, x1:x2] = crop[y1 - top:y2 - top, x1 - left:x2 - left]
    return encode_mask(mask)


def outline(rle: RLE) -> List[np.ndarray]:
    """Polygons [P, 2] x y in pixels that cover a mask: one for each part; a part with a hole is cut in two.

    Their vertices are thinned out where ``fill_polygons`` then still gives nearly the same pixels; otherwise it gives
    exactly the same.
    """
    mask = decode_rle(rle)
    x, y, width, height = cv2.boundingRect(mask)
    polygons = []
    for part in _simple_parts(mask[y:y + height, x:x + width]):
        polygons.append(_thin(_trace(part), part) + (x, y))
    return polygons


def _simple_parts(mask: np.ndarray) -> List[np.ndarray]:
    """4-connected parts without holes, each uint8 of the size of the mask, the largest first."""
    parts, waiting = [], [mask]
    while waiting:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(waiting.pop(), connectivity=4)
        for number in sorted(range(1, count), key=lambda n: -stats[n, cv2.CC_STAT_AREA]):
            part = (labels == number).astype(np.uint8)
            column = _hole_column(part)
            if column is None:
                parts.append(part)
                continue
            for half in (slice(0, column), slice(column, None)):
                cut = np.zeros_like(part)
                cut[:, half] = part[:, half]
                waiting.append(cut)
    return sorted(parts, key=lambda part: -int(part.sum()))


def _hole_column(part: np.ndarray):
    """A column through a hole of a part; None if it has none. Background that touches itself over a corner is one."""
    outside = np.pad(1 - part, 1, constant_values=1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=8)
    holes = [n for n in range(1, count) if n != labels[0, 0]]
    if not holes:
        return None
    left, width = stats[holes[0], cv2.CC_STAT_LEFT], stats[holes[0], cv2.CC_STAT_WIDTH]
    return int(left + width // 2 - 1) if left + width // 2 - 1 > 0 else 1


def _trace(part: np.ndarray) -> np.ndarray:
    """The outline of a part along the edges of its pixels, float [P, 2]: filled, it gives the part again."""
    padded = np.pad(part, 1).astype(bool)
    following: Dict[Tuple[int, int], List[Tuple[int, int]]] = {}
    # Every edge between a pixel and the background, walked with the pixel on the right.
    for dy, dx, start, end in ((-1, 0, (0, 0), (1, 0)), (0, 1, (1, 0), (1, 1)), (1, 0, (1, 1), (0, 1)),
                               (0, -1, (0, 1), (0, 0))):
        ys, xs = np.nonzero(padded & ~np.roll(padded, (-dy, -dx), (0, 1)))
        for x, y in zip((xs - 1).tolist(), (ys - 1).tolist()):
            following.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    point = first = next(iter(following))
    path, before = [], None
    while True:
        ways = following[point]
        if len(ways) > 1 and before is not None:  # two pixels touch over a corner: stay with the one at hand
            dx, dy = point[0] - before[0], point[1] - before[1]
            ways.sort(key=lambda way: (way[0] - point[0], way[1] - point[1]) != (-dy, dx))
        step = ways.pop(0)
        if before is None or (step[0] - point[0], step[1] - point[1]) != (point[0] - before[0], point[1] - before[1]):
            path.append(point)
        before, point = point, step
        if point == first and not following[point]:
            return np.array(path, float)


def _thin(polygon: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The polygon with fewer vertices if that changes next to nothing."""
    if len(polygon) <= 8:
        return polygon
    fewer = cv2.approxPolyDP(polygon.astype(np.float32)[:, None], 0.8, True)[:, 0].astype(float)
    if len(fewer) < 3:
        return polygon
    truth = coco_mask.encode(np.asfortranarray(part))
    drawn = coco_mask.frPyObjects([fewer.ravel()], *part.shape)
    return fewer if coco_mask.iou(drawn, [truth], [0])[0, 0] >= _GOOD_OUTLINE else polygon
