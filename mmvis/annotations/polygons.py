"""Polygons as masks, with the pixels that pycocotools gives, at a cost that no coordinate can drive up."""
from typing import Sequence

import numpy as np
from pycocotools import mask as coco_mask

#: Edges of all polygons of one mask together, in pixels: pycocotools takes some 100 bytes for each.
LONGEST_OUTLINE = 2_000_000


def rasterize(polygons: Sequence[np.ndarray], height: int, width: int) -> bytes:
    """The counts of the compressed RLE of polygons, joined; what lies outside the frame is cut off.

    Args:
        polygons: float64 [2 P], x y x y ... in pixels, finite, P at least 3.
        height, width: of the frame.

    Raises:
        ValueError: the outlines are longer than ``LONGEST_OUTLINE``.
    """
    clipped = [clamp_polygon(polygon, height, width) for polygon in polygons]
    num_edges = sum(map(len, clipped)) // 2
    if num_edges * 3 * (height + width) > LONGEST_OUTLINE < sum(map(_outline, clipped)):
        raise ValueError(f'its outline is longer than {LONGEST_OUTLINE} pixels')
    rles = coco_mask.frPyObjects(clipped, height, width)
    return (rles[0] if len(rles) == 1 else coco_mask.merge(rles))['counts']


def clamp_polygon(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """A polygon that covers the same pixels of the frame and stays near it, float64 [2 P].

    Every edge is cut where it leaves a window around the frame, and what is outside is pressed onto the border of the
    window: in every column of the frame the outline is crossed as often as before, at the same place inside the window
    and on the same side outside. A polygon within the window comes back as it is.
    """
    points = polygon.reshape(-1, 2)
    # Far enough for whatever an annotator draws over the edge, near enough to cost nothing.
    margin = height + width
    low, high = np.array([-margin, -margin], float), np.array([width + margin, height + margin], float)
    if (points >= low).all() and (points <= high).all():
        return polygon
    ends = np.roll(points, -1, 0)
    with np.errstate(all='ignore'):
        step = ends / 2 - points / 2  # halved, so that it does not overflow
        cuts = [(border / 2 - points / 2) / step for border in (low, high)]
    shares = np.concatenate([np.zeros((len(points), 1)), *cuts], 1)
    shares = np.sort(np.clip(np.nan_to_num(shares, nan=0., posinf=0., neginf=0.), 0, 1), 1)[..., None]
    path = points[:, None] * (1 - shares) + ends[:, None] * shares
    return np.clip(path.reshape(-1, 2), low, high).ravel()


def _outline(polygon: np.ndarray) -> float:
    """Length of the closed outline in the larger of both directions, pixels."""
    points = polygon.reshape(-1, 2)
    return float(np.abs(np.roll(points, -1, 0) - points).max(1).sum())
