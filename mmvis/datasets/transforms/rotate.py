"""Pseudo-clips whose image turns steadily, and masks drawn from polygons."""
from dataclasses import replace
from typing import Callable, List, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmvis.annotations.polygons import rasterize
from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.registry import TRANSFORMS

from .base import Polygons, move_polygons, select_objects
from .boxes import masks_to_boxes

Point = Tuple[float, float]


@TRANSFORMS.register_module()
class ClipRotate:
    """Turn the frames of a clip about one point by angles that rise, or fall, from frame to frame (VidEoMT on COCO).

    The size stays, black comes in from outside. Images are interpolated bilinearly; polygons turn by their corners and
    masks are drawn from them, masks without polygons take the nearest pixel. Boxes become those of the masks; objects
    without a pixel are dropped from that frame.

    Args:
        angle: largest angle in degrees; one for every frame is drawn uniformly from both directions.
        centre: range of the centre as a fraction of width and height, drawn for each axis.
    """
    wants_polygons = True

    def __init__(self, angle: float = 15., centre: Tuple[float, float] = (0.4, 0.6)) -> None:
        self.angle, self.centre = angle, tuple(centre)

    def draw(self, num: int, height: int, width: int, rng: np.random.Generator) -> Tuple[np.ndarray, Point]:
        """Angles [num] in degrees, anticlockwise, and the centre x, y in pixels (corner of the first pixel: 0, 0)."""
        angles = np.sort(rng.uniform(-self.angle, self.angle, num))
        centre = float(rng.uniform(*self.centre)) * width, float(rng.uniform(*self.centre)) * height
        return (angles[::-1] if rng.random() < 0.5 else angles), centre

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        angles, centre = self.draw(len(clip.frames), *clip.frames[0].image.shape[:2], rng)
        clip.frames = [self.turn(frame, float(angle), centre, clip.inclusive)
                       for frame, angle in zip(clip.frames, angles)]
        return clip

    @staticmethod
    def turn(frame: ClipFrame, angle: float, centre: Point, inclusive: bool) -> ClipFrame:
        """One frame turned by ``angle`` degrees."""
        size = frame.image.shape[1::-1]
        # OpenCV counts from the centre of the first pixel
        pixels = cv2.getRotationMatrix2D((centre[0] - 0.5, centre[1] - 0.5), angle, 1.)
        corners = cv2.getRotationMatrix2D(centre, angle, 1.)
        polygons = move_polygons(frame.polygons, lambda xy: xy @ corners[:, :2].T + corners[:, 2])
        image = cv2.warpAffine(frame.image, pixels, size, flags=cv2.INTER_LINEAR)
        masks = _drawn(frame, polygons, lambda mask: cv2.warpAffine(mask, pixels, size, flags=cv2.INTER_NEAREST))
        turned = replace(frame, image=image, masks=masks, polygons=polygons)
        return _with_visible(turned, inclusive)


@TRANSFORMS.register_module()
class ClipDrawPolygons:
    """Masks are drawn from the polygons, where there are any, at the size that the frames have now; boxes become those
    of the masks, objects without a pixel are dropped from that frame. Put it last."""
    wants_polygons = True

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        clip.frames = [frame if frame.polygons is None else _with_visible(
            replace(frame, masks=_drawn(frame, frame.polygons, lambda mask: mask)), clip.inclusive)
            for frame in clip.frames]
        return clip


def draw_polygons(polygons: List[List[np.ndarray]], height: int, width: int) -> np.ndarray:
    """uint8 [N, height, width] of the outlines of N objects."""
    masks = np.zeros((len(polygons), height, width), np.uint8)
    for mask, parts in zip(masks, polygons):
        counts = rasterize([outline.reshape(-1) for outline in parts], height, width)
        mask[:] = coco_mask.decode({'size': [height, width], 'counts': counts})
    return masks


def _drawn(frame: ClipFrame, polygons: Polygons, otherwise: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Masks of a frame, uint8 [N, height, width]: drawn, and of objects without an outline made of their masks."""
    masks = np.zeros_like(frame.masks)
    for mask, old, parts in zip(masks, frame.masks, polygons or [None] * len(masks)):
        mask[:] = draw_polygons([parts], *old.shape)[0] if parts else otherwise(old)
    return masks


def _with_visible(frame: ClipFrame, inclusive: bool) -> ClipFrame:
    kept = select_objects(frame, frame.masks.any((1, 2)))
    kept['boxes'] = masks_to_boxes(kept['masks'], inclusive)
    return replace(frame, **kept)
