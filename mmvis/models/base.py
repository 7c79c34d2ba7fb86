"""The one contract that every system of the toolbox keeps.

Training calls ``loss``. Inference, whoever asks for it (``tools/test_video.py``, the predictor, the demo, the export, the
benchmark), calls ``start`` once a video, ``step`` for every chunk of frames and ``finish`` at the end; there is no second
inference path. ``step`` is ``advance`` after ``encode``: what sees one frame at a time is batched, compiled and exported,
the association goes frame by frame.

What a user gets when:

==========  =============================  ==========================  ================================================
kind        systems                        ``lag(state)``              ``step`` and ``finish``
==========  =============================  ==========================  ================================================
online      MaskTrackRCNN, SipMask-VIS,    0 (InstanceFormer: 2, the   a frame comes out at once; ``finish`` owes none
            CondInst+IAI, MemCNP,          first two frames come       (InstanceFormer: those of a video shorter than
            InstanceFormer                 with the third)             three) and gives class and score of every track
windowed    IFC                            the window                  a frame comes out when no later window covers it;
                                                                       ``finish`` gives the rest
images      EoMT, Mask2Former              0                           a frame comes out at once, its instances with numbers
                                                                       of their own; pictures may have any sizes
at the end  VidEoMT, LVMT, MinVIS          None                        ``step`` gives nothing; ``finish`` gives all
                                                                       frames one by one, only of the tracks chosen, with
                                                                       class and score of the whole video
live        all; a source without end      that of the kind; of those  systems that choose at the end show at once what
                                           at the end 0                leads so far; memory without bound is bounded
==========  =============================  ==========================  ================================================
"""
from abc import abstractmethod
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

#: ``frames(first, end)``: the frames ``first`` to ``end - 1`` of a video once more, as ``step`` gets them.
FrameReader = Callable[[int, int], Tensor]


class VISModel(BaseModel):
    """Base of all systems."""

    #: Whether every frame is an image of its own, to which the frames before say nothing.
    SEGMENTS_IMAGES = False

    _num_classes: Optional[int] = None

    @property
    def num_classes(self) -> Optional[int]:
        """How many classes it tells apart: its labels are below this number. None: not known."""
        return self._num_classes

    @num_classes.setter
    def num_classes(self, number: int) -> None:
        self._num_classes = self.data_preprocessor.num_classes = number

    @abstractmethod
    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of a batch of clips.

        Args:
            clips: float32 [B, T, 3, H, W], normalised and padded by the data preprocessor.
            samples: B lists of T samples.
        """

    @abstractmethod
    def encode(self, frames: Tensor, video: VideoInfo) -> Any:
        """What can be said of frames float32 [T, 3, H, W] (normalised and padded), each by itself; no state.

        Args:
            video: only its sizes may be read.

        Returns:
            A tuple or dataclass of tensors for ``advance``.
        """

    @abstractmethod
    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> Any:
        """State of a new video: a dataclass that has the ``video``.

        Args:
            live: the source has no end. Memory without bound is bounded then, and a system that chooses its tracks
                at the end shows what leads so far; all others stay as they are.
            frames: reads frames of the video again, for systems that pass over it twice; None where nothing can.
        """

    @abstractmethod
    def advance(self, state: Any, features: Any) -> List[FrameInstances]:
        """Take the features of the next frames; return the frames that are now final."""

    @torch.no_grad()
    def step(self, state: Any, frames: Tensor) -> List[FrameInstances]:
        """Take the next frames, float32 [T, 3, H, W] (normalised and padded); return the frames that are now final."""
        return self.advance(state, self.encode(frames, state.video))

    @abstractmethod
    def finish(self, state: Any) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """End of the video: the frames not yet returned, and the verdict on every track, in output order.

        The frames may be taken once, one by one; they are made when they are taken (see ``VideoRun``).
        """

    def lag(self, state: Any) -> Optional[int]:
        """By how many frames the results of ``step`` are behind its input; None: all come with ``finish``."""
        return 0

    def forward(self, inputs: Tensor, data_samples: List[List[FrameSample]] = None, mode: str = 'loss'):
        """mmengine's entry point. Only ``mode='loss'`` leads anywhere: inference needs the state of a video."""
        if mode != 'loss':
            raise ValueError(f"forward takes mode='loss' only, not {mode!r}: run a video with start, step and finish.")
        return self.loss(inputs, data_samples)
