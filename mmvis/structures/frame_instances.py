"""What a model says about one frame."""
from dataclasses import dataclass, field
from typing import List, Optional

import numpy as np

from .rle import RLE


@dataclass
class FrameInstances:
    """The tracked instances of one frame, on the CPU, in the original frame size h x w.

    Attributes:
        frame_idx: 0-based index of the frame in its video.
        track_ids: int64 [N], unique in the frame; an id names the same object in the whole video.
        labels: int64 [N], 0-based classes.
        scores: float32 [N], confidence of the instance in this frame.
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels of the original frame.
        masks: N RLEs at h x w; ``None`` in place of an RLE says that the track has no pixel in this frame.
    """
    frame_idx: int
    track_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    masks: List[Optional[RLE]] = field(default_factory=list)

    def __post_init__(self) -> None:
        num = len(self.track_ids)
        for name in ('labels', 'scores', 'boxes', 'masks'):
            if len(getattr(self, name)) != num:
                raise ValueError(f'FrameInstances of frame {self.frame_idx}: {num} track_ids but '
                                 f'{len(getattr(self, name))} {name}.')

    def __len__(self) -> int:
        return len(self.track_ids)
