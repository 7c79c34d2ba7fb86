"""Mask2Former as a segmenter of images: every frame is an image of its own, and no identity is found."""
from typing import Any, Dict, Iterator, List, Optional, Tuple

from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.clip_targets import clip_targets
from ..layers.image_results import ImagesState
from ..losses import QueryCriterion
from .losses import segmentation_losses
from .segmenter import FramePredictions


@MODELS.register_module()
class Mask2Former(VISModel):
    """Masked-attention mask transformer, for instances of images.

    Args:
        segmenter: a ``MaskedAttentionSegmenter`` or its config.
        num_instances: of an image in the results.
        criterion: weights of the losses, see ``QueryCriterion``.
    """

    SEGMENTS_IMAGES = True

    def __init__(self, segmenter: Any, num_instances: int = 100, criterion: Optional[dict] = None,
                 data_preprocessor: Any = dict(type='ClipPreprocessor'), init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        self.segmenter = build_part(segmenter)
        self.num_classes, self.num_instances = self.segmenter.num_classes, num_instances
        self.criterion = QueryCriterion(self.num_classes, **criterion or {})

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses (see ``QueryCriterion``) of all predictions.

        Args:
            clips: float32 [B, T, 3, H, W], B * T images; samples: B lists of T.
        """
        targets = [clip_targets([sample]) for clip in samples for sample in clip]
        return segmentation_losses(self.criterion, self.segmenter(clips.flatten(0, 1)), targets)[0]

    def encode(self, frames: Tensor, video: Optional[VideoInfo] = None) -> FramePredictions:
        """Images float32 [N, 3, H, W] through the whole network."""
        last = self.segmenter(frames, every_layer=False)[-1]
        return FramePredictions(*last, tuple(frames.shape[-2:]))

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> ImagesState:
        """State of a new video, or of one image."""
        return ImagesState(video, self.num_instances)

    def advance(self, state: ImagesState, features: FramePredictions) -> List[FrameInstances]:
        """The instances of N images; each has an id of its own."""
        return [state.add(*image, features.network) for image in zip(features.logits, features.masks)]

    def finish(self, state: ImagesState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """No frame is owed; the verdicts on all instances."""
        return state.finish()
