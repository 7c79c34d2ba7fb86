"""CTVIS: detections of single frames, associated by embeddings whose training imitates the association.

Ying et al., CTVIS: Consistent Training for Online Video Instance Segmentation, ICCV 2023, arXiv 2307.12616. Numbers
follow the official code (github.com/KainingYing/CTVIS), which is MIT.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.records import enlarge_with_values
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.clip_targets import ClipTargets, clip_targets
from ..layers.query_matching import assign
from ..layers.stages import stage
from ..losses import QueryCriterion
from ..losses.contrastive_items import ContrastiveItems, Found
from ..mask2former.decoder import Prediction
from ..mask2former.losses import frames_as_images, segmentation_losses
from ..mask2former.segmenter import FramePredictions
from .detect import Detections, detect
from .identity import by_clip, identity_losses, queries_of, reid_head
from .tracker import SimilarityTracker, TrackBank, TrackTable


@dataclass
class CTVISState:
    """One video on its way. It grows with the tracks, not with the frames.

    Attributes:
        bank: what detections are compared with; table: what the results are made of.
    """
    video: VideoInfo
    bank: TrackBank = field(default_factory=TrackBank)
    table: TrackTable = field(default_factory=TrackTable)
    num_frames: int = 0


@MODELS.register_module()
class CTVIS(VISModel):
    """Online tracking with a memory bank, on a frame-wise segmenter.

    Args:
        segmenter: a ``MaskedAttentionSegmenter`` or its config.
        num_records: entries of a video in the results; None: as many as classes.
        detection_score: least probability of a detection (a frame has at least one); nms_iou: of two masks, above which
            the weaker one goes.
        tracker: arguments of ``SimilarityTracker``.
        reid_weight, aux_reid_weight: of the losses of the embeddings.
        momentum, noise: of ``ContrastiveItems``.
        official_items: match objects for the embeddings a second time, the absent ones with them, at places of masks
            without padding, and lose single items, as the published code does; False: by the matching of the segmenter.
        criterion: weights of the other losses, see ``QueryCriterion``.
    """

    def __init__(self, segmenter: Any, num_records: Optional[int] = None, detection_score: float = 0.01,
                 nms_iou: float = 0.6, tracker: Optional[dict] = None, reid_weight: float = 2.,
                 aux_reid_weight: float = 3., momentum: bool = True, noise: float = 0., official_items: bool = False,
                 criterion: Optional[dict] = None, data_preprocessor: Any = dict(type='ClipPreprocessor'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        self.segmenter = build_part(segmenter)
        self.num_classes = self.segmenter.num_classes
        self.num_records = num_records or self.num_classes
        self.reid_head = reid_head(self.segmenter.embed_dims)
        self.detection_score, self.nms_iou = detection_score, nms_iou
        self.tracker = SimilarityTracker(**tracker or {})
        self.reid_weights, self.official_items = (reid_weight, aux_reid_weight), official_items
        self.items = ContrastiveItems(momentum, noise, official_skips=official_items)
        self.criterion = QueryCriterion(self.num_classes, **criterion or {})

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of the frames as images, each with the objects present in it, and of the embeddings of the clips.

        Args:
            clips: float32 [B, T, 3, H, W]; samples: B lists of T.
        """
        targets = [clip_targets(clip) for clip in samples]
        sizes = [tuple(clip[0].img_shape) for clip in samples]
        return self.clip_losses(self.segmenter(clips.flatten(0, 1)), targets, sizes)

    def clip_losses(self, predictions: List[Prediction], targets: List[ClipTargets], sizes: List[Tuple[int, int]]
                    ) -> Dict[str, Tensor]:
        """Weighted losses of all predictions of B * T frames; ``sizes``: (height, width) of each clip without padding."""
        num_frames = targets[0].present.shape[1]
        images = [image for target in targets for image in frames_as_images(target, present_only=True)]
        losses, pairs = segmentation_losses(self.criterion, predictions, images)
        last = predictions[-1]
        if self.official_items:
            found = self.match_again(last, targets, sizes)
        else:
            slots = [rows.nonzero().flatten() for target in targets for rows in target.present.T]
            found = by_clip(queries_of(pairs, slots), num_frames)
        embeddings = self.reid_head(last.queries)
        return {**losses, **identity_losses(embeddings, found, targets, self.items, self.reid_weights)}

    def match_again(self, last: Prediction, targets: List[ClipTargets], sizes: List[Tuple[int, int]]
                    ) -> List[List[Found]]:
        """The published matching for the embeddings: all objects of a clip in each of its frames, absent ones as "no
        object" with an empty mask, and points that are fractions of the mask without padding."""
        num_frames = targets[0].present.shape[1]
        found: List[List[Found]] = [[] for _ in targets]
        for t in range(num_frames):
            for b, (target, (height, width)) in enumerate(zip(targets, sizes)):
                present = target.present[:, t]
                if not len(target):
                    found[b].append({})
                    continue
                frame = b * num_frames + t
                cost = self.criterion.cost(
                    last.logits[frame], last.masks[None, frame], target.labels.where(present, self.num_classes),
                    target.masks[None, :, t, :height, :width])
                every = queries_of([assign(cost)], [torch.arange(len(target), device=present.device)])[0]
                found[b].append({n: query for n, query in every.items() if present[n]})
        return found

    # Inference

    def encode(self, frames: Tensor, video: Optional[VideoInfo] = None) -> FramePredictions:
        """Frames float32 [T, 3, H, W] through the whole network."""
        last = self.segmenter(frames, every_layer=False)[-1]
        return FramePredictions(last.logits, last.masks, self.reid_head(last.queries), tuple(frames.shape[-2:]))

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> CTVISState:
        """State of a new video."""
        return CTVISState(video)

    def advance(self, state: CTVISState, features: FramePredictions) -> List[FrameInstances]:
        """The tracks of T frames."""
        return [self._frame(state, detect(*frame, self.detection_score, self.nms_iou), features.network)
                for frame in zip(*features[:3])]

    def _frame(self, state: CTVISState, found: Detections, network: Tuple[int, int]) -> FrameInstances:
        t = state.num_frames
        state.num_frames += 1
        with stage('association'):
            ids = self.tracker.update(state.bank, found.scores, found.embeddings, t)
        rows = []
        for i, bank_id in enumerate(ids):
            if bank_id is None:
                continue
            with stage('encode'):
                mask = enlarge_with_values(found.masks[i], state.video.ori_shape, network, state.video.img_shape)
                pixels, confidence = (0, 0.) if mask is None else (len(mask.values), _sum_of_sigmoids(mask.values))
            track_id = state.table.add(bank_id, t, found.logits[i], pixels, confidence)
            if mask is not None:
                rows.append((track_id, found.labels[i], found.scores[i], mask.box, mask.rle))
        state.table.remove_noise(t)
        if not rows:
            return FrameInstances(t)
        track_ids, labels, scores, boxes, rles = zip(*rows)
        return FrameInstances(t, np.array(track_ids), np.array(labels), np.array(scores, np.float32), np.stack(boxes),
                              list(rles))

    def finish(self, state: CTVISState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """No frame is owed; the best pairs of track and class."""
        return iter(()), [TrackScore(*record, born=0) for record in state.table.records(self.num_records)]


def _sum_of_sigmoids(logits: np.ndarray) -> float:
    """Of logits above 0."""
    return float((1 / (1 + np.exp(-logits))).sum(dtype=np.float64))
