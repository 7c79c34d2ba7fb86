"""Stages of the training of CTVIS: items of embeddings made by hand, and the losses of two clips through the network."""
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from mmvis.converters.mask2former import our_name
from mmvis.models.ctvis import model as ctvis_model
from mmvis.models.layers.clip_targets import ClipTargets
from mmvis.models.losses.contrastive_items import ContrastiveItems, contrastive_losses, mean_contrastive_losses
from mmvis.models.mask2former import losses as segmentation

from . import fill
from .compare import Stage
from .ctvis_inputs import build_model, clip_embeddings, draws, read_manifest, stream, weights
from .minvis_inputs import network_input
from .videos import load_official

#: Frames in which each object of a training clip is there.
_PRESENT = (((0, 1, 2, 3), (1, 2, 3), (0, 1, 3), (2, 3)), ((0, 1, 2, 3), (0, 1), (1,)))
_TRAIN_FRAMES, _NUM_CLASSES, _NUM_POINTS = 4, 40, 256


class WatchedItems:
    """Builds the items of clips with given draws, and keeps what went on inside.

    Attributes:
        items: of all clips; tried: (frame, object, source of the positive or None); memory: of the last clip.
        used: draws; picked: choices.
    """

    def __init__(self, key: str, salt: str, momentum: bool = True, noise: bool = False) -> None:
        self.key, self.salt, self._numbers = key, salt, draws(key, salt, rare=noise)
        self.items: list = []
        self.tried: List[Tuple[int, int, Any]] = []
        self.memory: list = []
        self.used: List[float] = []
        self.picked: List[int] = []
        self._build = ContrastiveItems(momentum, .001 * noise, official_skips=True, draw=self._draw, pick=self._pick)
        self._original, self._fill = self._build._positive, self._build._fill

    def _draw(self) -> float:
        self.used.append(next(self._numbers))
        return self.used[-1]

    def _pick(self, n: int) -> int:
        self.picked.append(int(n * stream(f'{self.key}-index-{len(self.picked)}', self.salt).uniform()))
        return self.picked[-1]

    def _positive(self, own: list, memory: list, t: int, n: int) -> Any:
        out = self._original(own, memory, t, n)
        once = sum(frame[n] is not None for frame in own[:t]) == 1
        self.tried.append((t, n, None if out is None else 'memory or last (same)' if once else out[0]))
        return out

    def _kept(self, *args: Any) -> Any:
        own, memory = self._fill(*args)
        self.memory = memory[-1]
        return own, memory

    def __call__(self, *args: Any) -> list:
        with mock.patch.object(self._build, '_positive', self._positive), \
                mock.patch.object(self._build, '_fill', self._kept):
            new = self._build(*args)
        self.items += new
        return new

    @torch.no_grad()
    def listed(self) -> List[dict]:
        """The items, clip by clip and frame by frame, as the files have them."""
        names = [dict(frame=t, instance=n, positive=source) for t, n, source in self.tried if source]
        measured = [entry for frame in self.items for entry in _entries(frame)]
        return [{**name, **entry} for name, entry in zip(names, measured, strict=True)]

    def skipped(self) -> List[List[int]]:
        return [[t, n] for t, n, source in self.tried if not source]


def _entries(frame: Any) -> Iterator[Dict[str, Any]]:
    losses, squares = contrastive_losses([frame])
    for i, (a, p) in enumerate(zip(frame.anchors, frame.positives)):
        yield dict(negatives=int(frame.counted[i].sum()), positive_dot=float(a @ p),
                   positive_cosine=float(torch.cosine_similarity(a, p, dim=0)), contrastive=losses[i].item(),
                   auxiliary=squares[i].item())


def contrastive(golden: Dict[str, Any], salt: str) -> Iterator[Stage]:
    """Items, losses, gradient and memory of embeddings made by hand."""
    for name, case in golden['values']['cl'].items():
        yield Stage(('values', 'cl', name), _clip_losses(name, case['options'], salt), rtol=1e-4)


def _clip_losses(name: str, options: Dict[str, Any], salt: str) -> Dict[str, Any]:
    watch = WatchedItems(f'cl-{name}-rand', salt, options.get('momentum_embed', True), bool(options.get('noise_embed')))
    embeddings, valid, query = clip_embeddings(name, salt)
    embeddings.requires_grad_()
    for clip, there, queries in zip(embeddings, valid, query):
        watch(clip, [{n: int(q) for n, q in enumerate(row) if own[n]} for row, own in zip(queries, there)], there.shape[1])
    losses = mean_contrastive_losses(watch.items, embeddings)
    total = 2 * losses[0] + 3 * losses[1]
    total.backward()
    gradient = embeddings.grad.flatten(0, 1)
    return dict(valid=valid.astype(int), query=query, options=options, draws=[round(u, 6) for u in watch.used],
                index_draws=len(watch.picked), items=watch.listed(), skipped_frame_instance=watch.skipped(),
                loss_reid=losses[0].item(), loss_aux_reid=losses[1].item(), total_weighted=total.item(),
                grad_embeds=gradient, grad_norm=gradient.norm().item(),
                last_video_memory={n: x[None] for n, x in enumerate(watch.memory) if x is not None})


