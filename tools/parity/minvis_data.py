"""Stages of Mask2Former's and MinVIS's training beside the network: optimizer groups, learning rates, sizes, items."""
import zlib
from bisect import bisect_right
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
import torch
from mmdet.models.backbones.swin import swin_converter
from torch import nn

from mmvis.converters.mask2former import our_name
from mmvis.datasets.clip import ClipFrame
from mmvis.datasets.clip_sampling import SparseFrames
from mmvis.datasets.transforms import ClipFlip, ClipLSJ, ClipPad, ClipResize, resized_shape
from mmvis.datasets.transforms.boxes import masks_to_boxes
from mmvis.datasets.transforms.resize import resize_image
from mmvis.datasets.transforms.rotate import draw_polygons
from mmvis.engine import find_config, load_config
from mmvis.engine.detectron2_groups import detectron2_groups
from mmvis.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

from . import fill
from .compare import Stage
from .minvis_inputs import frames, ground_truth

_EXACT = dict(rtol=1e-9, atol=1e-15)
#: Name of the files -> (config, manifest).
_CONFIGS = {'ytvis19': ('minvis_r50_ytvis2019.py', 'manifest.json'), 'ytvis21': ('minvis_r50_ytvis2021.py', 'manifest.json'),
            'ovis': ('minvis_r50_ovis.py', 'manifest_ovis.json'), 'coco': ('mask2former_r50_coco.py', 'manifest_coco.json'),
            'swin19': ('minvis_swin_large_ytvis2019.py', 'manifest_swinl.json')}


def data_stages(parity: Any) -> Iterator[Stage]:
    """The groups ``optimizer/``, ``schedule/``, ``resize/``, ``mapper`` and ``lsj/`` of a file."""
    for name in dict.fromkeys(key.split('/')[1] for key in parity.keys('optimizer/')):
        yield from toy_steps(parity) if name == 'toy_two_steps' else optimizer(parity, name)
    for name in parity.keys('schedule/'):
        yield from parity.value(name, schedule(parity.golden['values'][name], name.split('/')[1]), **_EXACT)
    yield from resize(parity)
    yield from mapper(parity)
    yield from jitter(parity)


# Optimizer

def _key(lr: float, decay: float) -> str:
    return f'lr {lr:g} wd {decay:g}'


def optimizer(parity: Any, name: str) -> Iterator[Stage]:
    config, manifest = _CONFIGS[name]
    cfg = load_config(find_config(config))
    model = MODELS.build(cfg.model)                   # mmdet's Swin cannot be built without memory
    settings = cfg.optim_wrapper.optimizer
    groups = detectron2_groups(model, settings.lr, settings.weight_decay, **cfg.optim_wrapper.paramwise_cfg)
    official = {ours: key for key, ours in _our_names(parity.manifest(manifest)).items()}
    names: Dict[str, List[str]] = {}
    for group in groups:
        names[_key(group['lr'], group['weight_decay'])] = sorted(official[x] for x in group['names'])
    prefix = f'optimizer/{name}'
    yield from parity.value(f'{prefix}/counts', {key: len(own) for key, own in names.items()})
    made = torch.optim.AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay).defaults
    yield from parity.value(f'{prefix}/settings', dict(type=settings.type, betas=list(made['betas']), eps=made['eps'],
                                                       amsgrad=made['amsgrad']))
    listed = parity.golden['values'].get(f'{prefix}/groups', {})
    yield from parity.value(f'{prefix}/groups', {
        key: {'crc32': zlib.crc32('\n'.join(own).encode()), **({'names': own} if 'names' in listed.get(key, ()) else {})}
        for key, own in names.items()})


