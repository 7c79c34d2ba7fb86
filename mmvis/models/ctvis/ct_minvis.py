"""CTMinVIS: CTVIS's training, MinVIS's inference; the segmenter that DVIS++ is trained on.

Zhang et al., DVIS++: Improved Decoupled Framework for Universal Video Segmentation, arXiv 2312.13305.
"""
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.records import EndRanking
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.clip_targets import clip_targets
from ..layers.query_chain import ChainState
from ..losses import QueryCriterion
from ..losses.contrastive_items import ContrastiveItems
from ..mask2former.losses import frames_as_images, segmentation_losses
from ..mask2former.segmenter import FramePredictions
from .identity import by_clip, identity_losses, queries_of, reid_head


@MODELS.register_module()
class CTMinVIS(VISModel):
    """Frame-wise segmenter with embeddings that are trained by CTVIS's losses and link the queries of consecutive frames.

    An object is matched in every frame of its clip, with an empty mask where it is absent; only where it is present does
    its embedding count.

    Args:
        segmenter: a ``MaskedAttentionSegmenter`` or its config.
        num_records: entries of a video in the results.
        reid_weight, aux_reid_weight: of the losses of the embeddings.
        momentum: of ``ContrastiveItems``.
        live_score: least probability of what a live source shows.
        criterion: weights of the other losses, see ``QueryCriterion``.
    """

    def __init__(self, segmenter: Any, num_records: int = 10, reid_weight: float = 2., aux_reid_weight: float = 3.,
                 momentum: bool = True, live_score: float = 0.3, criterion: Optional[dict] = None,
                 data_preprocessor: Any = dict(type='ClipPreprocessor'), init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        self.segmenter = build_part(segmenter)
        self.num_classes, self.num_records, self.live_score = self.segmenter.num_classes, num_records, live_score
        self.reid_head = reid_head(self.segmenter.embed_dims)
        self.reid_weights, self.items = (reid_weight, aux_reid_weight), ContrastiveItems(momentum)
        self.criterion = QueryCriterion(self.num_classes, **criterion or {})

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of the frames as images, each with all objects of its clip, and of the embeddings of the clips.

        Args:
            clips: float32 [B, T, 3, H, W]; samples: B lists of T.
        """
        targets = [clip_targets(clip) for clip in samples]
        images = [image for target in targets for image in frames_as_images(target, present_only=False)]
        predictions = self.segmenter(clips.flatten(0, 1))
        losses, pairs = segmentation_losses(self.criterion, predictions, images)
        every = queries_of(pairs, [torch.arange(len(image), device=clips.device) for image in images])
        present = [rows.tolist() for target in targets for rows in target.present.T]
        found = [{n: query for n, query in frame.items() if there[n]} for frame, there in zip(every, present)]
        embeddings = self.reid_head(predictions[-1].queries)
        return {**losses, **identity_losses(embeddings, by_clip(found, clips.shape[1]), targets, self.items,
                                            self.reid_weights)}

    def encode(self, frames: Tensor, video: Optional[VideoInfo] = None) -> FramePredictions:
        """Frames float32 [T, 3, H, W] through the whole network."""
        last = self.segmenter(frames, every_layer=False)[-1]
        return FramePredictions(last.logits, last.masks, self.reid_head(last.queries), tuple(frames.shape[-2:]))

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
