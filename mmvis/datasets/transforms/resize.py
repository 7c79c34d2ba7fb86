"""Resizing by the rules of the published systems, exact to the pixel."""
from dataclasses import replace
from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
from PIL import Image

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS

from .base import ClipTransform, move_polygons

Scale = Tuple[Optional[int], int]  # (long, short) in pixels; long None: no limit


def resized_shape(height: int, width: int, scale: Scale, rule: str = 'mmcv') -> Tuple[int, int, float]:
    """(new height, new width, factor) of an image under one of the rules of :class:`ClipResize`.

    ``factor`` is new / old size before rounding: one float, not the two ratios of the rounded sizes. No side is below 1,
    where the published rules round that of a very thin image to 0, which their libraries then refuse.
    """
    new_h, new_w, factor = _by_rule(height, width, scale, rule)
    # a very long and thin image would lose all of its short side
    return max(new_h, 1), max(new_w, 1), factor


def _by_rule(height: int, width: int, scale: Scale, rule: str) -> Tuple[int, int, float]:
    long, short = scale
    if rule == 'mmcv':
        factor = short / min(height, width)
        if long is not None:
            factor = min(long / max(height, width), factor)
        return int(height * factor + 0.5), int(width * factor + 0.5), factor
    if rule == 'detectron2':
        factor = short * 1.0 / min(height, width)
        new_h, new_w = (short, factor * width) if height < width else (factor * height, short)
        if long is not None and max(new_h, new_w) > long:
            # the cap multiplies the sides already scaled: another order would round some sizes differently
            cap = long * 1.0 / max(new_h, new_w)
            new_h, new_w, factor = new_h * cap, new_w * cap, factor * cap
        return int(new_h + 0.5), int(new_w + 0.5), factor
    if rule == 'detr':
        small, large = min(height, width), max(height, width)
        if long is not None and large / small * short > long:
            short = max(int(round(long * float(small) / float(large))), 1)
        factor = short / small
        if width < height:
            return int(short * height / width), short, factor
        return short, int(short * width / height), factor
    if rule == 'fit':
        factor = short / min(height, width) if long is None else min(short / height, long / width)
        return round(height * factor), round(width * factor), factor
    raise InputError(f"ClipResize: rule must be 'mmcv', 'detectron2', 'detr' or 'fit', got {rule!r}.")


def resize_image(image: np.ndarray, size: Tuple[int, int], backend: str) -> np.ndarray:
    """Bilinear resize of a uint8 image to (height, width): by OpenCV, or by Pillow, which filters when it reduces."""
    if image.shape[:2] == tuple(size):
        return image
    if backend == 'cv2':
        return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.array(Image.fromarray(image).resize(size[::-1], Image.BILINEAR))


def resize_masks(masks: np.ndarray, size: Tuple[int, int], rule: str) -> np.ndarray:
    """Nearest resize of uint8 [N, height, width] to (height, width). The three rules pick pixels differently.

    'mmcv' takes pixel floor(x / factor) as OpenCV, 'detr' the same in float32 as ``torch.nn.functional.interpolate``,
    'detectron2' the pixel under the centre as Pillow.
    """
    if masks.shape[1:] == tuple(size):
        return masks
    if not len(masks):
        return np.zeros((0, *size), np.uint8)
    if rule == 'detr':
        return torch.nn.functional.interpolate(torch.from_numpy(masks)[None], size=size, mode='nearest')[0].numpy()
    if rule == 'detectron2':
        return np.stack([np.array(Image.fromarray(mask).resize(size[::-1], Image.NEAREST)) for mask in masks])
    return np.stack([cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST) for mask in masks])