def _our_names(manifest: Dict[str, list]) -> Dict[str, str]:
    """Official key -> ours; those of Swin through mmdet's converter, one by one."""
    names = {}
    for key, (shape, dtype) in manifest.items():
        if key.endswith(('relative_position_index', 'empty_weight')):
            continue
        if key.startswith(('backbone.layers.', 'backbone.patch_embed.', 'backbone.norm')):
            own = swin_converter({key.removeprefix('backbone.'): torch.empty(shape)})
            names[key] = f'segmenter.{next(iter(own))}'
        else:
            names[key] = our_name(key)
    return names


def toy_steps(parity: Any) -> Iterator[Stage]:
    """Two clipped steps of a linear layer and a norm, through the constructor of the configs."""
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    for name, parameter in model.named_parameters():
        parameter.data = fill.unit(f'toy-{name}', parameter.shape, parity.salt)
    cfg = load_config(find_config(_CONFIGS['ytvis19'][0])).optim_wrapper
    cfg = {key: value for key, value in cfg.items() if key != 'constructor'}
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(
        type='Detectron2Groups', paramwise_cfg=cfg.pop('paramwise_cfg'), optim_wrapper_cfg=cfg))(model)
    with torch.enable_grad():
        for step in (0, 1):
            wrapper.update_params(sum((parameter * fill.unit(f'toy-grad{step}-{name}', parameter.shape, parity.salt)).sum()
                                      for name, parameter in model.named_parameters()))
    yield from parity.value('optimizer/toy_two_steps', {
        name: parameter.detach().flatten().tolist() for name, parameter in model.named_parameters()}, rtol=1e-6, atol=1e-7)


def schedule(reference: Dict[str, Any], name: str) -> Dict[str, Any]:
    cfg = load_config(find_config(_CONFIGS[name][0]))
    steps = cfg.param_scheduler[0].milestones
    rate = {key: cfg.optim_wrapper.optimizer.lr * cfg.param_scheduler[0].gamma ** bisect_right(steps, int(key))
            for key in reference['lr']}
    return dict(max_iter=cfg.train_cfg.max_iters, steps=list(steps), batch=cfg.auto_scale_lr.base_batch_size, lr=rate)


# Images and items

def _scale(text: str) -> Tuple[int, int, int]:
    """'180x320 short 96 ...' -> (180, 320, 96)."""
    size, _, short = text.split()[:3]
    return (*(int(side) for side in size.split('x')), int(short))


def resize(parity: Any) -> Iterator[Stage]:
    name = 'resize/sizes'
    sizes = {}
    for key in parity.golden['values'].get(name, ()):
        height, width, short = _scale(key)
        sizes[key] = list(resized_shape(height, width, (1333, short), 'detectron2')[:2])
    yield from parity.value(name, sizes)
    for name in parity.keys('resize/', 'stages'):
        height, width, short = _scale(name.split('/')[1])
        image = frames(1, height, width, f'{parity.salt}resize')[0]
        size = resized_shape(height, width, (1333, short), 'detectron2')[:2]
        yield from parity.stage(name, resize_image(image, size, 'pillow').astype(np.int64), rtol=0., atol=1e-9)


def _clip_frame(image: np.ndarray, masks: np.ndarray, labels: Any, ids: Any, outlines: Any = None) -> ClipFrame:
    boxes = masks_to_boxes(masks, False) if len(masks) else np.zeros((0, 4), np.float32)
    return ClipFrame(0, image, boxes, np.asarray(labels), np.asarray(ids), masks, np.zeros(len(masks), bool), outlines)


def mapper(parity: Any) -> Iterator[Stage]:
    """Frames of a video of 6, the draws given; rows of all objects of the chosen frames, those that are absent first."""
    values = parity.golden['values']
    if 'mapper' in values:
        clip = frames(6, 180, 320, f'{parity.salt}mapper')
        labels, ids, masks = (x.numpy() for x in ground_truth(parity.salt, 'mapper', 6, 180, 320, num=3))
        chosen: Dict[tuple, List[int]] = {}
        for item in values['mapper']:
            chosen.setdefault(tuple(item['case']), []).append(item['frame'])
        rows = [_item(item, clip, labels, ids, masks, chosen[tuple(item['case'])]) for item in values['mapper']]
        yield from parity.value('mapper', rows, rtol=0., atol=1e-9)
    for name in parity.keys('mapper_ratio_'):
        rule = SparseFrames(float(name.split('_')[2]))
        yield from parity.value(name, {length: rule.frames(int(length)).tolist() for length in values[name]})


