"""Stages of VidEoMT's training beside the network: clips, transforms, optimizer groups, learning rates."""
import random
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import torch

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.datasets.clip_sampling import ConsecutiveClips
from mmvis.datasets.coco_categories import find_category_map
from mmvis.datasets.transforms import ClipCrop, ClipFlip, ClipResize, ClipRotate, resized_shape
from mmvis.datasets.transforms.boxes import masks_to_boxes
from mmvis.datasets.transforms.resize import resize_image
from mmvis.datasets.transforms.rotate import draw_polygons
from mmvis.engine.layer_decay import TwoStagePoly, layer_decay_groups
from mmvis.models import EoMT, VidEoMT
from mmvis.models.backbones import ViT

from . import fill
from .compare import Stage
from .videomt_inputs import moving_ellipses, polygons

#: The class that the official mappers give to an empty slot.
_DUMMY = 54
_SHORT_SIDES = (320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640)
_EXACT = dict(rtol=1e-9, atol=1e-15)


class LegacyDraws:
    """NumPy's old global generator, and Python's for the start of a clip, under the names of the new ones."""

    def __init__(self, seed: int, start: Optional[random.Random] = None) -> None:
        self._stream, self._start = np.random.RandomState(seed), start

    def random(self) -> float:
        return self._stream.random_sample()

    def uniform(self, *args: Any) -> Any:
        return self._stream.uniform(*args)

    def choice(self, *args: Any, **kwargs: Any) -> Any:
        return self._stream.choice(*args, **kwargs)

    def integers(self, low: int, high: Optional[int] = None) -> int:
        return self._stream.randint(low, high) if self._start is None else self._start.randrange(low)


def data_stages(parity: Any) -> Iterator[Stage]:
    """The groups ``optim/``, ``sampler/``, ``aug/``, ``mapper/`` and the optimizer of ``image/``."""
    yield from optimizer(parity)
    yield from image_optimizer(parity)
    for name in parity.keys('sampler/'):
        num_frames = int(name.split('/T')[1].split('_')[0])
        ours = {}
        for key in parity.golden['values'][name]:
            length, seed = (int(part) for part in key[1:].split('_seed'))
            draws = LegacyDraws(seed, random.Random(seed))
            ours[key] = ConsecutiveClips(num_frames, reach_end=False).draw(np.arange(length), length, -1, draws)
        yield parity.value(name, ours)
    if parity.has('aug/'):
        yield from augmentation(parity)
    if parity.has('mapper/'):
        yield from video_mapper(parity)
        yield from coco_mapper(parity)


def official_name(name: str, prefix: str) -> str:
    """The official name of one of our parameters."""
    if name.startswith('backbone.'):
        return f'{prefix}.encoder.{name}'
    return f'{prefix}.{name.replace("predictor.", "")}'


def optimizer(parity: Any) -> Iterator[Stage]:
    if not parity.has('optim/'):
        return
    with torch.device('meta'):
        model = VidEoMT(ViT(), data_preprocessor=None)
    groups = layer_decay_groups(model, 1e-4, 0.05, 0.6)
    rows = [[official_name(group['name'], 'backbone'), group['lr'], group['weight_decay']] for group in groups]
    yield parity.value('optim/groups in order: [name, lr, weight_decay]', rows, **_EXACT)
    yield parity.value('optim/num_backbone_params', sum(group['late'] for group in groups))
    steps = parity.golden['values']['optim/lr at step']
    schedule = TwoStagePoly(torch.optim.AdamW(groups), 40000)
    by_name = {official_name(group['name'], 'backbone'): group for group in groups}
    ours = {step: {name: by_name[name]['initial_lr'] * schedule.factor(int(step), by_name[name]['late'])
                   for name in rates} for step, rates in steps.items()}
    yield parity.value('optim/lr at step', ours, **_EXACT)


def image_optimizer(parity: Any) -> Iterator[Stage]:
    for llrd in (True, False):
        name = f'image/optim llrd_l2={llrd}'
        if f'{name} defaults' not in parity.golden['values']:
            continue
        with torch.device('meta'):
            model = EoMT(ViT(), data_preprocessor=None)
        lr, decay, weight_decay, warmup = 1e-4, 0.8, 0.05, [500, 1000]
        groups = layer_decay_groups(model, lr, weight_decay, decay, query_blocks_decay=llrd)
        rows = {official_name(group['name'], 'network'): [group['lr'], group['weight_decay']] for group in groups}
        wanted = {row[0] for row in parity.golden['values'][f'{name} [name, lr, wd]']}
        ours = [[key, *row] for key, row in rows.items() if key in wanted]
        yield parity.value(f'{name} [name, lr, wd]', ours, **_EXACT)
        yield parity.value(f'{name} defaults', [lr, decay, weight_decay, warmup], **_EXACT)


# Transforms

def augmentation(parity: Any) -> Iterator[Stage]:
    frame = ClipFrame(0, fill.frames(1, 72, 104, parity.salt)[0])
    yield parity.stage('aug/rotated image', ClipRotate.turn(frame, 11.5, (50, 30), False).image)
    for name in parity.keys('aug/resized', 'stages'):
        size = tuple(int(part) for part in name.split()[-1].split('x'))
        yield parity.stage(name, resize_image(frame.image, size, 'pillow'))
    name = 'aug/transforms of five frames'
    base = 100 if parity.salt == 'public' else 150
    yield parity.value(name, {key: transforms(key.split('_')[0], base + int(key.split('_')[1]))
                              for key in parity.golden['values'][name]}, rtol=1e-9, atol=1e-6)
    sizes = {}
    for key in parity.golden['values']['aug/test sizes']:
        shape, short = key.split('@')
        height, width = (int(side) for side in shape.split('x'))
        sizes[key] = list(resized_shape(height, width, (1333, int(short)), 'detectron2')[:2])
    yield parity.value('aug/test sizes', sizes)