@TRANSFORMS.register_module()
class ClipResize(ClipTransform):
    """Resize all frames of a clip, keeping the aspect ratio.

    ============ =================================== ====================== ======== =========================
    rule         new size                            boxes multiplied by    image    used by
    ============ =================================== ====================== ======== =========================
    'mmcv'       f = min(long / max(h, w),           f                      cv2      MaskTrackRCNN, SipMask,
                 short / min(h, w)), int(f x + 0.5)                                  CondInst+IAI, MemCNP
    'detectron2' short side; long side capped,       new / old of each axis Pillow   IFC
                 int(f x + 0.5)
    'detr'       short side; long side capped,       new / old of each axis Pillow   InstanceFormer
                 int(short * large / small)
    'fit'        into the box long x short, as large new / old of each axis Pillow   EoMT (tests)
                 as it gets; round
    ============ =================================== ====================== ======== =========================

    Boxes are then clipped to [0, width] and [0, height], inclusive ones too (as MaskTrackRCNN trains). The clip's
    ``scale_factor`` is multiplied by the float f before rounding.

    Args:
        scale: (long, short) in pixels, or a list of them; ``long`` may be None: no limit.
        rule: one of the table.
        multiscale_mode: with several scales, 'value' draws one of them; 'range' draws the long side and the short side
            independently and uniformly between the smallest and the largest of the list, ends included.
        backend: 'cv2' or 'pillow' to resize images, instead of the rule's own.
        per_frame: a draw for every frame (CondInst+IAI on OVIS); the frames then need ``ClipPad``.
    """

    def __init__(self, scale: Union[Scale, Sequence[Scale]], rule: str = 'mmcv', multiscale_mode: str = 'value',
                 backend: Optional[str] = None, per_frame: bool = False) -> None:
        super().__init__(per_frame)
        self.scales = _as_scales(scale)
        self.rule = rule
        self.backend = backend or ('cv2' if rule == 'mmcv' else 'pillow')
        self.multiscale_mode = multiscale_mode
        for one in self.scales:
            resized_shape(720, 1280, one, rule)
        if self.backend not in ('cv2', 'pillow'):
            raise InputError(f"ClipResize: backend must be 'cv2' or 'pillow', got {backend!r}.")
        if multiscale_mode not in ('value', 'range'):
            raise InputError(f"ClipResize: multiscale_mode must be 'value' or 'range', got {multiscale_mode!r}.")

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Scale:
        if len(self.scales) == 1:
            return self.scales[0]
        if self.multiscale_mode == 'value':
            return self.scales[int(rng.integers(len(self.scales)))]
        long, short = zip(*self.scales)
        drawn_long = None if None in long else int(rng.integers(min(long), max(long) + 1))
        return drawn_long, int(rng.integers(min(short), max(short) + 1))

    def note(self, clip: Clip, drawn: Scale) -> None:
        clip.scale_factor *= resized_shape(*clip.frames[0].image.shape[:2], drawn, self.rule)[2]

    def apply(self, frame: ClipFrame, drawn: Scale, inclusive: bool) -> ClipFrame:
        height, width = frame.image.shape[:2]
        new_h, new_w, factor = resized_shape(height, width, drawn, self.rule)
        factors = factor if self.rule == 'mmcv' else np.array([new_w / width, new_h / height] * 2, np.float32)
        boxes = clip_boxes(frame.boxes * factors, new_h, new_w)
        return replace(frame, image=resize_image(frame.image, (new_h, new_w), self.backend), boxes=boxes,
                       masks=resize_masks(frame.masks, (new_h, new_w), self.rule),
                       polygons=move_polygons(frame.polygons, lambda xy: xy * (new_w / width, new_h / height)))


def clip_boxes(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """Boxes float32 [N, 4] with x within [0, width] and y within [0, height]."""
    return np.clip(boxes, 0, np.array([width, height] * 2, np.float32)).astype(np.float32, copy=False)


def _as_scales(scale: Union[Scale, Sequence[Scale]]) -> List[Scale]:
    scales = [scale] if len(scale) == 2 and not any(isinstance(s, (tuple, list)) for s in scale) else scale
    for one in scales:
        if (not isinstance(one, (tuple, list)) or len(one) != 2 or not one[1] or one[1] < 1
                or (one[0] is not None and one[0] < one[1])):
            raise InputError(f'ClipResize: scale must be (long, short) with long >= short, or a list of such pairs, '
                             f'got {scale!r}.')
    if not scales:
        raise InputError('ClipResize: scale is an empty list.')
    return [tuple(one) for one in scales]
