"""Transforms of the annotations alone; they draw nothing."""
from dataclasses import replace

import numpy as np

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.registry import TRANSFORMS

from .base import select_objects
from .resize import clip_boxes


@TRANSFORMS.register_module()
class ClipClampBoxes:
    """Clip boxes to [0, width - 1] and [0, height - 1]: the last pixel, as SipMask trains; put it last."""

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        clip.frames = [replace(frame, boxes=clip_boxes(frame.boxes, frame.image.shape[0] - 1, frame.image.shape[1] - 1))
                       for frame in clip.frames]
        return clip


@TRANSFORMS.register_module()
class ClipBoxesFromMasks:
    """Boxes become those of the masks; an object without a pixel is dropped from that frame (IFC's mapper).

    Args:
        min_area: an object with fewer pixels is dropped too.
    """

    def __init__(self, min_area: int = 1) -> None:
        self.min_area = max(1, min_area)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        clip.frames = [self._tighten(frame, clip.inclusive) for frame in clip.frames]
        return clip

    def _tighten(self, frame: ClipFrame, inclusive: bool) -> ClipFrame:
        keep = frame.masks.sum((1, 2), dtype=np.int64) >= self.min_area
        kept = select_objects(frame, keep)
        kept['boxes'] = masks_to_boxes(kept['masks'], inclusive)
        return replace(frame, **kept)


def masks_to_boxes(masks: np.ndarray, inclusive: bool) -> np.ndarray:
    """Tight boxes float32 [N, 4] of uint8 masks [N, height, width]; none may be empty. x2 is the last column, plus 1
    unless ``inclusive``."""
    height, width = masks.shape[1:]
    columns, rows = masks.any(1), masks.any(2)
    add = 0 if inclusive else 1
    boxes = [columns.argmax(1), rows.argmax(1),
             width - 1 - columns[:, ::-1].argmax(1) + add, height - 1 - rows[:, ::-1].argmax(1) + add]
    return np.stack(boxes, 1).astype(np.float32)
