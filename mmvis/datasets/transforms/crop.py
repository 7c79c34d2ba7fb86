"""Cropping and padding."""
from dataclasses import replace
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS

from .base import ClipTransform, Polygons, move_polygons, select_objects
from .resize import clip_boxes


@TRANSFORMS.register_module()
class ClipCrop(ClipTransform):
    """Cut the same random window out of all frames of a clip.

    Boxes are moved and clipped to the window; an object whose box has no area left in it is dropped from that frame
    alone. Sides never exceed those of the image. All frames must have one size unless ``per_frame``.

    Args:
        size: pair, read as ``mode`` says.
        mode: 'absolute': the window is (height, width) = size pixels.
            'absolute_range': height and width are drawn independently and uniformly from
            min(side, size[0]) .. min(side, size[1]) pixels, ends included (DETR's random size crop; detectron2, mmdet).
            'relative': the window is (size[0] height, size[1] width), fractions in (0, 1].
            'relative_range': the two fractions are drawn independently from [size[0], 1] and [size[1], 1].
        per_frame: a draw for every frame; the frames then need a resize to one size or ``ClipPad``.
    """
    MODES = ('absolute', 'absolute_range', 'relative', 'relative_range')

    def __init__(self, size: Sequence[float], mode: str = 'absolute_range', per_frame: bool = False) -> None:
        super().__init__(per_frame)
        if mode not in self.MODES:
            raise InputError(f'ClipCrop: mode must be one of {self.MODES}, got {mode!r}.')
        limit = 1 if mode.startswith('relative') else float('inf')
        if len(size) != 2 or not all(0 < side <= limit for side in size):
            raise InputError(f'ClipCrop: size must be two positive numbers (at most 1 if relative), got {size!r}.')
        if mode == 'absolute_range' and size[0] > size[1]:
            raise InputError(f'ClipCrop: size must be (smallest, largest) in mode absolute_range, got {size!r}.')
        self.size, self.mode = tuple(size), mode

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Tuple[int, int, int, int, int, int]:
        """(top, left, crop height, crop width, height, width)."""
        crop_h, crop_w = self._draw_size(height, width, rng)
        top, left = int(rng.integers(height - crop_h + 1)), int(rng.integers(width - crop_w + 1))
        return top, left, crop_h, crop_w, height, width

    def _draw_size(self, height: int, width: int, rng: np.random.Generator) -> Tuple[int, int]:
        first, second = self.size
        if self.mode == 'absolute':
            return min(first, height), min(second, width)
        if self.mode == 'absolute_range':
            return (int(rng.integers(min(height, first), min(height, second) + 1)),
                    int(rng.integers(min(width, first), min(width, second) + 1)))
        if self.mode == 'relative_range':
            first, second = np.array(self.size) + rng.random(2) * (1 - np.array(self.size))
        return max(1, int(height * first + 0.5)), max(1, int(width * second + 0.5))

    def apply(self, frame: ClipFrame, drawn: Tuple[int, int, int, int, int, int], inclusive: bool) -> ClipFrame:
        top, left, crop_h, crop_w, height, width = drawn
        if frame.image.shape[:2] != (height, width):
            raise InputError(f'ClipCrop: frame {frame.frame_idx} has size {frame.image.shape[:2]}, the first frame '
                             f'of the clip {(height, width)}; crop per_frame or pad first.')
        # half-open corners, whatever the clip's mode: then the area left is x2 - x1
        boxes = frame.boxes - np.array([left, top, left - inclusive, top - inclusive], np.float32)
        boxes = clip_boxes(boxes, crop_h, crop_w)
        keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes[:, 2:] -= inclusive
        window = (slice(top, top + crop_h), slice(left, left + crop_w))
        kept = select_objects(frame, keep)
        moved = move_polygons(kept['polygons'], lambda xy: xy - (left, top))
        kept.update(boxes=boxes[keep], masks=kept['masks'][(slice(None), *window)],
                    polygons=_cut_polygons(moved, crop_h, crop_w))
        return replace(frame, image=frame.image[window], **kept)


def _cut_polygons(polygons: Polygons, height: int, width: int) -> Polygons:
    """What lies outside is gone, as from the image: it must not come back when the frame turns."""
    cut = move_polygons(polygons, lambda outline: cut_polygon(outline, height, width))
    return cut and [parts and [outline for outline in parts if len(outline)] for parts in cut]


def cut_polygon(outline: np.ndarray, height: int, width: int) -> np.ndarray:
    """The part of a polygon, float64 [P, 2], inside a window that begins at 0, 0 (Sutherland and Hodgman); no point
    where there is none."""
    for axis, limit, sign in ((0, 0., 1.), (0, width, -1.), (1, 0., 1.), (1, height, -1.)):
        kept: List[np.ndarray] = []
        for start, end in zip(np.roll(outline, 1, axis=0), outline):
            a, b = sign * (start[axis] - limit), sign * (end[axis] - limit)
            if a * b < 0:
                kept.append(start + (end - start) * (a / (a - b)))
            if b >= 0:
                kept.append(end)
        outline = np.array(kept).reshape(-1, 2)
    return outline if len(outline) > 2 else outline[:0]


@TRANSFORMS.register_module()
class ClipPad:
    """Pad all frames of a clip right and bottom to one size: the largest of them, rounded up.

    Models pad by themselves, with zeros after normalising. This is for frames of different sizes (transforms with
    ``per_frame``) and for models that want a fixed size.

    Args:
        divisor: sides are rounded up to a multiple of it.
        size: (height, width), a fixed size instead; frames must fit into it.
        value: grey level, or BGR levels, of the padding. Masks are padded with 0.
    """

    def __init__(self, divisor: int = 1, size: Optional[Tuple[int, int]] = None,
                 value: Union[int, Sequence[int]] = 0) -> None:
        self.divisor, self.size, self.value = divisor, size, value

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        largest = np.max([frame.image.shape[:2] for frame in clip.frames], axis=0)
        if self.size is None:
            height, width = (int(-(-side // self.divisor) * self.divisor) for side in largest)
        else:
            height, width = self.size
            if largest[0] > height or largest[1] > width:
                raise InputError(f'ClipPad: size is {tuple(self.size)}, but a frame of video {clip.video_id} has '
                                 f'{tuple(largest.tolist())}.')
        clip.frames = [self._pad(frame, height, width) for frame in clip.frames]
        return clip

    def _pad(self, frame: ClipFrame, height: int, width: int) -> ClipFrame:
        old_h, old_w = frame.image.shape[:2]
        if (old_h, old_w) == (height, width):
            return frame
        image = np.empty((height, width, 3), np.uint8)
        image[:] = self.value
        image[:old_h, :old_w] = frame.image
        return replace(frame, image=image, masks=np.pad(frame.masks, ((0, 0), (0, height - old_h), (0, width - old_w))))
