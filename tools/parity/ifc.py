"""Stages of IFC, as the recipe inside its parity files states them."""
import json
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis.converters.ifc import our_name
from mmvis.datasets import VISDataset
from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.datasets.transforms import ClipResize
from mmvis.frame_sample import FrameSample
from mmvis.models import IFC
from mmvis.models.ifc.criterion import reduced_targets
from mmvis.models.ifc.images import image_instances
from mmvis.models.ifc.model import FrameFeatures
from mmvis.models.ifc.tubes import TubeJoiner
from mmvis.models.layers.clip_targets import ClipTargets
from mmvis.structures import VideoInfo, VideoResult, decode_rle, encode_mask

from . import fill
from .compare import Stage
from .ifc_inputs import ground_truth, official_weights, raw_clip, raw_training_outputs
from .videos import load_official

LOSS = dict(rtol=1e-4, atol=1e-7)
GRADIENT = dict(rtol=1e-2, atol=1e-3)
ORI_SHAPE = (180, 300)
CAFFE = dict(type='ClipPreprocessor', mean=(103.53, 116.28, 123.675), std=(1., 1., 1.), bgr_to_rgb=False,
             pad_size_divisor=1)


def build(num_frames: int = 5, stride: int = 1, depth: int = 50, **options: Any) -> IFC:
    backbone = dict(type='mmdet.ResNet', depth=depth, num_stages=4, out_indices=(1, 2, 3), frozen_stages=1,
                    norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True,
                    style='pytorch' if depth == 50 else 'caffe')
    return IFC(backbone, num_frames=num_frames, stride=stride, **options).eval()


class RecordingJoiner(TubeJoiner):
    """Notes what every window brought and where it went."""

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold)
        self.log: List[dict] = []

    def add(self, first: int, class_probs: Tensor, mask_logits: Tensor) -> np.ndarray:
        before = len(self)
        known, scores = self.scores(first, mask_logits.sigmoid().flatten(2))
        table = np.zeros((before, len(class_probs)), np.float32)
        table[known] = scores
        tubes = super().add(first, class_probs, mask_logits)
        best, labels = class_probs[:, :-1].max(1)
        self.log.append(dict(
            frames=list(range(first, first + mask_logits.shape[1])), num_detections=len(tubes), labels=labels.tolist(),
            scores=best.tolist(), soft_iou=table.tolist(), instance_of_detection=tubes.tolist(),
            instances_before=before, instances_after=len(self)))
        return tubes


class ScriptedIFC(IFC):
    """The network's part played by the hand-made outputs of the recipe."""
    salt = ''

    def frame_features(self, images: Tensor, shapes: Any = None) -> FrameFeatures:
        # the recipe's frames are their numbers
        return FrameFeatures(images[:, 0, 0, :1], *[None] * 2, *[images[:, 0, 0, :1]] * 2, (0, 0))

    def detect(self, window: List[FrameFeatures]) -> Tuple[Tensor, Tensor]:
        frames = [int(frame.received) for frame in window]
        logits, masks = raw_clip(self.salt, f'clip-{frames[0]}-{len(frames)}', frames, 12, 20, length=9)
        keep = logits[0].argmax(-1) < self.num_classes
        return logits[0].softmax(-1)[keep], masks[0][keep]


