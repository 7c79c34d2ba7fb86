"""The state of a video in the systems that work frame by frame with an association tracker."""
from dataclasses import dataclass, field
from typing import List, Optional

import numpy as np

from mmvis.structures import RLE, FrameInstances, VideoInfo

from .association import TrackMemory, TrackSummary


@dataclass
class OnlineState:
    """One video on its way. Memory and summary grow with the number of tracks only."""
    video: VideoInfo
    memory: TrackMemory
    frame_idx: int = 0
    summary: TrackSummary = field(default_factory=TrackSummary)

    def emit(self, track_ids: np.ndarray, labels: np.ndarray, scores: np.ndarray, boxes: np.ndarray,
             masks: List[Optional[RLE]]) -> FrameInstances:
        """Book the next frame, as FrameInstances has its parts, and return it."""
        self.summary.add(track_ids, labels, scores)
        self.frame_idx += 1
        return FrameInstances(self.frame_idx - 1, track_ids, labels, scores, boxes, masks)
