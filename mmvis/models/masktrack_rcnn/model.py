"""MaskTrackRCNN: Mask R-CNN with a fourth head that tells objects apart over time (Yang et al., arXiv 1905.04804).

Numbers follow the official code (github.com/youtubevos/MaskTrackRCNN); so do the keys of the state dict.
"""
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import to_device, to_host
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.legacy_boxes import jitter
from ..layers.matching import match_targets
from ..layers.paste import paste_and_encode
from ..layers.stages import stage
from ..trackers import OnlineState, visible
from .sampling import BoxSampler, IoUAssigner, SampledBoxes, pos_places, random_choice, sample_proposals


class MaskTrackFeatures(NamedTuple):
    """T frames: ``pyramid``, maps [T, C, h, w], finest first; by frame the ``detections`` (boxes [n, 4] in pixels of the
    original frame, scores [n], labels [n]; on the host) and their ``embeddings`` [n, D]."""
    pyramid: Sequence[Tensor]
    detections: List[Tuple[Tensor, Tensor, Tensor]]
    embeddings: Sequence[Tensor]


@MODELS.register_module()
class MaskTrackRCNN(VISModel):
    """Two-stage detector, mask head and identity embedding; online association.

    Every part is a module or the config of one.

    Args:
        backbone, neck: image [B, 3, H, W] to a feature pyramid, finest level first.
        rpn_head, bbox_head, mask_head, track_head: see their classes.
        bbox_roi_extractor, mask_roi_extractor: RoI features for boxes and embeddings, and for masks.
        tracker: association rule.
        train_cfg: ``rpn``: of the RPN head; ``rcnn``: dict(assigner, sampler, add_gt_as_proposals, mask_size).
        test_cfg: ``rpn``: of the RPN head; ``rcnn``: dict(score_thr, nms=dict(iou_thr), max_per_img, mask_thr_binary).
        aug_ref_bbox_param: (centre, size) jitter of the reference boxes in training; ``None``: none.
    """

    def __init__(self, backbone: Any, neck: Any, rpn_head: Any, bbox_head: Any, mask_head: Any, track_head: Any,
                 bbox_roi_extractor: Any = dict(type='InclusiveRoIExtractor', out_size=7),
                 mask_roi_extractor: Any = dict(type='InclusiveRoIExtractor', out_size=14),
                 tracker: Any = dict(type='AssociationTracker'), train_cfg: Optional[dict] = None,
                 test_cfg: Optional[dict] = None, aug_ref_bbox_param: Optional[Sequence[float]] = None,
                 data_preprocessor: Any = dict(type='ClipPreprocessor'), init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        train_cfg, test_cfg = train_cfg or {}, test_cfg or {}
        self.backbone = build_part(backbone)
        self.neck = build_part(neck)
        self.rpn_head = build_part(rpn_head, train_cfg=train_cfg.get('rpn'), test_cfg=test_cfg.get('rpn'))
        self.bbox_head = build_part(bbox_head)
        self.num_classes = self.bbox_head.num_classes
        self.mask_head = build_part(mask_head)
        self.track_head = build_part(track_head)
        self.bbox_roi_extractor = build_part(bbox_roi_extractor)
        self.mask_roi_extractor = build_part(mask_roi_extractor)
        self.tracker = build_part(tracker)
        train = dict(dict(assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, ignore_iof_thr=0.5),
                          sampler=dict(num=128, pos_fraction=0.25), add_gt_as_proposals=True, mask_size=28),
                     **train_cfg.get('rcnn') or {})
        self.assigner = IoUAssigner(**train['assigner'])
        self.sampler = BoxSampler(**train['sampler'])
        self.add_gt_as_proposals = train['add_gt_as_proposals']
        self.mask_size = train['mask_size']
        self.test_cfg = dict(dict(score_thr=0.05, nms=dict(iou_thr=0.5), max_per_img=10, mask_thr_binary=0.5),
                             **test_cfg.get('rcnn') or {})
        self.aug_ref_bbox_param = aug_ref_bbox_param
        self.choose = random_choice           # how training draws its boxes: (indices, number) -> indices

    def extract_features(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Pyramid of images [B, 3, H, W]: a tuple of [B, C, H / stride, W / stride], finest first."""
        return self.neck(self.backbone(images))

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of pairs of frames: the key frame is detected, the other one is the memory it is matched with.

        Args:
            clips: float32 [B, 2, 3, H, W], key and reference frame.
            samples: B pairs [key, reference].

        Returns:
            loss_rpn_cls, loss_rpn_reg (one entry a level), loss_cls, loss_reg, loss_match, loss_mask; acc, match_acc in
            percent.
        """
        if clips.shape[1] != 2:
            raise InputError(f'MaskTrackRCNN trains on pairs of frames (key, reference), not on {clips.shape[1]}.')
        num = len(clips)
        features = self.extract_features(clips.transpose(0, 1).flatten(0, 1))
        key, reference = ([x[part] for x in features] for part in (slice(0, num), slice(num, None)))
        truth = [sample.gt_instances for sample, _ in samples]
        gt_boxes = [x.bboxes for x in truth]
        crowd = [_crowd_boxes(sample) for sample, _ in samples]
        shapes = [sample.img_shape[:2] for sample, _ in samples]

        logits, deltas = self.rpn_head(key)
        losses = self.rpn_head.loss(logits, deltas, gt_boxes, crowd, shapes, self.choose)
        proposals = self.rpn_head.proposals(logits, deltas, shapes)
        sampled = sample_proposals([p[:, :4] for p in proposals], gt_boxes, crowd, self.assigner, self.sampler,
                                   self.add_gt_as_proposals, self.choose)

        roi_features = self.bbox_roi_extractor(key, [x.boxes for x in sampled])
        slots, target_deltas = self.bbox_head.targets(sampled, gt_boxes, [x.labels for x in truth])
        places = pos_places(sampled, clips.device)
        losses.update(self.bbox_head.loss(*self.bbox_head(roi_features), slots, target_deltas, places))
        losses.update(self._loss_match(roi_features, sampled, reference, samples))
        labels = torch.cat([x.labels[s.gt_index] for s, x in zip(sampled, truth)])
        mask_features = self.mask_roi_extractor(key, [x.pos_boxes for x in sampled])
        on_host = to_host(*(x for s, t in zip(sampled, truth) for x in (s.pos_boxes, t.masks, s.gt_index)))
        targets = torch.cat([self.mask_head.targets(boxes, masks.numpy(), index, self.mask_size)
                             for boxes, masks, index in zip(on_host[::3], on_host[1::3], on_host[2::3])])
        targets = to_device(targets, clips.device)
        losses['loss_mask'] = self.mask_head.loss(self.mask_head(mask_features, labels), targets)
        return losses

    def _loss_match(self, roi_features: Tensor, sampled: List[SampledBoxes], reference: List[Tensor],
                    samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Positives of the key frame against the objects of the reference frame."""
        per_image = roi_features.split([len(x.boxes) for x in sampled])
        positives = [x.num_pos for x in sampled]
        embeddings = self.track_head(torch.cat([x[:n] for x, n in zip(per_image, positives)])).split(positives)
        boxes = [pair[1].gt_instances.bboxes for pair in samples]
        if self.aug_ref_bbox_param is not None:
            boxes = [jitter(x, self.aug_ref_bbox_param) for x in boxes]
        known = self.track_head(self.bbox_roi_extractor(reference, boxes)).split([len(x) for x in boxes])
        logits = [self.track_head.match_logits(e, k) for e, k in zip(embeddings, known)]
        targets = [match_targets(key.gt_instances.instance_ids, ref.gt_instances.instance_ids)[x.gt_index]
                   for x, (key, ref) in zip(sampled, samples)]
        return self.track_head.loss(logits, targets)

    # Inference

    def encode(self, frames: Tensor, video: VideoInfo) -> MaskTrackFeatures:
        """Pyramid, detections and their embeddings of float32 [T, 3, H, W]."""
        with stage('network'):
            pyramid = self.extract_features(frames)
            found = to_host(*(x for frame in self.detect(pyramid, video) for x in frame))
            detections = list(zip(found[::3], found[1::3], found[2::3]))
        with stage('association'):
            in_network = [boxes * video.scale_factor for boxes, _, _ in detections]
            embeddings = self.track_head(self.bbox_roi_extractor(pyramid, in_network))
        return MaskTrackFeatures(pyramid, detections, embeddings.split([len(x) for x in in_network]))

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> OnlineState:
        """State of a new video. ``video.scale_factor`` is one float: network size / original size."""
        return OnlineState(video, self.tracker.start(live))

    def advance(self, state: OnlineState, features: MaskTrackFeatures) -> List[FrameInstances]:
        """Associate and segment T frames: T results, each final at once."""
        scale, detections = state.video.scale_factor, features.detections
        with stage('association'):
            in_network = [boxes * scale for boxes, _, _ in detections]
            results, kept = [], []
            for (boxes, scores, labels), embedding in zip(detections, features.embeddings):
                ids = self.tracker.update(state.memory, boxes, scores, labels, embedding)
                rows = visible(ids)
                kept.append(torch.from_numpy(rows))
                results.append((ids[rows], labels.numpy()[rows], scores.numpy()[rows], boxes.numpy()[rows]))
        with stage('masks'):
            in_network = [x[rows] for x, rows in zip(in_network, kept)]
            labels = torch.cat([labels[rows] for (_, _, labels), rows in zip(detections, kept)])
            roi_features = self.mask_roi_extractor(features.pyramid, in_network)
            probabilities = self.mask_head(roi_features, to_device(labels, roi_features.device)).sigmoid().cpu().numpy()
            in_network = torch.cat(in_network).numpy()
        with stage('encode'):
            # The official code scales the boxes to the network and back; the last bit of a pixel index hangs on it.
            size, threshold = state.video.ori_shape, self.test_cfg['mask_thr_binary']
            rles = [paste_and_encode(mask, box / np.float32(scale), size, threshold)
                    for mask, box in zip(probabilities, in_network)]
        rles = iter(rles)
        return [state.emit(*result, [next(rles) for _ in result[0]]) for result in results]

    def detect(self, features: Sequence[Tensor], video: VideoInfo) -> List[Tuple[Tensor, Tensor, Tensor]]:
        """Boxes [n, 4] in pixels of the original frame, scores [n] and labels [n] of each of the T frames."""
        shapes = [video.img_shape] * len(features[0])
        rois = [x[:, :4] for x in self.rpn_head.proposals(*self.rpn_head(features), shapes)]
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, rois))
        sizes = [len(x) for x in rois]
        cfg = self.test_cfg
        return [self.bbox_head.detect(*x, video.img_shape, video.scale_factor, cfg['score_thr'], cfg['nms']['iou_thr'],
                                      cfg['max_per_img']) for x in zip(rois, logits.split(sizes), deltas.split(sizes))]

    def finish(self, state: OnlineState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """Nothing is outstanding; mean score and majority class of every track, in order of first appearance."""
        return iter(()), state.summary.verdicts()


def _crowd_boxes(sample: FrameSample) -> Optional[Tensor]:
    ignored = sample.get('ignored_instances')
    return None if ignored is None else ignored.bboxes
