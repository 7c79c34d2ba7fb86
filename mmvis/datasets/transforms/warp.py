"""Rotation, perspective, and clips made of one image."""
from dataclasses import replace
from typing import Tuple

import cv2
import numpy as np

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS

from .base import ClipTransform, select_objects
from .boxes import masks_to_boxes


@TRANSFORMS.register_module()
class ClipWarp(ClipTransform):
    """Perspective jitter, then rotation and shift about a centre; size kept, black outside. Masks nearest.

    Boxes become those of the warped masks; objects without a pixel are dropped from that frame.

    Args:
        rotate: range of the angle in degrees, anticlockwise.
        centre: range of the centre of rotation as a fraction of width and height, drawn for each axis.
        translate: largest shift as a fraction of the sides.
        same_shift: draw one fraction for both axes (InstanceFormer) instead of one for each.
        perspective: standard deviation of the shift of the four corners as a fraction of the sides
            (absolute value of a normal draw, inwards: what lies between the moved corners fills the frame).
        overlaps: False lets a later object take the pixels that it shares with earlier ones (one label map).
    """

    def __init__(self, rotate: Tuple[float, float] = (-20, 20), centre: Tuple[float, float] = (0.5, 0.5),
                 translate: float = 0.1, same_shift: bool = False, perspective: float = 0.0, overlaps: bool = True,
                 per_frame: bool = False, keep_first: bool = False) -> None:
        super().__init__(per_frame, keep_first)
        self.rotate, self.centre, self.translate = tuple(rotate), tuple(centre), translate
        self.same_shift, self.perspective, self.overlaps = same_shift, perspective, overlaps

    def draw(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """Homography [3, 3] from old to new pixel coordinates."""
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
        inwards = np.minimum(np.abs(rng.normal(0, self.perspective, (4, 2))), 0.49)
        moved = np.abs(corners - inwards)  # 0 -> d, 1 -> 1 - d
        sides = np.array([width - 1, height - 1])
        perspective = cv2.getPerspectiveTransform(np.float32(moved * sides), np.float32(corners * sides))
        angle, centre = rng.uniform(*self.rotate), rng.uniform(*self.centre, 2) * sides
        shift = rng.uniform(-self.translate, self.translate, 2)
        if self.same_shift:
            shift[1] = shift[0]
        affine = np.eye(3)
        affine[:2] = cv2.getRotationMatrix2D(centre.tolist(), angle, 1.0)
        affine[:2, 2] += shift * (width, height)
        return affine @ perspective

    def apply(self, frame: ClipFrame, drawn: np.ndarray, inclusive: bool) -> ClipFrame:
        height, width = frame.image.shape[:2]
        image = cv2.warpPerspective(frame.image, drawn, (width, height), flags=cv2.INTER_LINEAR)
        masks = np.zeros_like(frame.masks)
        for index, mask in enumerate(frame.masks):
            masks[index] = cv2.warpPerspective(mask, drawn, (width, height), flags=cv2.INTER_NEAREST)
            if not self.overlaps and not frame.crowd[index]:      # a crowd takes nothing from an object
                masks[:index] *= 1 - masks[index]
        warped = replace(frame, image=image, masks=masks, polygons=None)
        kept = select_objects(warped, masks.any((1, 2)))
        kept['boxes'] = masks_to_boxes(kept['masks'], inclusive)
        return replace(warped, **kept)


@TRANSFORMS.register_module()
class ClipRepeat:
    """A pseudo-clip: a clip of one image becomes ``num_frames`` copies, numbered 0, 1, ...

    Follow it with transforms that draw ``per_frame`` (``keep_first`` leaves the image itself among them) and, if
    the image may stand anywhere, ``ClipShuffle``.
    """

    def __init__(self, num_frames: int) -> None:
        self.num_frames = num_frames

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        if len(clip.frames) != 1:
            raise InputError(f'ClipRepeat makes clips of single images, but video {clip.video_id} came with '
                             f'{len(clip.frames)} frames.')
        clip.frames = [replace(clip.frames[0], frame_idx=index) for index in range(self.num_frames)]
        clip.num_frames = self.num_frames
        return clip


@TRANSFORMS.register_module()
class ClipShuffle:
    """Frames in random order, renumbered 0, 1, ...: for pseudo-clips, whose frames have no order of their own."""

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        order = rng.permutation(len(clip.frames))
        clip.frames = [replace(clip.frames[old], frame_idx=new) for new, old in enumerate(order)]
        return clip
