"""Horizontal flip."""
from dataclasses import replace

import cv2
import numpy as np

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS

from .base import ClipTransform, move_polygons
from .resize import clip_boxes


@TRANSFORMS.register_module()
class ClipFlip(ClipTransform):
    """Mirror all frames of a clip left to right with probability ``prob``.

    Boxes: ``x1' = W - x2`` if x2 = x + w, ``x1' = W - x2 - 1`` if the corners are inclusive; then clipped to the image.
    To get the numbers of MaskTrackRCNN, SipMask and MemCNP, put it after ``ClipResize``.

    Args:
        prob: probability of a flip.
        per_frame: a draw for every frame (CondInst+IAI trains so).
    """

    def __init__(self, prob: float = 0.5, per_frame: bool = False) -> None:
        super().__init__(per_frame)
        if not 0 <= prob <= 1:
            raise InputError(f'ClipFlip: prob must be within [0, 1], got {prob!r}.')
        self.prob = prob

    def draw(self, height: int, width: int, rng: np.random.Generator) -> bool:
        return bool(rng.random() < self.prob)

    def note(self, clip: Clip, drawn: bool) -> None:
        clip.flip ^= drawn

    def apply(self, frame: ClipFrame, drawn: bool, inclusive: bool) -> ClipFrame:
        if not drawn:
            return frame
        height, width = frame.image.shape[:2]
        boxes = frame.boxes.copy()
        boxes[:, [0, 2]] = width - frame.boxes[:, [2, 0]] - int(inclusive)
        return replace(frame, image=cv2.flip(frame.image, 1), boxes=clip_boxes(boxes, height, width),
                       masks=np.ascontiguousarray(frame.masks[:, :, ::-1]),
                       polygons=move_polygons(frame.polygons, lambda xy: xy * (-1, 1) + (width, 0)))