def transforms(kind: str, seed: int) -> List[list]:
    """What is drawn for a clip of five frames, as the official code names it."""
    rng, num = LegacyDraws(seed), 5
    height, width = (720, 1280) if kind == 'video' else (480, 640)
    found = []

    def resize(sides: tuple, long: int) -> None:
        nonlocal height, width
        scale = ClipResize([(long, side) for side in sides], rule='detectron2').draw(height, width, rng)
        new_h, new_w, _ = resized_shape(height, width, scale, 'detectron2')
        found.append(['ResizeTransform', float(height), float(width), float(new_h), float(new_w)])
        height, width = new_h, new_w

    if rng.choice(2, p=[0.5, 0.5]) == 0:
        resize((400, 500, 600), 1333)
        top, left, crop_h, crop_w, *_ = ClipCrop((384, 600)).draw(height, width, rng)
        found.append(['CropTransform', *map(float, (left, top, crop_w, crop_h, width, height))])
        height, width = crop_h, crop_w
    else:
        found.append(['NoOpTransform'])
    resize(_SHORT_SIDES, 768)
    found.append(['HFlipTransform' if ClipFlip(0.5).draw(height, width, rng) else 'NoOpTransform'])
    if kind == 'video':
        return [found] * num
    angles, centre = ClipRotate().draw(num, height, width, rng)
    turns = [['RotationTransform', float(angle), list(centre), float(width), float(height)] for angle in angles]
    return [found + [turn] for turn in turns]


# Training items

def frame_of(image: np.ndarray, masks: np.ndarray, labels: Any, ids: Any, outlines: Any = None) -> ClipFrame:
    return ClipFrame(0, image, masks_to_boxes(masks, False), np.asarray(labels), np.asarray(ids), masks,
                     np.zeros(len(masks), bool), outlines)


def slots(frame: ClipFrame, given: Dict[int, int]) -> tuple:
    """Ids, classes, areas and masks of a frame, one row a slot; ``given``: id -> class of the objects before the
    transforms. An object that the transforms emptied keeps its class."""
    row_of = {int(i): row for row, i in enumerate(frame.instance_ids)}
    empty = np.zeros(frame.image.shape[:2], np.uint8)
    masks = [frame.masks[row_of[i]] if i in row_of else empty for i in given]
    return ([i if i in row_of else -1 for i in given], [int(label) for label in given.values()],
            [int(mask.sum()) for mask in masks], np.stack(masks))


def video_mapper(parity: Any) -> Iterator[Stage]:
    """Five frames: cut at x 20, y 10 to 70 x 50, resized to 45 x 63, flipped. Object 4 is a crowd: an empty slot."""
    num, height, width = parity.sizes['mapper']
    clip = fill.frames(num, height, width, parity.salt)
    labels, ids, masks = (x.numpy() for x in moving_ellipses('mapper', 5, num, height, width, 40, parity.salt))
    frames = ConsecutiveClips(5).draw(np.arange(5), 5, -1, None)
    rows = []
    for t in frames:
        present = np.flatnonzero(ids[:4, t] >= 0)
        frame = frame_of(clip[t], masks[present, t].astype(np.uint8), labels[present], 20 + present)
        frame = ClipCrop((50, 70), mode='absolute').apply(frame, (10, 20, 50, 70, height, width), False)
        frame = ClipResize((None, 45), rule='detectron2').apply(frame, (None, 45), False)
        frame = ClipFlip().apply(frame, True, False)
        given = {-1: _DUMMY, **{20 + i: labels[i] if i in present else _DUMMY for i in range(4)}}
        rows.append(slots(frame, given))
        if t == 0:
            yield parity.stage('mapper/video frame0', frame.image[..., ::-1].transpose(2, 0, 1).astype(np.int64))
            yield parity.stage('mapper/video frame0 masks', rows[0][3].astype(np.int64))
    found = dict(zip(('ids', 'classes', 'areas'), ([list(row[i]) for row in rows] for i in range(3))))
    yield parity.value('mapper/video', dict(frames=frames, **found))


def coco_mapper(parity: Any) -> Iterator[Stage]:
    """An image five times: resized to 60 x 87, flipped, turned by -9.25 degrees about (40, 28); masks are polygons."""
    num, height, width = parity.sizes['mapper']
    image = fill.frames(num, height, width, parity.salt)[0]
    outlines = [[np.array(outline).reshape(-1, 2)] for outline in polygons('coco', 3, height, width, parity.salt)]
    table = find_category_map('ytvis2021', 'official')[1]
    labels = [table[category] - 1 if category in table else -1 for category in (1, 3, 10)]
    frame = frame_of(image, draw_polygons(outlines, height, width), labels, range(3), outlines)
    frame = ClipResize((None, 60), rule='detectron2').apply(frame, (None, 60), False)
    frame = ClipRotate.turn(ClipFlip().apply(frame, True, False), -9.25, (40, 28), False)
    clip = Clip(1, 5, (height, width), [replace(frame, frame_idx=t) for t in range(5)])
    rows = [slots(frame, dict(enumerate(labels))) for frame in clip.frames]
    yield parity.stage('mapper/coco frame0', frame.image[..., ::-1].transpose(2, 0, 1).astype(np.int64))
    yield parity.stage('mapper/coco frame0 masks', rows[0][3].astype(np.int64))
    found = dict(zip(('ids', 'classes', 'areas'), ([list(row[i]) for row in rows] for i in range(3))))
    yield parity.value('mapper/coco', dict(num_frames=len(clip.frames), **found))
