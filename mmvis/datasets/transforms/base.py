"""The frame of every clip transform: draw once, apply to all frames."""
from typing import Any, Callable, List, Optional, Sequence, Union

import numpy as np

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.registry import TRANSFORMS

#: As ``ClipFrame`` has them.
Polygons = Optional[List[Optional[List[np.ndarray]]]]


class ClipTransform:
    """Draws once a clip and applies the draw to all frames, so that a clip stays consistent by construction.

    A subclass gives ``draw`` and ``apply``, and ``note`` if the clip itself has to remember what was done.

    Args:
        per_frame: draw for every frame anew instead (published recipes of single systems do so).
        keep_first: leave the first frame as it is (pseudo-clips, where the first frame is the image itself).
    """

    def __init__(self, per_frame: bool = False, keep_first: bool = False) -> None:
        self.per_frame = per_frame
        self.keep_first = keep_first

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Any:
        """All random numbers for an image of this size."""
        raise NotImplementedError

    def apply(self, frame: ClipFrame, drawn: Any, inclusive: bool) -> ClipFrame:
        """A new frame; the given one is not changed (a clip may hold one frame twice)."""
        raise NotImplementedError

    def note(self, clip: Clip, drawn: Any) -> None:
        """Write into the clip what its samples have to know; called before ``apply`` with the (first) draw."""

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        kept, frames = clip.frames[:int(self.keep_first)], clip.frames[int(self.keep_first):]
        if not frames:
            return clip
        if self.per_frame:
            draws = [self.draw(*frame.image.shape[:2], rng) for frame in frames]
        else:
            draws = [self.draw(*frames[0].image.shape[:2], rng)] * len(frames)
        self.note(clip, draws[0])
        clip.frames = kept + [self.apply(frame, drawn, clip.inclusive) for frame, drawn in zip(frames, draws)]
        return clip


def select_objects(frame: ClipFrame, keep: np.ndarray) -> dict:
    """Per-object fields of the objects ``keep`` (bool or indices [N]), as arguments for ``dataclasses.replace``."""
    polygons = frame.polygons and [frame.polygons[i] for i in np.arange(len(frame.boxes))[keep]]
    return dict(boxes=frame.boxes[keep], labels=frame.labels[keep], instance_ids=frame.instance_ids[keep],
                masks=frame.masks[keep], crowd=frame.crowd[keep], polygons=polygons)


def move_polygons(polygons: Polygons, move: Callable[[np.ndarray], np.ndarray]) -> Polygons:
    """The polygons of a frame with every outline, float64 [P, 2], moved."""
    return polygons and [parts and [move(outline) for outline in parts] for parts in polygons]


class ClipCompose:
    """Several transforms, one after the other; each is a config or a callable ``(clip, rng) -> clip``."""

    def __init__(self, transforms: Sequence[Union[dict, Any]]) -> None:
        self.transforms = [TRANSFORMS.build(t) if isinstance(t, dict) else t for t in transforms]

    @property
    def wants_polygons(self) -> bool:
        """Whether a transform draws masks from the polygons of the annotation file."""
        return any(getattr(transform, 'wants_polygons', False) for transform in self.transforms)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        for transform in self.transforms:
            clip = transform(clip, rng)
        return clip
