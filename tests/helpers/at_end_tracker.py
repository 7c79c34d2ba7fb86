"""A toy that chooses its tracks when the video ends, and then reads the pictures a second time."""
from typing import Iterator, List, Optional

import torch
from torch import Tensor

from mmvis.errors import InputError
from mmvis.models.base import FrameReader
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, VideoInfo

from .toy_tracker import ToyState, ToyTracker


@MODELS.register_module()
class AtEndTracker(ToyTracker):
    """The frames of the toy tracker, all of them at the end; live: each at once."""

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> ToyState:
        if frames is None and not live:
            raise InputError('AtEndTracker passes over a video twice, and this source can be read once only.')
        state = super().start(video, live, frames)
        state.live, state.read = live, frames
        return state

    def lag(self, state: ToyState) -> Optional[int]:
        return 0 if state.live else None

    def advance(self, state: ToyState, features: Tensor) -> List[FrameInstances]:
        frames = super().advance(state, features)
        return frames if state.live else []

    def finish(self, state: ToyState):
        num_frames = state.next_frame
        _, verdicts = super().finish(state)
        return (iter(()) if state.live else self._again(state, num_frames)), verdicts

    def _again(self, state: ToyState, num_frames: int) -> Iterator[FrameInstances]:
        state.next_frame = 0
        for first in range(0, num_frames, 2):
            frames = state.read(first, min(first + 2, num_frames))
            for frame in frames:
                assert not torch.is_grad_enabled()
                yield self._frame(state, frame * self.gain)
                state.next_frame += 1
