"""Stages of MemCNP-VIS and of two variants from its repository, as the recipes inside their parity files state them."""
import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvis.converters import convert_state_dict
from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.datasets.transforms import ClipFlip, ClipResize
from mmvis.datasets.transforms.resize import resize_image, resized_shape
from mmvis.engine import load_config
from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.models import SipMaskVIS
from mmvis.models.backbones.vit import sincos_table
from mmvis.models.memcnp.head import MemCNPHead, MemCNPMaps
from mmvis.models.memcnp.targets import CentreAssigner, point_targets
from mmvis.models.sipmask.detection import fast_nms
from mmvis.models.sipmask.points import flatten_levels
from mmvis.models.trackers import TrackSummary
from mmvis.ops.crop_split import split_masks
from mmvis.ops.local_correlation import local_correlation
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, VideoInfo, VideoResult, decode_rle

from . import fill
from .compare import Stage

SHAPE = (160, 224)
#: stride, h, w of the levels of an image of that shape
LEVELS = ((8, 20, 28), (16, 10, 14), (32, 5, 7), (64, 3, 4))
LOSS = dict(rtol=1e-4, atol=1e-7)
#: official config -> ours, manifest
CONFIGS = {'configs/sipmask/vitmae_cnp_contrast_ms_1x.py': ('vitmae_cnp_contrast_ms_1x.py', 'manifest.json'),
           'configs/sipmask/R50_cnp_contrast_ms_1x.py': ('R50_cnp_contrast_ms_1x.py', 'manifest_r50.json'),
           'configs/sipmask/vitae-b_sipmask_ms_1x.py': ('vitae-b_sipmask_ms_1x.py', 'manifest_vit_sipmask.json')}
DEFAULT = next(iter(CONFIGS))
#: objects, classes (1-based), objects of the reference frame, position among them (1-based; 0: absent there), by image
TRUTH = (([[20, 24, 90, 100], [110, 40, 190, 130]], [4, 26], [[26, 28, 96, 104], [10, 90, 60, 150]], [1, 0]),
         ([[60, 30, 150, 120]], [40], [[5, 5, 60, 60], [66, 34, 156, 124]], [2]))
VIDEO = VideoInfo(1, SHAPE, SHAPE, 1.0)


def build(config: str, manifest_dir: Path, salt: str, **neck: Any) -> SipMaskVIS:
    """The model of one of our configs with the official weights of the salt, filled through the converter."""
    name, manifest = CONFIGS[config]
    cfg = load_config(name)
    cfg.model.neck.update(neck)
    model = MODELS.build(cfg.model)
    state_dict = fill.state_dict(json.loads((manifest_dir / manifest).read_text()), salt)
    converted, report = convert_state_dict(state_dict, model)
    if report.missing or report.unexpected or any('shape' in why for why in report.dropped.values()):
        raise InputError(f'The official state dict does not fit:\n{report}')
    model.load_state_dict(converted, strict=True)
    return model.eval()


def record(module: nn.Module) -> List[tuple]:
    """(inputs, output) of every later call of a module."""
    calls: List[tuple] = []
    module.register_forward_hook(lambda _, inputs, output: calls.append((inputs, output)))
    return calls


class Frames:
    """Frames of a model one after another, each as the parity files list it."""

    def __init__(self, model: SipMaskVIS, video: VideoInfo) -> None:
        self.model, self.state = model, model.start(video)

    def step(self, frame: Any, detect: Optional[Callable] = None) -> Dict[str, Any]:
        """One frame [1, 3, H, W], or, with ``detect`` in place of the head's own, any input of that."""
        head, tracker, seen = self.model.bbox_head, self.model.tracker, {}

        def spy_detect(features: Any, video: VideoInfo) -> tuple:
            seen['found'] = (detect or type(head).detect.__get__(head))(features, video)
            return seen['found']

        def spy_update(*args: Any) -> np.ndarray:
            seen['ids'] = type(tracker).update(tracker, *args)
            return seen['ids']

        head.detect, tracker.update = spy_detect, spy_update
        if detect:
            self.model.extract_features = lambda x: x
        result, = self.model.step(self.state, frame)
        del head.detect, tracker.update
        self.model.__dict__.pop('extract_features', None)
        found, = seen['found'][0]
        rows = torch.cat([found.boxes, found.scores[:, None]], dim=1)
        if isinstance(head, MemCNPHead):
            rows = torch.cat([rows, found.uncertainty, found.centerness[:, None]], dim=1)
        masks = {str(i): rle for i, rle in zip(result.track_ids.tolist(), result.masks)}
        return dict(bboxes=rows.tolist(), labels=found.labels.tolist(), obj_ids=seen['ids'].tolist(), mask_rle=masks,
                    mask_area={i: int(decode_rle(rle).sum()) for i, rle in masks.items()}, memory=self.memory())

    def memory(self) -> Optional[Dict[str, Any]]:
        known = self.state.memory
        return dict(num=len(known), bboxes=known.boxes.clone(), labels=known.labels.tolist(),
                    feats=known.embeddings.clone()) if len(known) else None


