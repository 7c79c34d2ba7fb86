"""Stages of SipMask-VIS, as the recipe inside its parity files states them."""
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvis.models import SipMaskVIS
from mmvis.models.layers.legacy_boxes import clip
from mmvis.models.sipmask import SipMaskHead
from mmvis.models.sipmask.detection import select
from mmvis.models.sipmask.head import DenseMaps
from mmvis.models.sipmask.layers import centre_cells
from mmvis.models.sipmask.masks import encode_masks
from mmvis.models.sipmask.points import flatten_levels, level_points, to_boxes, to_distances
from mmvis.models.sipmask.targets import assign_places, centerness_targets
from mmvis.models.trackers import TrackMemory
from mmvis.ops.crop_split import crop, crop_split, split_cells, split_masks
from mmvis.structures import VideoInfo, decode_rle

from . import fill
from .compare import Stage
from .videos import (
    IMG_SHAPE,
    ORI_SHAPE,
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
LEVELS = ((16, 20), (8, 10), (4, 5), (2, 3), (1, 2))


def build(manifest_dir: Path, salt: str) -> SipMaskVIS:
    """The official R50 model with the weights of the salt, filled through the converter."""
    backbone = dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                    norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='caffe')
    neck = dict(type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1, num_outs=5,
                add_extra_convs='on_output', relu_before_extra_convs=True)
    preprocessor = dict(type='ClipPreprocessor', mean=[102.9801, 115.9465, 122.7717], std=[1., 1., 1.],
                        bgr_to_rgb=False)
    model = SipMaskVIS(backbone, neck, SipMaskHead(aug_ref_bbox_param=None), data_preprocessor=preprocessor)
    state_dict = fill.state_dict(json.loads((manifest_dir / 'manifest.json').read_text()), salt)
    # The recipe's overrides: boxes and scores would be degenerate without.
    state_dict['bbox_head.fcos_reg.bias'].fill_(2.5)
    state_dict['bbox_head.fcos_cls.weight'] *= 2
    return load_official(model, state_dict)


