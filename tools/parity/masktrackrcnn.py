"""Stages of MaskTrackRCNN, as the recipe inside its parity files states them."""
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import torch
from torch import Tensor

from mmvis.models import MaskTrackRCNN
from mmvis.models.layers.legacy_boxes import roi_levels
from mmvis.models.layers.paste import paste_and_encode
from mmvis.models.masktrack_rcnn.sampling import sample_proposals
from mmvis.models.trackers import TrackMemory
from mmvis.structures import VideoInfo, decode_rle

from . import fill
from .compare import Stage
from .videos import (
    IMG_SHAPE,
    ORI_SHAPE,
    ellipse,
    frame_entries,
    load_official,
    network_input,
    results_stages,
    run_video,
    track_frame,
    training_pairs,
)

LOSS = dict(rtol=1e-4, atol=1e-7)
SCALE = 0.5
LEVELS = ((32, 40), (16, 20), (8, 10), (4, 5), (2, 3))


def build(manifest_dir: Path, salt: str) -> MaskTrackRCNN:
    """The official R50 model with the weights of the salt, filled through the converter."""
    backbone = dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                    norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch')
    neck = dict(type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5)
    heads = (dict(type=f'MaskTrack{name}Head') for name in ('RPN', 'BBox', 'Mask', 'Embedding'))
    model = MaskTrackRCNN(backbone, neck, *heads)
    manifest = json.loads((manifest_dir / 'manifest.json').read_text())
    return load_official(model, fill.state_dict(manifest, salt))


def first_in_order(indices: Tensor, num: int) -> Tensor:
    """Stands for the random draw: the recipes take the first candidates."""
    return indices[:num]


