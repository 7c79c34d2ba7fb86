"""Large-scale jitter (Ghiasi et al., arXiv 2012.07177), as the segmenters are trained with it."""
from dataclasses import replace
from typing import Any, Tuple

import numpy as np

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS

from .base import ClipTransform, move_polygons
from .crop import ClipCrop
from .resize import clip_boxes, resize_image, resize_masks


@TRANSFORMS.register_module()
class ClipLSJ(ClipTransform):
    """Fit the frames into a window, times a factor drawn from a wide range, and cut a window of that size out where they
    are larger. What is smaller stays so: the data preprocessor pads (``ClipPreprocessor.size``).

    Images are resized by Pillow, masks nearest.

    Args:
        size: (height, width) of the window.
        scale: range of the factor.
        rule: 'eomt': sides are rounded down, the window is drawn for each axis (torchvision); 'detectron2': sides are
            rounded to the nearest, one draw places the window on both axes (Mask2Former).
    """

    def __init__(self, size: Tuple[int, int] = (640, 640), scale: Tuple[float, float] = (0.1, 2.0),
                 rule: str = 'eomt', per_frame: bool = False, keep_first: bool = False) -> None:
        super().__init__(per_frame, keep_first)
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise InputError(f'ClipLSJ: scale is (smallest, largest) factor, not {scale!r}.')
        if rule not in ('eomt', 'detectron2'):
            raise InputError(f"ClipLSJ: rule is 'eomt' or 'detectron2', not {rule!r}.")
        self.size, self.scale, self.rule = tuple(size), tuple(scale), rule
        self.crop = ClipCrop(self.size, 'absolute')

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Tuple[int, int, float, Any]:
        """(new height, new width, factor, the draw of ``ClipCrop``)."""
        factor = min(self.size[0] / height, self.size[1] / width) * rng.uniform(*self.scale)
        as_whole = int if self.rule == 'eomt' else round
        new_h, new_w = max(1, as_whole(height * factor)), max(1, as_whole(width * factor))
        if self.rule == 'eomt':
            return new_h, new_w, factor, self.crop.draw(new_h, new_w, rng)
        place = rng.random()
        top, left = (round(max(side - window, 0) * place) for side, window in zip((new_h, new_w), self.size))
        return new_h, new_w, factor, (top, left, min(self.size[0], new_h), min(self.size[1], new_w), new_h, new_w)

    def note(self, clip: Clip, drawn: Tuple[int, int, float, Any]) -> None:
        clip.scale_factor *= drawn[2]

    def apply(self, frame: ClipFrame, drawn: Tuple[int, int, float, Any], inclusive: bool) -> ClipFrame:
        new_h, new_w, _, window = drawn
        height, width = frame.image.shape[:2]
        factors = np.array([new_w / width, new_h / height] * 2, np.float32)
        resized = replace(
            frame, image=resize_image(frame.image, (new_h, new_w), 'pillow'),
            boxes=clip_boxes(frame.boxes * factors, new_h, new_w),
            masks=resize_masks(frame.masks, (new_h, new_w), 'detr' if self.rule == 'eomt' else self.rule),
            polygons=move_polygons(frame.polygons, lambda xy: xy * factors[:2].astype(np.float64)))
        return self.crop.apply(resized, window, inclusive)
