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

    Sides are rounded down (EoMT, torchvision), images by Pillow, masks nearest.

    Args:
        size: (height, width) of the window.
        scale: range of the factor.
    """

    def __init__(self, size: Tuple[int, int] = (640, 640), scale: Tuple[float, float] = (0.1, 2.0),
                 per_frame: bool = False, keep_first: bool = False) -> None:
        super().__init__(per_frame, keep_first)
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise InputError(f'ClipLSJ: scale is (smallest, largest) factor, not {scale!r}.')
        self.size, self.scale = tuple(size), tuple(scale)
        self.crop = ClipCrop(self.size, 'absolute')

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Tuple[int, int, float, Any]:
        """(new height, new width, factor, the draw of ``ClipCrop``)."""
        factor = min(self.size[0] / height, self.size[1] / width) * rng.uniform(*self.scale)
        new_h, new_w = max(1, int(height * factor)), max(1, int(width * factor))
        return new_h, new_w, factor, self.crop.draw(new_h, new_w, rng)

    def note(self, clip: Clip, drawn: Tuple[int, int, float, Any]) -> None:
        clip.scale_factor *= drawn[2]

    def apply(self, frame: ClipFrame, drawn: Tuple[int, int, float, Any], inclusive: bool) -> ClipFrame:
        new_h, new_w, _, window = drawn
        height, width = frame.image.shape[:2]
        factors = np.array([new_w / width, new_h / height] * 2, np.float32)
        resized = replace(
            frame, image=resize_image(frame.image, (new_h, new_w), 'pillow'),
            boxes=clip_boxes(frame.boxes * factors, new_h, new_w), masks=resize_masks(frame.masks, (new_h, new_w), 'detr'),
            polygons=move_polygons(frame.polygons, lambda xy: xy * factors[:2].astype(np.float64)))
        return self.crop.apply(resized, window, inclusive)