class Parity:
    """The model, the salt and the file of one run; each method yields the stages of one part of the file."""

    def __init__(self, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.golden = golden
        self.salt = salt
        self.model = build(manifest_dir, salt)
        self.model.choose = first_in_order
        self.clip = network_input(self.model, fill.frames(4, *ORI_SHAPE, salt), IMG_SHAPE)

    def unit(self, key: str, *shape: int) -> Tensor:
        return fill.unit(key, shape, self.salt)

    def network(self) -> Iterator[Stage]:
        model, frame, top = self.model, self.clip[:1], 'stages_frame0'
        yield Stage((top, 'input.frame0'), frame)
        stages = model.backbone(frame)
        yield from (Stage((top, f'backbone.C{i + 2}'), x) for i, x in enumerate(stages))
        pyramid = model.neck(stages)
        yield from (Stage((top, f'neck.P{i + 2}'), x) for i, x in enumerate(pyramid))
        logits, deltas = model.rpn_head(pyramid)
        yield from (Stage((top, f'rpn.cls.P{i + 2}'), x) for i, x in enumerate(logits))
        yield from (Stage((top, f'rpn.reg.P{i + 2}'), x) for i, x in enumerate(deltas))
        proposals, = model.rpn_head.proposals(logits, deltas, [IMG_SHAPE])
        yield Stage((top, 'rpn.proposals'), proposals)
        features = model.bbox_roi_extractor(pyramid, [proposals[:, :4]])
        yield Stage((top, 'bbox_roi_feats(proposals)'), features)
        scores, boxes = model.bbox_head(features)
        yield Stage((top, 'bbox_head.cls_score(proposals)'), scores)
        yield Stage((top, 'bbox_head.bbox_pred(proposals)'), boxes)

    def clips(self) -> Iterator[Stage]:
        # rescale=False of the official code: the network's frame is taken for the original one.
        for name, ori_shape, scale in (('true', ORI_SHAPE, SCALE), ('false', IMG_SHAPE, 1.)):
            frames, _ = run_video(self.model, VideoInfo(1, ori_shape, IMG_SHAPE, scale, 4), self.clip)
            yield Stage((f'clip_results_rescale_{name}',), [frame_entries(frame) for frame in frames])

    def heads(self) -> Iterator[Stage]:
        model, top = self.model, 'hand_heads'
        yield Stage((top, 'rois'), given=True)
        features = [self.unit(f'hand.P{i + 2}', 1, 256, 96 >> i, 128 >> i) for i in range(4)]
        rois = torch.tensor(self.golden[top]['rois'], dtype=torch.float32)
        yield Stage((top, 'roi_levels'), roi_levels(rois, 4))
        small, large = model.bbox_roi_extractor(features, [rois]), model.mask_roi_extractor(features, [rois])
        yield Stage((top, 'bbox_roi_feats'), small)
        yield Stage((top, 'mask_roi_feats'), large)
        scores, boxes = model.bbox_head(small)
        yield Stage((top, 'cls_score'), scores)
        yield Stage((top, 'bbox_pred'), boxes)
        yield Stage((top, 'mask_pred'), model.mask_head(large))
        embeddings = model.track_head(small)
        yield Stage((top, 'track.embedding'), embeddings)
        yield Stage((top, 'track.match_score(first6,next5)'),
                    model.track_head.match_logits(embeddings[:6], embeddings[6:11]))

    def post_processing(self) -> Iterator[Stage]:
        model = self.model
        logits = [self.unit(f'hand.rpn.cls.{i}', 1, 3, *size) * 2 for i, size in enumerate(LEVELS)]
        deltas = [self.unit(f'hand.rpn.reg.{i}', 1, 12, *size) * 0.3 for i, size in enumerate(LEVELS)]
        yield Stage(('hand_rpn', 'proposals'), model.rpn_head.proposals(logits, deltas, [IMG_SHAPE])[0])
        yield Stage(('base_anchors',), [x.tolist() for x in model.rpn_head.base_anchors])

        yield Stage(('hand_det', 'rois_full'), given=True)
        centre = torch.tensor([76., 50.]) + torch.tensor([35., 22.]) * self.unit('hand.det.ctr', 60, 2)
        half = 8 + torch.tensor([18., 14.]) * self.unit('hand.det.wh', 60, 2).abs()
        rois = torch.cat([centre - half, centre + half], dim=1)
        rois = torch.minimum(rois.clamp(min=0), torch.tensor([151., 99., 151., 99.]))
        yield Stage(('hand_det', 'rois'), torch.nn.functional.pad(rois, (1, 0)))
        raw = rois, self.unit('hand.det.cls', 60, 41) * 2, self.unit('hand.det.reg', 60, 164) * 0.7
        boxes, scores, labels = model.bbox_head.detect(*raw, IMG_SHAPE, SCALE)
        yield Stage(('hand_det', 'det_bboxes'), torch.cat([boxes, scores[:, None]], dim=1))
        yield Stage(('hand_det', 'det_labels'), labels)
        yield Stage(('hand_masks',), self._hand_masks(boxes * SCALE, labels))
        boxes, scores, labels = model.bbox_head.detect(*raw, IMG_SHAPE, max_per_img=1000)
        yield Stage(('hand_det_unlimited', 'count'), len(boxes))
        yield Stage(('hand_det_unlimited', 'det_bboxes'), torch.cat([boxes, scores[:, None]], dim=1))
        yield Stage(('hand_det_unlimited', 'det_labels'), labels)

    @staticmethod
    def _hand_masks(boxes: Tensor, labels: Tensor) -> List[dict]:
        y, x = np.mgrid[0:28, 0:28].astype(np.float64)
        out = []
        for i, (box, slot) in enumerate(zip(boxes.numpy(), (labels + 1).tolist())):
            logits = 4 * np.cos(0.18 * (x - 13.5) + 0.05 * i) * np.cos(0.16 * (y - 13.5) - 0.04 * slot) - 0.6
            mask = torch.from_numpy(logits.astype(np.float32)).sigmoid().numpy()
            rle = paste_and_encode(mask, box / np.float32(SCALE), ORI_SHAPE)
            out.append(dict(area=int(decode_rle(rle).sum()), rle=rle['counts'], size=rle['size']))
        return out

    def tracker(self) -> Iterator[Stage]:
        yield Stage(('tracker_scenario',), given=True)
        yield Stage(('base_boxes',), given=True)
        yield Stage(('tracker_embeddings',), self._scenario((1024, 1, 1), 0.08, lambda x: x.flatten(1)))
        yield Stage(('tracker_roi_feats',), self._scenario((256, 7, 7), 0.09, self.model.track_head))

    def _scenario(self, shape: tuple, factor: float, embed: Any) -> List[dict]:
        """Ids, comparisons and memory after every frame of the written scenario."""
        memory, out = TrackMemory(), []
        base = torch.tensor(self.golden['base_boxes'], dtype=torch.float32)
        for t, entries in enumerate(self.golden['tracker_scenario']):
            objects = [int(entry[0]) for entry in entries]
            labels = torch.tensor([int(entry[1]) for entry in entries], dtype=torch.long)
            scores = torch.tensor([entry[2] for entry in entries], dtype=torch.float32)
            shift = torch.tensor([[entry[3], entry[3] / 2] * 2 for entry in entries]).reshape(-1, 4)
            boxes = base[objects].reshape(-1, 4) + shift
            raw = [factor * (self.unit(f'trk.obj.{o}', *shape) + 0.6 * self.unit(f'trk.noise.{t}.{j}', *shape))
                   for j, o in enumerate(objects)]
            embeddings = embed(torch.stack(raw)) if raw else torch.zeros(0, 1024)
            out.append(track_frame(self.model.tracker, memory, boxes, scores, labels, embeddings))
        return out

    def losses(self) -> Iterator[Stage]:
        given = self.golden['losses']
        for name in ('gt', 'gt_labels', 'ref_boxes', 'gt_pids'):
            yield Stage(('losses', name), given=True)
        gt, ref = ([torch.tensor(x, dtype=torch.float32) for x in given[name]] for name in ('gt', 'ref_boxes'))
        labels, pids = [torch.tensor(x) - 1 for x in given['gt_labels']], [torch.tensor(x) for x in given['gt_pids']]
        masks = [np.stack([ellipse(box) for box in boxes]) for boxes in given['gt']]
        model = self.model
        logits = [self.unit(f'loss.rpn.cls.{i}', 2, 3, *size) * 2 for i, size in enumerate(LEVELS)]
        deltas = [self.unit(f'loss.rpn.reg.{i}', 2, 12, *size) * 0.3 for i, size in enumerate(LEVELS)]
        rpn = model.rpn_head.loss(logits, deltas, gt, [None, None], [IMG_SHAPE] * 2, first_in_order)
        yield from (Stage(('losses', 'rpn', name), [float(x) for x in values], **LOSS) for name, values in rpn.items())
        yield from self._second_stage(gt, labels, pids, ref, masks)

        model.train()
        losses = model.loss(torch.stack([self.clip[0:2], self.clip[2:4]]), training_pairs(given))
        model.eval()
        for name, value in losses.items():
            value = [float(x) for x in value] if isinstance(value, list) else float(value)
            yield Stage(('losses', 'forward_train', name), value, **LOSS)

    def _second_stage(self, gt: List[Tensor], labels: List[Tensor], pids: List[Tensor], ref: List[Tensor],
                      masks: List[np.ndarray]) -> Iterator[Stage]:
        model, top = self.model, ('losses', 'sampling')
        proposals = [_proposals(boxes, self.unit(f'loss.prop.{i}', 150, 4) * 0.18) for i, boxes in enumerate(gt)]
        yield Stage(top + ('proposals',), proposals)
        sampled = sample_proposals(proposals, gt, [None] * len(gt), model.assigner, model.sampler, choose=first_in_order)
        yield Stage(top + ('num_pos',), [len(x.positive) for x in sampled])
        yield Stage(top + ('num_neg',), [len(x.negative) for x in sampled])
        yield Stage(top + ('pos_inds',), [x.positive for x in sampled])
        yield Stage(top + ('neg_inds',), [x.negative for x in sampled])
        yield Stage(top + ('pos_gt',), [x.gt_index for x in sampled])
        slots, deltas = model.bbox_head.targets(sampled, gt, labels)
        yield Stage(top + ('labels',), slots)
        targets = [p[x.gt_index] for p, x in zip(pids, sampled)]
        yield Stage(top + ('ids',), torch.cat([torch.nn.functional.pad(t, (0, len(x.negative)))
                                               for t, x in zip(targets, sampled)]))
        wide = torch.zeros(len(slots), 41, 4)
        wide[slots > 0, slots[slots > 0]] = deltas
        yield Stage(top + ('bbox_targets',), wide.flatten(1))

        logits, reg = self.unit('loss.cls', len(slots), 41) * 1.5, self.unit('loss.reg', len(slots), 164) * 0.5
        for name, value in model.bbox_head.loss(logits, reg, slots, deltas).items():
            yield Stage(('losses', 'bbox', name), float(value), **LOSS)
        products = [(self.unit(f'loss.match.{i}', len(x.boxes), len(r)) * 2)[:x.num_pos]
                    for i, (x, r) in enumerate(zip(sampled, ref))]
        match = model.track_head.loss([torch.nn.functional.pad(x, (1, 0)) for x in products], targets)
        yield from (Stage(('losses', 'match', name), float(value), **LOSS) for name, value in match.items())

        shapes = torch.cat([model.mask_head.targets(x.pos_boxes, m, x.gt_index) for x, m in zip(sampled, masks)])
        yield Stage(('losses', 'mask', 'target'), shapes)
        yield Stage(('losses', 'mask', 'target_mean_per_roi'), shapes.mean((1, 2)))
        slots = slots[slots > 0]
        logits = self.unit('loss.mask', len(slots), 41, 28, 28)[torch.arange(len(slots)), slots]
        yield Stage(('losses', 'mask', 'loss_mask'), float(model.mask_head.loss(logits, shapes)), **LOSS)

    def results_json(self) -> Iterator[Stage]:
        return results_stages(self.model, self.salt)


def _proposals(gt: Tensor, noise: Tensor) -> Tensor:
    boxes = gt[torch.arange(len(noise)) % len(gt)]
    size = boxes[:, 2:] - boxes[:, :2]
    boxes = boxes + noise * size.repeat(1, 2)
    boxes = torch.minimum(boxes.clamp(min=0), torch.tensor([151., 99., 151., 99.]))
    return torch.cat([torch.minimum(boxes[:, :2], boxes[:, 2:]), torch.maximum(boxes[:, :2], boxes[:, 2:])], dim=1)


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file (with ``results_json`` where the file beside it was found)."""
    parity = Parity(golden, manifest_dir, salt)
    parts = dict(stages_frame0=parity.network, clip_results_rescale_true=parity.clips, hand_heads=parity.heads,
                 hand_det=parity.post_processing, tracker_scenario=parity.tracker, losses=parity.losses,
                 results_json=parity.results_json)
    with torch.no_grad():
        for key, part in parts.items():
            if key in golden:
                yield from part()
