"""A tracker that needs no training: what it says is a function of the pixels of a frame alone."""
import os
import time
from dataclasses import dataclass, field
from typing import Dict, List, Optional

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from mmvis.models.base import FrameReader, VISModel
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo, encode_mask


class _Floats(BaseDataPreprocessor):

    def forward(self, data: dict, training: bool = False) -> dict:
        return {'inputs': self.cast_data(data['inputs'][0]).float()}


@dataclass
class ToyState:
    video: VideoInfo
    next_frame: int = 0
    waiting: List[FrameInstances] = field(default_factory=list)
    sums: Dict[int, float] = field(default_factory=dict)
    counts: Dict[int, int] = field(default_factory=dict)


@MODELS.register_module()
class ToyTracker(VISModel):
    """Three tracks, one a colour: the pixels brighter than the frame's mean in that channel.

    Args:
        num_classes: K; track c has the label c mod K.
        lag: frames by which the results come late.
    """

    def __init__(self, num_classes: int = 2, lag: int = 0) -> None:
        super().__init__(data_preprocessor=_Floats())
        self.num_classes, self.frames_behind = num_classes, lag
        self.seconds = float(os.environ.get('TOY_SECONDS', 0))  # not in the config: a slow run is the same run
        self.gain = nn.Parameter(torch.ones(1))

    def loss(self, clips, samples):
        return {'loss': (self.gain - 2).square().sum() + 0 * clips.mean()}

    def lag(self, state: ToyState) -> Optional[int]:
        return self.frames_behind

    def encode(self, frames: Tensor, video: VideoInfo) -> Tensor:
        assert not self.training and not torch.is_grad_enabled()
        return frames * self.gain

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> ToyState:
        assert not self.training and not torch.is_grad_enabled()
        return ToyState(video)

    def advance(self, state: ToyState, features: Tensor) -> List[FrameInstances]:
        for frame in features:
            time.sleep(self.seconds)
            state.waiting.append(self._frame(state, frame))
            state.next_frame += 1
        ready = state.waiting[:max(0, len(state.waiting) - self.frames_behind)]
        state.waiting = state.waiting[len(ready):]
        return ready

    def finish(self, state: ToyState):
        # Brightest track first: neither by id nor by first appearance.
        means = {track: state.sums[track] / state.counts[track] for track in state.sums}
        verdicts = [TrackScore(track, track % self.num_classes, mean) for track, mean in means.items()]
        return iter(state.waiting), sorted(verdicts, key=lambda verdict: (-verdict.score, verdict.track_id))

    def _frame(self, state: ToyState, frame: Tensor) -> FrameInstances:
        h, w = state.video.ori_shape
        small = frame.cpu().numpy().transpose(1, 2, 0)
        rows = np.arange(h) * small.shape[0] // h
        columns = np.arange(w) * small.shape[1] // w
        image = small[rows][:, columns]
        masks = [image[..., track] > image.mean() for track in range(3)]
        boxes, scores = [], []
        for track, mask in enumerate(masks):
            ys, xs = np.nonzero(mask) if mask.any() else (np.zeros(1), np.zeros(1))
            boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            scores.append(float(np.round(image[..., track].mean() / 256, 3)))
            state.sums[track] = state.sums.get(track, 0.) + scores[-1]
            state.counts[track] = state.counts.get(track, 0) + 1
        return FrameInstances(
            state.next_frame, np.arange(3), np.arange(3) % self.num_classes, np.float32(scores), np.float32(boxes),
            [encode_mask(mask) if mask.any() else None for mask in masks])
