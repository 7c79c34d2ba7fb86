"""A toy that answers in bursts, as models do whose windows do not overlap."""
from typing import List

from torch import Tensor

from mmvis.registry import MODELS
from mmvis.structures import FrameInstances

from .toy_tracker import ToyState, ToyTracker


@MODELS.register_module()
class BurstTracker(ToyTracker):
    """The toy tracker, but ``window`` frames at a time: nothing, nothing, nothing, then four."""

    def __init__(self, num_classes: int = 2, window: int = 4) -> None:
        super().__init__(num_classes, lag=window - 1)
        self.window = window

    def advance(self, state: ToyState, features: Tensor) -> List[FrameInstances]:
        out = []
        for frame in features:
            state.waiting.append(self._frame(state, frame))
            state.next_frame += 1
            if len(state.waiting) == self.window:
                out, state.waiting = out + state.waiting, []
        return out
