"""MinVIS: an image segmenter, trained on single frames; its queries are linked by how alike they are from frame to frame.

Huang, Yu and Anandkumar, MinVIS: A Minimal Video Instance Segmentation Framework without Video-based Training, NeurIPS
2022, arXiv 2208.02245. Written from a description of the method; numbers agree with those of the published models' code.
"""
from typing import Any, Dict, Iterator, List, Optional, Tuple

from torch import Tensor

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.records import EndRanking
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.clip_targets import ClipTargets, clip_targets
from ..layers.query_chain import ChainState
from ..losses import QueryCriterion
from ..mask2former.losses import frames_as_images, segmentation_losses
from ..mask2former.segmenter import FramePredictions


@MODELS.register_module()
class MinVIS(VISModel):
    """Frame-wise segmenter with tracking by query similarity.

    The queries of the first frame are the slots. Those of every later frame are assigned to the slots by cosine
    similarity with the frame before, all of them: no slot is born or dies. Class logits are averaged over the video.

    Args:
        segmenter: a ``MaskedAttentionSegmenter`` or its config.
        num_records: entries of a video in the results.
        label_rule: 'annotated', the class of an object is that of its annotation; 'official', an object that the last
            frame of a clip lacks is taught as "no object", as in the published code, which is trained on clips of one
            frame.
        live_score: least probability of what a live source shows.
        criterion: weights of the losses, see ``QueryCriterion``.
    """

    def __init__(self, segmenter: Any, num_records: int = 10, label_rule: str = 'annotated', live_score: float = 0.3,
                 criterion: Optional[dict] = None, data_preprocessor: Any = dict(type='ClipPreprocessor'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        if label_rule not in ('annotated', 'official'):
            raise InputError(f"MinVIS: label_rule is 'annotated' or 'official', not {label_rule!r}.")
        self.segmenter = build_part(segmenter)
        self.num_classes, self.num_records, self.live_score = self.segmenter.num_classes, num_records, live_score
        self.label_rule = label_rule
        self.criterion = QueryCriterion(self.num_classes, **criterion or {})

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of the frames of clips, each frame as an image with all objects of its clip: one that is absent in a
        frame has an empty mask there.

        Args:
            clips: float32 [B, T, 3, H, W]; samples: B lists of T.
        """
        images = [image for target in self.targets(samples)
                  for image in frames_as_images(target, present_only=False)]
        return segmentation_losses(self.criterion, self.segmenter(clips.flatten(0, 1)), images)[0]

    def targets(self, samples: List[List[FrameSample]]) -> List[ClipTargets]:
        """The objects of B clips, labelled by ``label_rule``."""
        targets = [clip_targets(clip) for clip in samples]
        if self.label_rule == 'official':
            for target in targets:
                target.labels = target.labels.where(target.present[:, -1], self.num_classes)
        return targets

    # Inference

    def encode(self, frames: Tensor, video: Optional[VideoInfo] = None) -> FramePredictions:
        """Frames float32 [T, 3, H, W] through the whole network."""
        last = self.segmenter(frames, every_layer=False)[-1]
        return FramePredictions(*last, tuple(frames.shape[-2:]))

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> ChainState:
        """State of a new video."""
        return ChainState(video, EndRanking(self.num_records), live, self.live_score)

    def lag(self, state: ChainState) -> Optional[int]:
        """None: which slots are tracks is known when the video ends; of a live source 0."""
        return 0 if state.live else None

    def advance(self, state: ChainState, features: FramePredictions) -> List[FrameInstances]:
        """Take T frames. Nothing is final yet; of a live source all T frames are."""
        state.network = features.network
        return [result for frame in zip(*features[:3]) for result in state.follow(*frame)]

    def finish(self, state: ChainState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """See ``RowsState.finish``."""
        return state.finish()
