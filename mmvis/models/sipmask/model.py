"""SipMask-VIS: a one-stage detector with a mask basis and an identity embedding (Cao et al., ECCV 2020).

arXiv 2007.14772.

Numbers follow the official code (github.com/JialeCao001/SipMask, folder SipMask-VIS); so do the keys of the state dict.
"""
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from torch import Tensor

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.ops.crop_split import split_masks
from mmvis.ops.transfer import on_device, to_host
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.mask_packing import to_threshold
from ..layers.stages import stage
from ..trackers import OnlineState, visible
from .masks import encode_masks


class SipMaskFeatures(NamedTuple):
    """What the head says of T frames: ``detections``, one entry a frame, and the mask basis [T, ...] (see the head)."""
    detections: List[Any]
    basis: Tensor


@MODELS.register_module()
class SipMaskVIS(VISModel):
    """Dense detector with online association. Every part is a module or the config of one.

    Args:
        backbone, neck: image [B, 3, H, W] to a feature pyramid, finest level first.
        bbox_head: has ``loss``, ``detect``, ``mask_stride``, ``ratio_of_sizes`` and ``test_cfg`` as SipMaskHead has them.
        tracker: association rule.
        test_cfg: of the head.
    """

    def __init__(self, backbone: Any, neck: Any, bbox_head: Any, tracker: Any = dict(type='AssociationTracker'),
                 test_cfg: Optional[dict] = None, data_preprocessor: Any = dict(type='ClipPreprocessor'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        self.backbone = build_part(backbone)
        self.neck = build_part(neck)
        self.bbox_head = build_part(bbox_head, test_cfg=test_cfg)
        self.num_classes = self.bbox_head.num_classes
        self.tracker = build_part(tracker)

    def extract_features(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Pyramid of images [B, 3, H, W]: a tuple of [B, C, H / stride, W / stride], finest first."""
        return self.neck(self.backbone(images))

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of pairs of frames: the key frame is detected, the other one is the memory it is matched with.

        Args:
            clips: float32 [B, 2, 3, H, W], key and reference frame.
            samples: B pairs [key, reference].

        Returns:
            The losses of the head, and match_acc in percent.
        """
        if clips.shape[1] != 2:
            raise InputError(f'{type(self).__name__} trains on pairs of frames (key, reference), not on '
                             f'{clips.shape[1]}.')
        num = len(clips)
        features = self.extract_features(clips.transpose(0, 1).flatten(0, 1))
        key, reference = ([x[part] for x in features] for part in (slice(0, num), slice(num, None)))
        return self.bbox_head.loss(key, reference, samples)

    def encode(self, frames: Tensor, video: VideoInfo) -> SipMaskFeatures:
        """Detections and mask basis of float32 [T, 3, H, W]."""
        with stage('network'):
            return SipMaskFeatures(*self.bbox_head.detect(self.extract_features(frames), video))

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> OnlineState:
        """State of a new video. ``video.scale_factor`` is one float: network size / original size."""
        return OnlineState(video, self.tracker.start(live))

    def advance(self, state: OnlineState, features: SipMaskFeatures) -> List[FrameInstances]:
        """Associate and segment T frames: T results, each final at once."""
        video, head = state.video, self.bbox_head
        results = []
        for t, found in enumerate(features.detections):
            with stage('association'):
                boxes, scores, labels = to_host(found.boxes, found.scores, found.labels)
                ids = self.tracker.update(state.memory, boxes, scores, labels, found.embeddings)
                rows = visible(ids)
                kept = on_device(rows, found.boxes.device)
            with stage('masks'):
                in_basis = found.boxes[kept] * video.scale_factor / head.mask_stride
                probabilities = split_masks(features.basis[t], found.coefficients[kept], in_basis)
                threshold = head.test_cfg['mask_thr_binary']
                probabilities = to_threshold(probabilities, threshold)
            with stage('encode'):
                rles = encode_masks(probabilities, head.mask_stride / video.scale_factor, video.ori_shape, threshold,
                                    head.ratio_of_sizes)
            results.append(state.emit(ids[rows], labels.numpy()[rows], scores.numpy()[rows], boxes.numpy()[rows], rles))
        return results

    def finish(self, state: OnlineState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """Nothing is outstanding; mean score and majority class of every track, in order of first appearance."""
        return iter(()), state.summary.verdicts()
