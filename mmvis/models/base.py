"""The one contract that every system of the toolbox keeps.

Training calls ``loss``. Inference, whoever asks for it (``tools/test_video.py``, the predictor, the demo, the
benchmark), calls ``start`` once a video, ``step`` for every chunk of frames and ``finish`` at the end; there is no second
inference path.
"""
from abc import abstractmethod
from typing import Any, Dict, List, Optional, Tuple

from mmengine.model import BaseModel
from torch import Tensor

from mmvis.structures import FrameInstances, FrameSample, TrackScore, VideoInfo


class VISModel(BaseModel):
    """Base of the six systems."""

    #: By how many frames the results of ``step`` lag behind its input (0: a frame is final at once).
    lag: int = 0
    #: How many classes it tells apart: its labels are below this number. None: not known.
    num_classes: Optional[int] = None

    @abstractmethod
    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of a batch of clips.

        Args:
            clips: float32 [B, T, 3, H, W], normalised and padded by the data preprocessor.
            samples: B lists of T samples.
        """

    @abstractmethod
    def start(self, video: VideoInfo) -> Any:
        """State of a new video: a dataclass that grows with the tracks, never with the frames."""

    @abstractmethod
    def step(self, state: Any, frames: Tensor) -> List[FrameInstances]:
        """Take the next frames, float32 [T, 3, H, W] (normalised and padded); return the frames that are now final."""

    @abstractmethod
    def finish(self, state: Any) -> Tuple[List[FrameInstances], List[TrackScore]]:
        """End of the video: the frames not yet returned, and the verdict on every track, in output order."""

    def bound_memory(self) -> None:
        """For streams without end: where the published rule remembers everything, use the one that forgets.

        Later videos are then run by that rule; their results may differ from the published ones. A system whose memory
        is bounded anyway has nothing to do.
        """

    def forward(self, inputs: Tensor, data_samples: List[List[FrameSample]] = None, mode: str = 'loss'):
        """mmengine's entry point. Only ``mode='loss'`` leads anywhere: inference needs the state of a video."""
        if mode != 'loss':
            raise ValueError(f"forward takes mode='loss' only, not {mode!r}: run a video with start, step and finish.")
        return self.loss(inputs, data_samples)