def ground_truth(salt: str, video: int, size: Tuple[int, int], padded: Tuple[int, int]) -> ClipTargets:
    """The objects of a training clip."""
    height, width = size
    random = stream(f'gt-{video}', salt)
    y, x = np.mgrid[0:height, 0:width]
    num = len(_PRESENT[video])
    masks, present = np.zeros((num, _TRAIN_FRAMES, *padded), np.uint8), np.zeros((num, _TRAIN_FRAMES), bool)
    labels = []
    for i in range(num):
        labels.append(int(random.randint(0, _NUM_CLASSES)))
        cx, cy = random.uniform(.2, .8), random.uniform(.2, .8)
        vx, vy = random.uniform(-.05, .05), random.uniform(-.05, .05)
        a, b = random.uniform(.10, .25), random.uniform(.12, .30)
        for t in _PRESENT[video][i]:
            masks[i, t, :height, :width] = (((x + .5) / width - cx - vx * t) / a) ** 2 + \
                (((y + .5) / height - cy - vy * t) / b) ** 2 < 1
            present[i, t] = True
    return ClipTargets(torch.tensor(labels), 10 + torch.arange(num), torch.from_numpy(present), torch.from_numpy(masks))


class Draws:
    """In place of ``torch.rand``: every draw has the name of its use; ``calls`` lists (name, shape)."""

    def __init__(self, salt: str, num_layers: int, num_images: int, num_clips: int) -> None:
        self.salt, self.calls = salt, []
        layers = [num_layers - 1, *range(num_layers - 1)]
        self._names = [name for layer in layers for name in (*(f'main-{layer}-{b}' for b in range(num_images)),
                                                             f'over-{layer}', f'extra-{layer}')]
        self._names += [f'cl-{t}-{b}' for t in range(num_images // num_clips) for b in range(num_clips)]

    def __call__(self, *shape: int, **kwargs: Any) -> Tensor:
        self.calls.append([self._names[len(self.calls)], list(shape)])
        return torch.from_numpy(stream(self.calls[-1][0], self.salt).uniform(0, 1, shape).astype(np.float32))


def training(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """The group ``train/``: matchings, items, losses and gradients of two clips of different size."""
    values = golden['values']
    model = build_model(_NUM_CLASSES, num_points=_NUM_POINTS)
    load_official(model, weights(read_manifest(manifest_dir / 'manifest.json'), salt, golden['calibration']))
    sizes = [tuple(size) for size in golden['settings']['train']]
    clips = network_input(model, [fill.frames(_TRAIN_FRAMES, *size, f'{salt}-{v}')[..., ::-1] for v, size in enumerate(sizes)])
    targets = [ground_truth(salt, v, size, tuple(clips.shape[-2:])) for v, size in enumerate(sizes)]
    predictions = model.segmenter(clips.flatten(0, 1))
    last = predictions[-1]
    named = dict(pred_logits=last.logits, pred_masks=last.masks, pred_embeds=model.reid_head(last.queries))
    for name, tensor in named.items():
        if f'train/{name}' in golden['stages']:
            yield Stage(('stages', f'train/{name}'), tensor)
    model.items = WatchedItems('train-rand', salt)
    matched, again = [], []
    match, assign = segmentation.match_images, ctvis_model.assign

    def watch_match(*args: Any) -> list:
        pairs = match(*args)
        matched.append([[x.tolist() for x in one] for one in pairs])
        return pairs

    def watch_assign(cost: Tensor) -> Any:
        again.append([x.tolist() for x in assign(cost)])
        return assign(cost)

    point_draws = Draws(salt, len(predictions), _TRAIN_FRAMES * len(sizes), len(sizes))
    with mock.patch('torch.rand', point_draws), mock.patch.object(segmentation, 'match_images', watch_match), \
            mock.patch.object(ctvis_model, 'assign', watch_assign):
        losses = model.clip_losses(predictions, targets, sizes)
    total = sum(losses.values())
    total.backward()
    images = [image for target in targets for image in segmentation.frames_as_images(target, present_only=True)]
    unweighted = {name: float(x.detach()) / model.criterion.weights['_'.join(name.split('_')[:2])]
                  for name, x in losses.items() if 'reid' not in name}
    found = {
        'main_match [layer 9, then 0..8][image]: [queries, kept instances]': matched,
        'cl_match [frame][video]: [queries, instance slots]': [again[i:i + len(sizes)] for i in range(0, len(again), len(sizes))],
        'items': model.items.listed(), 'skipped_frame_instance': model.items.skipped(),
        'draws': [round(u, 6) for u in model.items.used], 'point_draws': point_draws.calls,
        'losses_weighted': {name: float(x.detach()) for name, x in losses.items()}, 'losses_unweighted': unweighted,
        'total': float(total.detach()), 'kept_labels_per_image': [x.labels.tolist() for x in images],
        'kept_mask_areas_per_image': [x.masks.flatten(1).sum(1).tolist() for x in images]}
    for name, content in found.items():
        if f'train/{name}' in values:
            yield Stage(('values', f'train/{name}'), content)
    yield from gradients(golden, model)


def gradients(golden: Dict[str, Any], model: Any) -> Iterator[Stage]:
    """Norms and entries of the gradients of the total."""
    values = golden['values']
    grads = {name: x.grad for name, x in model.named_parameters() if x.requires_grad}
    if 'train/without_gradient' in values:
        yield Stage(('values', 'train/without_gradient'), [name for name, grad in grads.items() if grad is None])
    if 'train/gradient_norm' in values:
        norm = torch.stack([grad.double().norm() for grad in grads.values()]).norm()
        yield Stage(('values', 'train/gradient_norm'), float(norm), rtol=1e-3)
    if 'train/gradient_norms' in values:
        norms = {key: float(grads[our_name(key)].double().norm()) for key in values['train/gradient_norms']}
        yield Stage(('values', 'train/gradient_norms'), norms, rtol=1e-2, atol=1e-3)
    for name in golden['stages']:
        if name.startswith('train/grad/'):
            yield Stage(('stages', name), grads[our_name(name.removeprefix('train/grad/'))], rtol=1e-2, atol=1e-3)