class Parity:
    """The model, the salt and the file of one run; each method yields the stages of one part of the file."""

    def __init__(self, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.golden = golden
        self.salt = salt
        self.model = build(manifest_dir, salt)
        self.head: SipMaskHead = self.model.bbox_head
        self.clip = network_input(self.model, fill.frames(4, *ORI_SHAPE, salt), IMG_SHAPE)

    def unit(self, key: str, *shape: int) -> Tensor:
        return fill.unit(key, shape, self.salt)

    def network(self) -> Iterator[Stage]:
        model, head, frame, top = self.model, self.head, self.clip[:1], 'stages_frame0'
        yield Stage((top, 'input.frame0'), frame)
        stages = model.backbone(frame)
        yield from (Stage((top, f'backbone.C{i + 2}'), x) for i, x in enumerate(stages))
        pyramid = model.neck(stages)
        yield from (Stage((top, f'neck.P{i + 3}'), x) for i, x in enumerate(pyramid))
        maps = head(pyramid)
        for i, aligned in enumerate(maps.aligned):
            yield Stage((top, f'head.cls.P{i + 3}'), maps.logits[i])
            yield Stage((top, f'head.reg_times_stride.P{i + 3}'), maps.distances[i])
            yield Stage((top, f'head.centerness.P{i + 3}'), maps.centerness[i])
            yield Stage((top, f'head.cof.P{i + 3}'), head.sip_cof(aligned))
        yield Stage((top, 'head.feat_align.offset.P3'),
                    head.feat_align.conv_offset(maps.distances[0] / head.strides[0]))
        yield Stage((top, 'head.feat_align.out.P3'), maps.aligned[0])
        yield Stage((top, 'head.feat_masks'), maps.basis)
        yield Stage((top, 'head.track_feats'), head.sipmask_track(head.track_features(pyramid)))

    def clips(self) -> Iterator[Stage]:
        # rescale=False of the official code: boxes and masks of the network's frame, on a canvas of the original size.
        for name, scale in (('true', SCALE), ('false', 1.)):
            frames, _ = run_video(self.model, VideoInfo(1, ORI_SHAPE, IMG_SHAPE, scale, 4), self.clip)
            yield Stage((f'clip_results_rescale_{name}',), [frame_entries(frame) for frame in frames])

    def crop(self) -> Iterator[Stage]:
        top = 'hand_crop'
        yield Stage((top, 'boxes'), given=True)
        boxes = torch.tensor(self.golden[top]['boxes'], dtype=torch.float32)
        maps = self.unit('hand.crop.data', 4, 24, 32, 10).permute(3, 0, 1, 2)
        yield Stage((top, 'out'), crop_split(maps, boxes).permute(1, 2, 0))
        yield Stage((top, 'out_gt'), crop(maps[:, 0], boxes).permute(1, 2, 0))
        cells = split_cells(boxes, (24, 32))
        yield Stage((top, 'pixels_per_box'), (cells >= 0).sum((1, 2)))
        yield Stage((top, 'quadrant_counts'), torch.stack([(cells == q).sum((1, 2)) for q in range(4)], dim=1))
        yield Stage((top, 'quadrant_map_box0'), cells[0])

    def parts(self) -> Iterator[Stage]:
        align = self.head.feat_align
        distances = self.unit('hand.fa.box', 1, 4, 10, 12) * 3 + 4
        yield Stage(('hand_feat_align', 'offset'), align.conv_offset(distances))
        yield Stage(('hand_feat_align', 'out'), align(self.unit('hand.fa.x', 1, 256, 10, 12), distances))
        yield Stage(('hand_center_feature', 'boxes'), given=True)
        rows, columns = centre_cells(torch.tensor(self.golden['hand_center_feature']['boxes']), 8, (16, 20))
        yield Stage(('hand_center_feature', 'out'), self.unit('hand.track', 512, 16, 20)[:, rows, columns].T)

    def raw(self, part: str, *batch: int) -> DenseMaps:
        """Made-up maps of the head; in place of the aligned features stand the coefficients."""
        reg = [self.unit(f'{part}.reg.{i}', *batch, 4, *size) for i, size in enumerate(LEVELS)]
        basis = F.relu(F.interpolate(self.unit(f'{part}.featmask', *(batch or (1,)), 32, 8, 10), (64, 80),
                                     mode='bilinear', align_corners=False))
        maps = DenseMaps([self.unit(f'{part}.cls.{i}', *batch, 40, *size) * 1.5 - 2 for i, size in enumerate(LEVELS)],
                         [(x.abs() * 1.5 + 0.3) * stride for x, stride in zip(reg, self.head.strides)],
                         [self.unit(f'{part}.ctr.{i}', *batch, 1, *size) for i, size in enumerate(LEVELS)],
                         [self.unit(f'{part}.cof.{i}', *batch, 128, *size) * 0.5 for i, size in enumerate(LEVELS)],
                         basis)
        if batch:
            return maps
        return DenseMaps(*([x[None] for x in level] for level in maps[:4]), basis)

    def post_processing(self) -> Iterator[Stage]:
        for name, scale, ori_shape in (('rescale_0.5', 0.5, (200, 304)), ('rescale_0.47', 0.47, (213, 323)),
                                       ('no_rescale', 1., (200, 304))):
            top = ('hand_post', name)
            maps = self.raw('hand')
            points = torch.cat(level_points(LEVELS, self.head.strides, maps.basis.device))
            scores = (flatten_levels(maps.logits).sigmoid() * flatten_levels(maps.centerness).sigmoid())[0]
            boxes = clip(to_boxes(points, flatten_levels(maps.distances)[0]), IMG_SHAPE) / scale
            places, best, labels = select(boxes, scores, [h * w for h, w in LEVELS], self.head.test_cfg)
            boxes, coefficients = boxes[places], flatten_levels(maps.aligned)[0, places]
            yield Stage(top + ('det_bboxes',), torch.cat([boxes, best[:, None]], dim=1))
            yield Stage(top + ('det_labels',), labels)
            masks = split_masks(maps.basis[0], coefficients.view(-1, 4, 32), boxes * scale / 2).numpy()
            full = tuple(int(x * (2 / scale)) for x in maps.basis.shape[2:])
            large = [decode_rle(x) for x in encode_masks(masks, 2 / scale, full)]
            yield Stage(top + ('mask_shape',), [len(large), *large[0].shape])
            yield Stage(top + ('mask_areas_full',), [int(x.sum()) for x in large], whole=2)
            in_frame = [decode_rle(x) for x in encode_masks(masks, 2 / scale, ori_shape)]
            yield Stage(top + ('mask_areas_in_ori',), [int(x.sum()) for x in in_frame], whole=2)
            yield Stage(top + ('mask0',), large[0])

    def tracker(self) -> Iterator[Stage]:
        yield Stage(('tracker_scenario',), given=True)
        yield Stage(('base_boxes',), given=True)
        memory, out, is_first = TrackMemory(), [], True
        base = torch.tensor(self.golden['base_boxes'], dtype=torch.float32)
        for step, entries in enumerate(self.golden['tracker_scenario']):
            if entries == 'new video':
                is_first = True
                continue
            if is_first and entries:          # the official code looks at is_first only where there are detections
                memory = TrackMemory()
            objects = [int(entry[0]) for entry in entries]
            labels = torch.tensor([int(entry[1]) for entry in entries], dtype=torch.long)
            scores = torch.tensor([entry[2] for entry in entries], dtype=torch.float32)
            shift = torch.tensor([[entry[3], entry[3] / 2] * 2 for entry in entries]).reshape(-1, 4)
            embeddings = [0.11 * (self.unit(f'trk.obj.{o}', 512) + 0.6 * self.unit(f'trk.noise.{step}.{j}', 512))
                          for j, o in enumerate(objects)]
            frame = track_frame(self.model.tracker, memory, base[objects].reshape(-1, 4) + shift, scores, labels,
                                torch.stack(embeddings) if embeddings else torch.zeros(0, 512))
            out.append(dict(step=step, is_first=is_first, **frame))
            is_first = False
        yield Stage(('tracker',), out)

    def losses(self) -> Iterator[Stage]:
        given = self.golden['losses']
        for name in ('gt', 'gt_labels', 'ref_boxes', 'gt_pids'):
            yield Stage(('losses', name), given=True)
        pairs = training_pairs(given)
        yield from self._targets([key.gt_instances for key, _ in pairs])

        tracking = [self.unit(f'loss.{name}', 2, 512, 16, 20) * 0.12 for name in ('track', 'track_ref')]
        # Coefficients and embeddings are given: the layers that would make them let them through.
        head = SipMaskHead(aug_ref_bbox_param=None)
        head.sip_cof, head.sipmask_track = nn.Identity(), nn.Conv2d(512, 512, 1, bias=False)
        nn.init.eye_(head.sipmask_track.weight.flatten(1))
        losses = head.loss_of_maps(self.raw('loss', 2), *tracking, pairs)
        yield from (Stage(('losses', 'hand', name), float(value), **LOSS) for name, value in losses.items())
        self.model.train()
        losses = self.model.loss(torch.stack([self.clip[0:2], self.clip[2:4]]), pairs)
        self.model.eval()
        yield from (Stage(('losses', 'forward_train', name), float(value), **LOSS) for name, value in losses.items())

    def _targets(self, truth: List[Any]) -> Iterator[Stage]:
        head, top = self.head, ('losses', 'targets')
        points = level_points(LEVELS, head.strides, torch.device('cpu'))
        sizes = [len(x) for x in points]
        objects = [assign_places(points, x.bboxes, head.strides, head.regress_ranges) for x in truth]
        # In the file levels come first, then images; a place of the background has the distances to the first object.
        labels = [torch.where(o >= 0, x.labels[o.clamp(min=0)] + 1, 0).split(sizes) for o, x in zip(objects, truth)]
        distances = [to_distances(torch.cat(points), x.bboxes[o.clamp(min=0)]).split(sizes)
                     for o, x in zip(objects, truth)]
        labels, distances = ([torch.cat(level) for level in zip(*x)] for x in (labels, distances))
        yield Stage(top + ('labels_per_level',), labels)
        yield Stage(top + ('positives',), int(sum((o >= 0).sum() for o in objects)))
        yield Stage(top + ('bbox_targets',), distances)
        yield Stage(top + ('gt_inds',), [o[o >= 0] for o in objects])
        yield Stage(top + ('centerness',), centerness_targets(torch.cat(distances)[torch.cat(labels) > 0]))

    def results_json(self) -> Iterator[Stage]:
        return results_stages(self.model, self.salt)


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file (with ``results_json`` where the file beside it was found)."""
    parity = Parity(golden, manifest_dir, salt)
    parts = dict(stages_frame0=parity.network, clip_results_rescale_true=parity.clips, hand_crop=parity.crop,
                 hand_feat_align=parity.parts, hand_post=parity.post_processing, tracker=parity.tracker,
                 losses=parity.losses, results_json=parity.results_json)
    with torch.no_grad():
        for key, part in parts.items():
            if key in golden:
                yield from part()