class Parity:
    """The model, the salt and the file of one run; each method yields the stages of one part of the file."""

    def __init__(self, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.golden, self.salt = golden, salt
        # The official pyramid of the R50 model has a level more, which one stage shows.
        extra = dict(num_outs=5) if 'V.neck.4' in golden.get('stages', {}) else {}
        self.model = build(golden.get('config', DEFAULT), manifest_dir, salt, **extra)
        self.head = self.model.bbox_head
        self.clip = self.network_input(fill.frames(4, *SHAPE, salt))

    def unit(self, key: str, *shape: int) -> Tensor:
        return fill.unit(key, shape, self.salt)

    def network_input(self, frames: np.ndarray) -> Tensor:
        return self.model.data_preprocessor(dict(inputs=torch.from_numpy(frames).permute(0, 3, 1, 2)))['inputs']

    def stages(self, name: str, values: Sequence[Any], **tolerance: float) -> Iterator[Stage]:
        yield from (Stage(('stages', f'{name}.{i}'), x, **tolerance) for i, x in enumerate(values))

    def network(self) -> Iterator[Stage]:
        """A.*: every module on frame 0, then the four frames one after another."""
        model, head = self.model, self.head
        blocks = {i: record(model.backbone.blocks[i]) for i in (0, 2, 5, 8, 11)}
        parts = {'cls_conv': record(head.cls_convs[-1]), 'mem_context': record(head.mem),
                 'mask_conv': record(head.mask_convs[-1]), 'cls_align': record(head.cls_align)}
        mask_align = record(head.mask_align)
        yield Stage(('stages', 'A.input'), self.clip[:1])
        maps = model.backbone(self.clip[:1])
        yield Stage(('stages', 'A.tokens_in'), blocks[0][0][0][0])
        yield from (Stage(('stages', f'A.block{i}'), calls[0][1]) for i, calls in blocks.items())
        yield from self.stages('A.backbone', maps)
        pyramid = model.neck(maps)
        yield from self.stages('A.neck', pyramid)
        out = head(pyramid)
        # The head does not align the coarsest mask map, which nothing follows from.
        head.mask_align(parts['mask_conv'][3][1], parts['cls_align'][3][0][1])
        for name, calls in {**parts, 'mask_align': mask_align}.items():
            yield from self.stages(f'A.{name}', [output for _, output in calls])
        yield from self.stages('A.cls_score', out.logits)
        yield from self.stages('A.reg_map', out.regression)
        yield from self.stages('A.centerness', out.centerness)
        yield Stage(('stages', 'A.feat_masks'), out.basis)
        yield Stage(('stages', 'A.track_feats'), out.tracking)
        size = torch.tensor([SHAPE[1], SHAPE[0]] * 2)
        boxes, deviations = head.decode(out.regression)
        combined = flatten_levels(out.logits).sigmoid() * flatten_levels(out.centerness).sigmoid()
        yield Stage(('stages', 'A.points'), torch.cat(head.points(pyramid)) / size[:2])
        yield Stage(('stages', 'A.boxes'), boxes[0] * size)
        yield Stage(('stages', 'A.sigma'), deviations[0])
        yield Stage(('stages', 'A.combined'), combined[0])
        best = head.detect_in_maps(out, VIDEO)[0].coefficients[:1]
        yield Stage(('stages', 'A.top1_coef'), best[0])
        everywhere = torch.tensor([[0., 0., SHAPE[1], SHAPE[0]]])
        yield Stage(('stages', 'A.top1_mask_prob_uncropped'), split_masks(out.basis[0], best, everywhere / head.mask_stride)[0])
        frames = Frames(model, VIDEO)
        yield Stage(('results', 'A.clip'), [frames.step(x[None]) for x in self.clip])

    def positions(self) -> Iterator[Stage]:
        """A2.*: the backbone with the fixed position table."""
        backbone = copy.deepcopy(self.model.backbone)
        backbone.pos_embed.copy_(sincos_table(768, 14))
        yield Stage(('stages', 'A2.pos_table'), backbone.pos_embed[0])
        for rows, columns in ((10, 14), (12, 16), (30, 54)):
            yield Stage(('stages', f'A2.pos_interp.{rows}x{columns}'), backbone.position(rows, columns)[0])
        yield from self.stages('A2.backbone', backbone(self.clip[:1]))

    def clips(self) -> Iterator[Stage]:
        """B.*: two videos of other sizes, resized, to the results file."""
        records, entries = [], []
        for number, shape in enumerate(((3, 180, 250), (2, 150, 260))):
            height, width, factor = resized_shape(*shape[1:], (230, 165))
            images = fill.frames(*shape, self.salt)
            clip = self.network_input(np.stack([resize_image(x, (height, width), 'cv2') for x in images]))
            yield Stage(('stages', f'B.input.video{number}'), clip[:1])
            video = VideoInfo(number + 1, shape[1:], (height, width), factor, shape[0])
            frames, results = Frames(self.model, video), []
            meta = dict(img_shape=[height, width, 3], pad_shape=[*clip.shape[-2:], 3], scale_factor=factor)
            step = self.model.step
            self.model.step = lambda *args: results.append(step(*args)) or results[-1]
            own = [dict(frames.step(x[None]), meta=meta) for x in clip]
            del self.model.step
            records += own
            entries += _entries(video, _shared_memory(own, [x for x, in results]))
        yield Stage(('results', 'B.clip'), records)
        yield Stage(('results', 'B.json'), entries)

    def planted(self) -> Iterator[Stage]:
        """C.*: hand-made maps through post-processing and association."""
        frames, records = Frames(self.model, VideoInfo(1, (320, 448), SHAPE, 0.5)), []
        given = self.golden['recipe']['objects']
        for t in range(9):
            maps = self.planted_maps(t, given.get(str(t), []))
            if t in (0, 3):
                for name, value in (('cls.1', maps.logits[1]), ('reg.1', maps.regression[1]), ('mask', maps.basis),
                                    ('track', maps.tracking)):
                    yield Stage(('stages', f'C.{t}.{name}'), value)
            # An empty frame leaves the memory alone, as the official code does even at the start of a video.
            records.append(frames.step(maps, lambda x, video: (self.head.detect_in_maps(x, video), x.basis)))
        yield Stage(('results', 'C.clip'), records)

    def planted_maps(self, t: int, objects: List[dict]) -> MemCNPMaps:
        tag = f'C.{t}'
        low = 8 if t in (4, 7) else 0
        logits = [-6 + 0.3 * self.unit(f'{tag}.cls.{i}', 1, 40, h, w) - low for i, (_, h, w) in enumerate(LEVELS)]
        regression = [0.3 * self.unit(f'{tag}.reg.{i}', 1, 8, h, w) for i, (_, h, w) in enumerate(LEVELS)]
        centerness = [-1 + 0.3 * self.unit(f'{tag}.cen.{i}', 1, 1, h, w) for i, (_, h, w) in enumerate(LEVELS)]
        tracking = 0.1 * self.unit(f'{tag}.track', 1, 256, 20, 28)
        basis = 0.1 * self.unit(f'{tag}.mask', 1, 256, 80, 112)
        y, x = np.mgrid[0:80, 0:112]
        for thing in objects:
            x1, y1, x2, y2 = thing['box']
            cx, cy, level = (x1 + x2) / 2, (y1 + y2) / 2, thing['level']
            stride = LEVELS[level][0]
            i, j = int(cy // stride), int(cx // stride)
            px, py = stride * j + stride / 2, stride * i + stride / 2
            sides = np.array([(px - x1) / 224, (py - y1) / 160, (x2 - px) / 224, (y2 - py) / 160])
            logits[level][0, thing['label'], i, j] = thing['score']
            centerness[level][0, 0, i, j] = thing['cent']
            regression[level][0, :4, i, j] = torch.from_numpy(np.log(sides / (1 - sides)))
            embedding = self.unit(f'C.emb.{thing["id"]}', 256) / 16
            for a in (-1, 0, 1):
                for b in (-1, 0, 1):
                    row, column = min(max(int(cy // 8) + a, 0), 19), min(max(int(cx // 8) + b, 0), 27)
                    noise = self.unit(f'{tag}.near.{thing["id"]}.{a}.{b}', 256)
                    tracking[0, :, row, column] = embedding + 0.02 * noise
            inside = ((2 * x - cx) / (0.55 * (x2 - x1))) ** 2 + ((2 * y - cy) / (0.55 * (y2 - y1))) ** 2 < 1
            basis[0] += embedding[:, None, None] * torch.from_numpy(6 * inside - 3).float()
        return MemCNPMaps(logits, regression, centerness, basis, tracking)

    def parts(self) -> Iterator[Stage]:
        """E.*: single functions and modules."""
        centre = torch.tensor([112., 80.]) + 40 * self.unit('E.nms.c', 60, 2)
        size = 30 + 20 * self.unit('E.nms.w', 60, 2).abs()
        boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1)
        rows, scores, labels = fast_nms(boxes, (-2 + 1.5 * self.unit('E.nms.s', 40, 60)).sigmoid().T, 0.015)
        yield Stage(('results', 'E.fast_nms'), dict(boxes=torch.cat([boxes[rows], scores[:, None]], dim=1).tolist(),
                                                    labels=labels.tolist(), index=rows.tolist()))
        memory = copy.deepcopy(self.head.mem)
        x, y = self.unit('E.mem.x', 2, 256, 5, 7), 0.5 * self.unit('E.mem.y', 2, 4, 5, 7)
        yield Stage(('stages', 'E.mem.read'), memory(x))
        for suffix in ('', '2'):
            yield Stage(('stages', f'E.mem.train{suffix}'), memory(x, y))
            yield Stage(('stages', f'E.mem.units{suffix}'), memory.feat_units.weight.clone())
        x, cells = self.unit('E.align.x', 1, 512, 6, 9), 2 * self.unit('E.align.o', 1, 4, 6, 9).sigmoid() * 5
        yield Stage(('stages', 'E.cls_align'), self.head.cls_align(x, cells))
        yield Stage(('stages', 'E.mask_align'), self.head.mask_align(x[:, :256], cells))
        a, b = self.unit('E.corr.a', 2, 8, 9, 12), self.unit('E.corr.b', 2, 8, 9, 12)
        yield Stage(('stages', 'E.corr.k1p16d2'), local_correlation(a, b, 16, patch_dilation=2))
        yield Stage(('stages', 'E.corr.k3p5s2'), local_correlation(a, b, 5, 3, stride=2, padding=1, dilation=2))

    def training_data(self) -> Iterator[Stage]:
        """T: one frame through the training transforms."""
        boxes = [[10.5, 20.2, 120.7, 150.9], [200, 30, 249, 179]]
        frame = ClipFrame(0, fill.frames(3, 180, 250, self.salt)[0], np.array(boxes, np.float32), np.zeros(2, np.int64),
                          np.arange(2), np.stack([_ellipse(x, (180, 250)) for x in boxes]))
        clip, rng = Clip(1, 1, (180, 250), [frame], inclusive=True), np.random.default_rng(0)
        clip = ClipFlip(1.)(ClipResize((230, 165), 'mmcv')(clip, rng), rng)
        frame = clip.frames[0]
        image = self.network_input(frame.image[None])[0]
        height, width = image.shape[-2:]
        masks = np.pad(frame.masks, ((0, 0), (0, height - frame.masks.shape[1]), (0, width - frame.masks.shape[2])))
        yield Stage(('stages', 'T.image'), image)
        yield Stage(('stages', 'T.masks'), masks)
        yield Stage(('results', 'T'), dict(boxes=frame.boxes.tolist(), mask_area=frame.masks.sum((1, 2)).tolist(),
                                           img_shape=[*frame.image.shape], pad_shape=[height, width, 3],
                                           scale_factor=clip.scale_factor))

    @torch.enable_grad()
    def hand_losses(self) -> Iterator[Stage]:
        """D1: losses of hand-made maps, with their gradients."""
        logits = [-1.5 + self.unit(f'D1.cls.{i}', 2, 40, h, w) for i, (_, h, w) in enumerate(LEVELS)]
        regression = [torch.cat([-1.4 + 0.4 * self.unit(f'D1.reg.{i}', 2, 4, h, w),
                                 -0.5 + 0.5 * self.unit(f'D1.sig.{i}', 2, 4, h, w)], 1)
                      for i, (_, h, w) in enumerate(LEVELS)]
        centerness = [self.unit(f'D1.cen.{i}', 2, 1, h, w) for i, (_, h, w) in enumerate(LEVELS)]
        basis, tracking, reference = (factor * self.unit(f'D1.{name}', 2, 256, h, w) for name, factor, h, w in
                                      (('mask', 0.3, 80, 112), ('track', 0.4, 20, 28), ('ref', 0.4, 20, 28)))
        pairs = training_pairs()
        for b, (_, _, boxes, pids) in enumerate(TRUTH):
            shift = 0.5 * self.unit(f'D1.emb.{b}', 256)
            x1, y1, x2, y2 = boxes[pids[0] - 1]
            tracking[b] += shift[:, None, None]
            reference[b, :, int((y1 + y2) / 2 // 8), int((x1 + x2) / 2 // 8)] += shift
        inputs = dict(mask=basis, track=tracking, ref=reference)
        for name, maps in (('cls', logits), ('reg', regression), ('cen', centerness)):
            inputs.update((f'{name}.{i}', x) for i, x in enumerate(maps))
        for x in inputs.values():
            x.requires_grad_()
        maps = MemCNPMaps(logits, regression, centerness, basis, tracking)
        truth, seen = ([pair[i].gt_instances for pair in pairs] for i in (0, 1))
        points, deviations = self.head.points(logits), self.head.decode(regression)[1].detach()
        found = []
        for b, objects in enumerate(truth):
            targets = point_targets(points, [x.shape[-2:] for x in logits], objects.bboxes)
            positive, negative = self.head.assigner(targets, deviations[b].mean(1), points, objects.bboxes)
            place = torch.nonzero(positive)[:, 0]
            found.append(dict(num_pos=len(place), num_neg=int(negative.sum()),
                              pairs=torch.stack([place, targets.nearest[place]], dim=1).tolist()))
        yield Stage(('results', 'D1.targets'), found)
        losses = self.head.loss_of_maps(maps, reference, truth, seen)
        total = sum(value for name, value in losses.items() if 'loss' in name)
        total.backward()
        yield Stage(('results', 'D1.losses'), _floats(losses), **LOSS)
        yield Stage(('results', 'D1.total'), total.item(), **LOSS)
        yield from (Stage(('stages', f'D1.grad.{name}'), x.grad) for name, x in inputs.items())
        published = self.head.assigner
        for name, assigner in (('none', CentreAssigner()), ('objbox', CentreAssigner([2 * 3 / 112] * 4))):
            self.head.assigner = assigner
            losses = self.head.loss_of_maps(maps, reference, truth, seen)
            yield Stage(('results', f'D1.losses.assigner_{name}'), _floats(losses), **LOSS)
        self.head.assigner = published
        for name in ('NLL', 'contrast'):          # scoring rules of the official code that none of its configs uses
            yield Stage(('results', f'D1.loss_cnp.{name}'), given=True)

    @torch.enable_grad()
    def network_losses(self) -> Iterator[Stage]:
        """D2: one training step of the whole network."""
        model = copy.deepcopy(self.model).train()
        model.bbox_head.aug_ref_bbox_param = None
        losses = model.loss(self.clip.unflatten(0, (2, 2)), training_pairs())
        yield Stage(('stages', 'D2.units'), model.bbox_head.mem.feat_units.weight.detach().clone())
        total = sum(value for name, value in losses.items() if 'loss' in name)
        total.backward()
        yield Stage(('results', 'D2.losses'), _floats(losses), **LOSS)
        yield Stage(('results', 'D2.total'), total.item(), **LOSS)
        # What is no parameter here (the position table, the unused norm) has no gradient, like there.
        grads = {name: p.grad for name, p in model.named_parameters()}
        norms = {name: None if grads.get(name) is None else grads[name].norm().item()
                 for name in self.golden['results']['D2.grad_norm']}
        yield Stage(('results', 'D2.grad_norm'), norms)

    def variant(self) -> Iterator[Stage]:
        """V.*: another backbone or head."""
        model, head = self.model, self.head
        maps = model.backbone(self.clip[:1])
        yield from self.stages('V.backbone', maps)
        pyramid = model.neck(maps)
        yield from self.stages('V.neck', pyramid)
        out = head(pyramid)
        yield from self.stages('V.cls_score', out.logits)
        yield from self.stages('V.centerness', out.centerness)
        if isinstance(head, MemCNPHead):
            yield from self.stages('V.reg_map', out.regression)
            size = torch.tensor([SHAPE[1], SHAPE[0]])
            yield from self.stages('V.points', [x[None] / size for x in head.points(out.logits)])
            tracking = out.tracking
        else:
            yield from self.stages('V.bbox_pred', out.distances)
            yield from self.stages('V.cof_pred', [head.sip_cof(x) for x in out.aligned])
            tracking = head.sipmask_track(head.track_features(pyramid))
        yield Stage(('stages', 'V.feat_masks'), out.basis)
        yield Stage(('stages', 'V.track_feats'), tracking)
        frames = Frames(model, VIDEO)
        records = [frames.step(x[None]) for x in self.clip[:3]]
        listed = 'bboxes', 'labels', 'obj_ids', 'mask_area'
        yield Stage(('clip',), [{name: x[name] for name in listed} for x in records])


def _floats(losses: Dict[str, Tensor]) -> Dict[str, float]:
    return {name: value.item() for name, value in losses.items()}


def _ellipse(box: Sequence[float], shape: Sequence[int] = SHAPE) -> np.ndarray:
    """uint8 mask of the filled ellipse that touches the sides of a box."""
    x1, y1, x2, y2 = box
    y, x = np.mgrid[0:shape[0], 0:shape[1]]
    half = (x2 - x1) / 2, (y2 - y1) / 2
    return (((x - (x1 + x2) / 2) / half[0]) ** 2 + ((y - (y1 + y2) / 2) / half[1]) ** 2 < 1).astype(np.uint8)


def training_pairs() -> List[List[FrameSample]]:
    """The pairs (key, reference) of the recipes."""
    pairs = []
    for boxes, labels, others, pids in TRUTH:
        pids, ids = torch.tensor(pids), torch.arange(100, 100 + len(boxes))
        in_reference = torch.full((len(others),), -1)
        in_reference[pids[pids > 0] - 1] = ids[pids > 0]
        key = InstanceData(bboxes=torch.tensor(boxes).float(), labels=torch.tensor(labels) - 1, instance_ids=ids,
                           masks=torch.from_numpy(np.stack([_ellipse(x) for x in boxes])))
        reference = InstanceData(bboxes=torch.tensor(others).float(), instance_ids=in_reference)
        pairs.append([FrameSample(gt_instances=x) for x in (key, reference)])
    return pairs


def _shared_memory(records: List[dict], frames: List[FrameInstances]) -> List[FrameInstances]:
    """The frames as the official run on a CPU leaves them. There the memory of the tracker is the first frame's own
    tensor until an object is born, so that later matches overwrite boxes and scores of the first frame."""
    rows = np.array(records[0]['bboxes'], np.float32)
    for record in records[1:]:
        for index, row in zip(record['obj_ids'], record['bboxes']):
            if index >= len(rows):
                return [replace(frames[0], boxes=rows[:, :4], scores=rows[:, 4]), *frames[1:]]
            if index >= 0:
                rows[index] = row
    return [replace(frames[0], boxes=rows[:, :4], scores=rows[:, 4]), *frames[1:]]


def _entries(video: VideoInfo, frames: List[FrameInstances]) -> List[dict]:
    """Entries of the official results file: beside ours, boxes and labels frame by frame."""
    summary = TrackSummary()
    for x in frames:
        summary.add(x.track_ids, x.labels, x.scores)
    out = []
    for track in VideoResult.from_frames(video, frames, summary.verdicts()).tracks:
        rows = [dict(zip(x.track_ids.tolist(), range(len(x)))).get(track.track_id) for x in frames]
        out.append(dict(video_id=video.video_id, score=track.score, category_id=track.label + 1,
                        segmentations=[track.masks.get(x.frame_idx) for x in frames],
                        detections=[None if i is None else x.boxes[i].tolist() for i, x in zip(rows, frames)],
                        cats=[None if i is None else int(x.labels[i]) for i, x in zip(rows, frames)]))
    return out


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file."""
    parity = Parity(golden, manifest_dir, salt)
    for key in ('versions', 'config'):
        if key in golden:
            yield Stage((key,), given=True)
    # Each part belongs to keys that begin with its letter; a thinned file may lack some.
    parts = {'A.': parity.network, 'A2.': parity.positions, 'B.': parity.clips, 'C.': parity.planted,
             'E.': parity.parts, 'T': parity.training_data, 'D1.': parity.hand_losses, 'D2.': parity.network_losses,
             'V.': parity.variant}
    names = (*golden['stages'], *golden.get('results', ()))
    with torch.no_grad():
        for letter, part in parts.items():
            if any(name.startswith(letter) for name in names):
                yield from part()