def _item(item: dict, clip: np.ndarray, labels: np.ndarray, ids: np.ndarray, masks: np.ndarray, chosen: List[int]) -> dict:
    t = item['frame']
    seen = np.flatnonzero((ids[:, chosen] >= 0).any(1))
    present = seen[ids[seen, t] >= 0]
    frame = _clip_frame(clip[t], masks[present, t].astype(np.uint8), labels[present], ids[present, t])
    scale = (1333, item['short_side'])
    frame = ClipResize(scale, rule='detectron2').apply(frame, scale, False)
    frame = ClipFlip().apply(frame, item['flip'], False)
    absent = len(seen) - len(present)
    boxes = np.concatenate([np.zeros((absent, 4), np.float32), masks_to_boxes(frame.masks, False)])
    return dict(case=item['case'], frame=t, short_side=item['short_side'], flip=item['flip'],
                size=list(frame.image.shape[:2]), image=frame.image.transpose(2, 0, 1).astype(np.int64),
                ids=[-1] * absent + frame.instance_ids.tolist(), classes=[40] * absent + frame.labels.tolist(),
                areas=[0] * absent + frame.masks.sum((1, 2)).tolist(), boxes=boxes.tolist())


class _GivenDraws:
    """The scale and the place of the window, in place of a generator."""

    def __init__(self, scale: float, place: float) -> None:
        self._scale, self._place = scale, place

    def uniform(self, low: float, high: float) -> float:
        return self._scale

    def random(self) -> float:
        return self._place


def jitter(parity: Any) -> Iterator[Stage]:
    """Images of 128 x 128 by large-scale jitter; masks are drawn from polygons at the end."""
    if 'lsj/items' not in parity.golden['values']:
        return
    yield from parity.given('lsj/polygons')
    given = parity.golden['values']['lsj/polygons']
    kept = [i for i, crowd in enumerate(given['crowd']) if not crowd]
    outlines = [[np.array(given['polygons'][i]).reshape(-1, 2)] for i in kept]
    labels = [given['labels'][i] for i in kept]
    image = frames(1, 100, 150, f'{parity.salt}lsj')[0]
    rule, items = ClipLSJ((128, 128), (0.1, 2.0), rule='detectron2'), []
    for item in parity.golden['values']['lsj/items']:
        frame = _clip_frame(image, draw_polygons(outlines, *image.shape[:2]), labels, range(len(kept)), outlines)
        frame = ClipFlip().apply(frame, item['flip_draw'] < 0.5, False)
        drawn = rule.draw(*frame.image.shape[:2], _GivenDraws(item['scale'], item['crop_draw']))
        frame = rule.apply(frame, drawn, False)
        frame = ClipPad(size=(128, 128), value=128)._pad(frame, 128, 128)
        cut = [outline for (outline,) in frame.polygons]
        masks = draw_polygons([[outline] for outline in cut], 128, 128)
        items.append(dict(
            flip_draw=item['flip_draw'], scale=item['scale'], crop_draw=item['crop_draw'],
            image=frame.image.transpose(2, 0, 1).astype(np.int64), classes=frame.labels.tolist(),
            areas=masks.sum((1, 2)).tolist(), mask_dtype=str(torch.from_numpy(masks).dtype),
            boxes=[[*outline.min(0).tolist(), *outline.max(0).tolist()] for outline in cut]))
    yield from parity.value('lsj/items', items, rtol=1e-6, atol=1e-4)