class Parity:
    """One file: each method yields the stages of a part of it."""

    def __init__(self, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.golden, self.salt = golden, salt
        self.manifests = {depth: json.loads((manifest_dir / name).read_text()) for depth, name in
                          ((50, 'manifest.json'), (101, 'manifest_r101.json')) if (manifest_dir / name).is_file()}
        self.model = build()

    def load(self, spread: bool) -> IFC:
        return load_official(self.model, official_weights(self.manifests[50], self.salt, spread))

    def has(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for part in ('stages', 'values') for key in self.golden.get(part, ()))

    def network(self, group: str, model: IFC, num: int, height: int, width: int) -> Iterator[Stage]:
        """One clip at inference: every stage of the network."""
        images = preprocess(model, [fill.frames(num, height, width, self.salt)])
        yield stage(group, 'input [T,3,H,W]', images[0])
        seen = Recorder(model)
        logits, masks = model.clip_outputs(images)
        yield from (stage(group, f'backbone.res{i + 2}', seen[f'backbone.layer{i + 1}']) for i in range(4))
        pos = seen.features.pos.expand(num, -1, -1).transpose(1, 2).reshape(num, -1, *seen.features.size)
        yield stage(group, 'pos [T,C,h,w] of res5', pos)
        yield from seen.stages(group)
        yield stage(group, 'mask_head.kernels [L,B,Q,C]', seen['mask_head.kernels'][-1:])
        yield stage(group, 'pred_logits', logits[-1])
        yield stage(group, 'pred_masks [B,Q,T,h,w]', masks[-1])

    def networks(self) -> Iterator[Stage]:
        if self.has('plain/'):
            yield from self.network('plain', self.load(spread=False), 5, 96, 160)
        if self.has('r101/'):
            caffe = build(depth=101, data_preprocessor=CAFFE)
            load_official(caffe, official_weights(self.manifests[101], self.salt))
            yield from self.network('r101', caffe, 2, 90, 150)
        if self.has('spread/'):
            yield from self.network('spread', self.load(spread=True), 3, 90, 150)

    def training(self) -> Iterator[Stage]:
        """Two clips of different sizes: network, targets, matching, losses and gradients."""
        model = self.load(spread=True)
        batch = model.data_preprocessor(self.training_batch(), True)
        clips, samples = batch['inputs'], batch['data_samples']
        yield stage('train', 'input [B*T,3,H,W]', clips.flatten(0, 1))
        seen = Recorder(model)
        with torch.enable_grad():
            logits, masks = model.clip_outputs(clips, [x.img_shape for clip in samples for x in clip])
            targets = [reduced_targets(clip) for clip in samples]
            losses = model.criterion(logits, masks, targets)
            total = sum(value for name, value in losses.items() if name.startswith('loss'))
            total.backward()
        size = seen.features.size
        yield stage('train', 'padding_mask of res5 (1 = pad)', seen.features.padding.view(-1, *size).int())
        yield stage('train', 'pos of res5', seen.features.pos.transpose(1, 2).reshape(len(logits) * 2, -1, *size))
        yield stage('train', 'backbone.res5', seen['backbone.layer4'])
        yield from seen.stages('train')
        yield stage('train', 'mask_head.kernels [L,B,Q,C]', seen['mask_head.kernels'])
        for i in range(3):
            yield stage('train', f'layer{i}.pred_logits', logits[i])
            yield stage('train', f'layer{i}.pred_masks', masks[i])
        for i, target in enumerate(targets):
            yield stage('train', f'target{i}.masks', target.masks)
            yield stage('train', f'target{i}.match_masks', target.masks)
            yield value('train', f'target{i}.labels', target.labels)
            present = torch.stack([torch.isin(target.instance_ids, x.gt_instances.instance_ids) for x in samples[i]], 1)
            yield value('train', f'target{i}.ids', torch.where(present, target.instance_ids[:, None], -1))
        yield from self.losses('train', model, logits.detach(), masks.detach(), targets)
        yield from self.gradients(model)

    def losses(self, group: str, model: IFC, logits: Tensor, masks: Tensor, targets: List[ClipTargets]
               ) -> Iterator[Stage]:
        criterion = model.criterion
        matches = [[[x.tolist() for x in pair] for pair in criterion.match(list(zip(logits[i], masks[i], targets)))]
                   for i in (2, 0, 1)]
        yield value(group, 'match [last layer, aux0, aux1][video][query list, gt list]', matches)
        losses = {name: float(x) for name, x in criterion(logits, masks, targets).items()}
        weighted = {name: x for name, x in losses.items() if name.startswith('loss')}
        plain = {name: x / criterion.weights.get(name.rstrip('_01'), 1) for name, x in losses.items()}
        yield value(group, 'losses_weighted', weighted, **LOSS)
        yield value(group, 'losses_unweighted', plain, **LOSS)
        yield value(group, 'total', sum(weighted.values()), **LOSS)

    def gradients(self, model: IFC) -> Iterator[Stage]:
        parameters = dict(model.named_parameters())
        trained = {name: x for name, x in parameters.items() if x.requires_grad}
        for key in (key for key in self.golden['stages'] if key.startswith('train/grad/')):
            grad = parameters[our_name(key[len('train/grad/'):])].grad
            yield Stage(('stages', key), grad, **GRADIENT)
        norm = torch.stack([x.grad.double().norm() for x in trained.values()]).norm()
        yield value('train', 'grad_norm_all', float(norm), **LOSS)
        yield value('train', 'trainable_without_grad', [name for name, x in trained.items() if x.grad is None])
        # frozen batch norm is no parameter there
        yield value('train', 'frozen', [key for key in self.manifests[50] if key.startswith('detr.')
                                        and '.norm.' not in key and our_name(key) in parameters
                                        and our_name(key) not in trained])
        model.zero_grad()

    def training_batch(self) -> dict:
        inputs, data_samples = [], []
        for i, (height, width) in enumerate(((96, 160), (80, 128))):
            clip = fill.frames(3, height, width, f'{self.salt}-{i}')
            masks, labels, ids = ground_truth(self.salt, f'video{i}', 3, height, width)
            inputs.append(torch.from_numpy(clip).permute(0, 3, 1, 2))
            data_samples.append([frame_sample(masks[:, t], labels, ids[:, t]) for t in range(3)])
        return dict(inputs=inputs, data_samples=data_samples)

    def raw_loss(self) -> Iterator[Stage]:
        samples = self.model.data_preprocessor(self.training_batch(), True)['data_samples']
        targets = [reduced_targets(clip) for clip in samples]
        logits, masks = (torch.stack(x) for x in zip(*raw_training_outputs(self.salt, 12, 20, 3)))
        yield from self.losses('raw_loss', self.model, logits, masks, targets)

    def videos(self) -> Iterator[Stage]:
        """Whole videos, of hand-made outputs and of the network."""
        for key in (key for key in self.golden['values'] if key.startswith(('raw_video/', 'video/'))):
            kind, setting = key.split('/')
            num_frames, stride = (int(part[1:]) for part in setting.split('_'))
            if kind == 'raw_video':
                model, length = ScriptedIFC(torch.nn.Identity(), num_frames=num_frames, stride=stride), 9
                model.salt = self.salt
                frames = torch.arange(length).float().view(-1, 1, 1, 1).expand(-1, 3, 96, 160)
            else:
                model, length = self.load(spread=True), 7
                model.num_frames, model.stride = num_frames, stride
                frames = preprocess(model, [fill.frames(length, 96, 160, self.salt)])[0]
            yield from self.video(key, model, frames, pixels=0 if kind == 'raw_video' else 20)

    def video(self, key: str, model: IFC, frames: Tensor, pixels: int) -> Iterator[Stage]:
        info = VideoInfo(7, ORI_SHAPE, (96, 160), 96 / 180, len(frames))
        state = model.start(info)
        state.joiner = joiner = RecordingJoiner(model.match_threshold)
        results = [result for frame in frames for result in model.step(state, frame[None])]
        rest, verdicts = model.finish(state)
        results += rest
        areas = np.zeros((len(joiner), len(frames)), np.int64)
        for result in results:
            areas[result.track_ids, result.frame_idx] = [decode_rle(mask).sum() for mask in result.masks]
        tracks = VideoResult.from_frames(info, results, verdicts).tracks
        empty = encode_mask(np.zeros(ORI_SHAPE, np.uint8))       # the official file has no null
        entries = [dict(video_id=7, score=track.score, category_id=track.label,
                        segmentations=[track.masks.get(t, empty) for t in range(len(frames))]) for track in tracks[:2]]
        probs = torch.stack([joiner.class_probs(tube) for tube in range(len(joiner))])
        ours = dict(clips=joiner.log, instance_class_probs=probs, instance_mask_area_per_frame=areas,
                    num_predictions=len(verdicts),
                    pred_scores=[x.score for x in verdicts], pred_labels=[x.label for x in verdicts],
                    pred_mask_area_per_frame=areas[[x.track_id for x in verdicts]], image_size=list(ORI_SHAPE),
                    json_first_two=[] if pixels else entries)
        for name, content in ours.items():
            yield Stage(('values', key, name), content, whole=pixels if 'area' in name else 0)
        for name in ('least_distance_of_a_class_probability_to_0_01', 'float64_check'):
            if name in self.golden['values'][key]:
                yield Stage(('values', key, name), given=True)

    def images(self) -> Iterator[Stage]:
        logits, masks = (torch.cat(x) for x in zip(*[
            raw_clip(self.salt, f'coco-{i}', [i], 12, 20, num_classes=80, length=9) for i in range(2)]))
        sizes = [(180, 300), (120, 192)]
        found = image_instances(logits, masks, (96, 160), [(96, 160), (80, 128)], sizes)
        yield Stage(('values', 'coco_image'), [
            dict(size=list(size), scores=x.scores.tolist(), labels=x.labels.tolist(), boxes=x.boxes.tolist(),
                 areas=x.masks.sum((1, 2)).tolist()) for size, x in zip(sizes, found)])

    def resizes(self) -> Iterator[Stage]:
        for key in (key for key in self.golden['stages'] if key.startswith('resize/')):
            height, width = (int(side) for side in key[len('resize/'):].split()[0].split('x'))
            clip = Clip(1, 1, (height, width), [ClipFrame(0, fill.frames(1, height, width, self.salt)[0])])
            clip = ClipResize(scale=(1333, 360), rule='detectron2')(clip, np.random.default_rng(0))
            yield Stage(('stages', key), clip.frames[0].image[..., ::-1].astype(np.int64))

    def mapper(self) -> Iterator[Stage]:
        """The training data path on the frames that the official mapper drew."""
        items = self.golden['values']['mapper']
        with tempfile.TemporaryDirectory() as folder:
            dataset, table = write_video(Path(folder), self.salt)
            ours = []
            for item in items:
                dataset.clip.frames = [int(frame['frame'].split('.')[0]) for frame in item]
                ours.append(mapped(dataset[0], dataset.clip.frames, table))
        yield Stage(('values', 'mapper'), ours)


class Recorder:
    """Outputs of the parts of a model, by name, of its last forward."""
    PARTS = ('encoder.receive', 'encoder.communicate', 'decoder.layers', 'mask_head.norms')

    def __init__(self, model: IFC) -> None:
        self.seen: Dict[str, Tensor] = {}
        self.features: Optional[FrameFeatures] = None
        names = [f'backbone.layer{i + 1}' for i in range(4)] + ['input_proj', 'mask_head', 'mask_head.kernels']
        names += [f'{part}.{i}' for part in self.PARTS for i in range(3)]
        for name in names:
            module = model.get_submodule(name)
            module._forward_hooks.clear()
            module.register_forward_hook(lambda module, args, out, name=name: self.seen.update({name: out}))
        original = type(model).frame_features

        def frame_features(*args: Any) -> FrameFeatures:
            self.features = original(model, *args)
            return self.features

        model.frame_features = frame_features

    def __getitem__(self, name: str) -> Tensor:
        return self.seen[name]

    def stages(self, group: str) -> Iterator[Stage]:
        """What all groups list; the official layers have the sequence first."""
        yield stage(group, 'input_proj', self['input_proj'])
        for i in range(3):
            yield stage(group, f'encoder.receive{i} [HW+M,BT,C]', self[f'encoder.receive.{i}'].transpose(0, 1))
            yield stage(group, f'encoder.communicate{i} [T,B*M,C]', self[f'encoder.communicate.{i}'].transpose(0, 1))
            yield stage(group, f'decoder.layer{i} [Q,B,C]', self[f'decoder.layers.{i}'].transpose(0, 1))
        for i, name in enumerate(('gn1', 'gn2', 'gn3_before_relu')):
            yield stage(group, f'mask_head.{name}', self[f'mask_head.norms.{i}'])
        yield stage(group, 'mask_head.features', self['mask_head'])


def stage(group: str, name: str, tensor: Tensor) -> Stage:
    return Stage(('stages', f'{group}/{name}'), tensor)


def value(group: str, name: str, content: Any, **tolerance: float) -> Stage:
    return Stage(('values', f'{group}/{name}'), content, **tolerance)


def preprocess(model: IFC, clips: List[np.ndarray]) -> Tensor:
    """uint8 BGR [T, h, w, 3] clips of one size -> network input [B, T, 3, H, W]."""
    inputs = [torch.from_numpy(clip).permute(0, 3, 1, 2) for clip in clips]
    return model.data_preprocessor(dict(inputs=inputs), True)['inputs']


def frame_sample(masks: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> FrameSample:
    present = np.flatnonzero(ids >= 0)
    instances = InstanceData(labels=torch.from_numpy(labels[present]), instance_ids=torch.from_numpy(ids[present]),
                             masks=torch.from_numpy(masks[present].astype(np.uint8)))
    return FrameSample(metainfo=dict(img_shape=masks.shape[-2:]), gt_instances=instances)


class GivenFrames:
    """A clip strategy that draws what it is told."""
    frames: List[int] = []

    def items(self, eligible: Any, lengths: np.ndarray) -> np.ndarray:
        return np.array([[0, -1]])

    def draw(self, *args: Any) -> List[int]:
        return self.frames


def write_video(folder: Path, salt: str) -> Tuple[VISDataset, Dict[int, dict]]:
    """The six-frame video of the recipe as a data set, and its annotations by id."""
    clip = fill.frames(6, 180, 320, salt)
    masks, labels, _ = ground_truth(salt, 'dataset', 6, 180, 320, num=3)
    (folder / 'JPEGImages/v').mkdir(parents=True)
    names = [f'v/{t:05d}.png' for t in range(6)]
    for name, image in zip(names, clip):
        cv2.imwrite(str(folder / 'JPEGImages' / name), image)
    annotations = []
    for i in range(3):
        seen = [bool(mask.any()) for mask in masks[i]]
        annotations.append(dict(
            id=10 + i, video_id=1, category_id=int(labels[i]) + 1, iscrowd=int(i == 2),
            segmentations=[encode_mask(mask) if ok else None for mask, ok in zip(masks[i], seen)],
            bboxes=[cv2.boundingRect(mask.astype(np.uint8)) if ok else None for mask, ok in zip(masks[i], seen)],
            areas=[int(mask.sum()) if ok else None for mask, ok in zip(masks[i], seen)]))
    data = dict(videos=[dict(id=1, height=180, width=320, length=6, file_names=names)], annotations=annotations,
                categories=[dict(id=i, name=f'class {i}') for i in range(1, 41)])
    (folder / 'train.json').write_text(json.dumps(data))
    pipeline = [dict(type='ClipResize', scale=(1333, 96), rule='detectron2'), dict(type='ClipBoxesFromMasks')]
    dataset = VISDataset(ann_file=str(folder / 'train.json'), img_prefix=str(folder / 'JPEGImages'), clip=GivenFrames(),
                         pipeline=pipeline)
    return dataset, {annotation['id']: annotation for annotation in annotations}


def mapped(item: dict, frames: List[int], table: Dict[int, dict]) -> List[dict]:
    """A training item of ours as the official mapper gives it: one row an object of the clip in every frame."""
    rows = sorted(i for i, x in table.items() if any(x['bboxes'][t] for t in frames))
    out = []
    for t, image, sample in zip(frames, item['inputs'], item['data_samples']):
        own = {int(i): n for n, i in enumerate(sample.gt_instances.instance_ids)}
        masks, boxes = sample.gt_instances.masks, sample.gt_instances.bboxes
        out.append(dict(
            frame=f'{t:05d}.png', size=list(image.shape), image=image.flip(0).long(),
            ids=[i if i in own else -1 for i in rows],
            classes=[int(sample.gt_instances.labels[own[i]]) if i in own else 40 for i in rows],
            areas=[int(masks[own[i]].sum()) if i in own else 0 for i in rows],
            boxes=[boxes[own[i]].tolist() if i in own else [0.] * 4 for i in rows]))
    return out


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file, or of one that holds some of its groups."""
    parity = Parity(golden, manifest_dir, salt)
    if 'recipe_code' in golden:
        yield Stage(('recipe_code',), given=True)
    parts = {'resize/': parity.resizes, 'mapper': parity.mapper, 'coco_image': parity.images,
             'raw_loss/': parity.raw_loss, '': parity.networks, 'train/': parity.training}
    with torch.no_grad():
        for prefix, part in parts.items():
            if parity.has(prefix):
                yield from part()
        if parity.has('raw_video/') or parity.has('video/'):
            yield from parity.videos()
