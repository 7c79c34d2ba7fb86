"""Stages of the training of PMT and LVMT: whole networks in training mode, clips in chunks, groups, rates, frames."""
import copy
import random
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from mmvis.converters.lvmt import our_name
from mmvis.datasets.clip_sampling import RandomClips
from mmvis.engine.layer_decay import TwoStagePoly, layer_decay_groups
from mmvis.models import LVMT
from mmvis.models.backbones import ViT
from mmvis.models.layers.clip_targets import ClipTargets

from .compare import Stage
from .lvmt_inputs import long_clip
from .videomt import GRADIENT, LOSS, official_order, padded, prepare
from .videomt_data import LegacyDraws
from .videomt_inputs import moving_ellipses, rgb_frames, targets_of

_EXACT = dict(rtol=1e-9, atol=1e-15)
#: Factors of the rotary coordinates; of the clip in chunks, one a chunk.
_STRETCH = dict(train=1.25, train_b2=1., train_dinov2=0.8)
_CHUNK_STRETCH = (1., 1.3, 0.75)


def training_stages(parity: Any) -> Iterator[Stage]:
    """The groups ``train*/``, ``tqp/``, ``unchunked/``, ``optim/`` and ``sampler/`` of one system."""
    yield from optimizer(parity)
    for name in parity.keys('sampler/'):
        yield parity.value(name, drawn_frames(name, parity.reference(name)))
    for group in _STRETCH:
        if parity.has(f'{group}/'):
            yield from training(parity, group)
    if parity.has('tqp/'):
        yield from chunked(parity)
    if parity.has('unchunked/'):
        yield from unchunked(parity)


# Beside the network

def drawn_frames(name: str, reference: dict) -> Dict[str, List[int]]:
    num_frames, reach = (int(x) for x in re.search(r'T(\d+)_R(\d+)', name).groups())
    ours = {}
    for key in reference:
        length, seed = (int(part) for part in key[1:].split('_seed'))
        draws = LegacyDraws(seed, random.Random(seed))
        ours[key] = RandomClips(num_frames, reach).draw(np.arange(length), length, -1, draws)
    return ours


def trained_names(manifest: Dict[str, list]) -> List[str]:
    """Official names of what is trained, in the order of the file."""
    return [key for key in manifest if not key.startswith('backbone.encoder.') and not key.endswith(
        ('attn_mask_probs', 'empty_weight', 'running_mean', 'running_var', 'num_batches_tracked'))]


def optimizer(parity: Any) -> Iterator[Stage]:
    if not parity.has('optim/'):
        return
    with torch.device('meta'):
        model = LVMT(ViT(position='rotary', eps=1e-5), data_preprocessor=None, **parity.settings)
    groups = layer_decay_groups(model, 1e-4, 0.05, 1.)
    by_name = {group['name']: group for group in groups}
    name = 'optim/groups in order: [name, lr, weight_decay]'
    if parity.keys(name):
        keys = trained_names(parity.manifest(parity.MANIFESTS[parity.system]))
        rows = [[key, *(by_name[joined_name(key)][kind] for kind in ('lr', 'weight_decay'))] for key in keys]
        yield parity.value(name, rows[::-1] if parity.system == 'lvmt' else rows, **_EXACT)
    for name in parity.keys('optim/lr at step'):
        steps = int(re.search(r'\((\d+) iterations\)', name)[1])
        schedule = TwoStagePoly(torch.optim.AdamW(groups), steps, warmup=(6000, 0))
        yield parity.value(name, {step: 1e-4 * schedule.factor(int(step), late=False)
                                  for step in parity.reference(name)}, **_EXACT)


# Whole networks

def joined_name(key: str) -> str:
    """Our parameter that holds an official one."""
    return re.sub(r'\.attention\.[qkv]_proj\.', '.attn.qkv.', our_name(key))


def gradient(model: LVMT, key: str) -> Optional[Tensor]:
    """Gradient of an official parameter; ours has the projections of an attention in one."""
    grad = dict(model.named_parameters())[joined_name(key)].grad
    part = re.search(r'\.attention\.([qkv])_proj\.', key)
    return grad.chunk(3)['qkv'.index(part[1])] if part and grad is not None else grad


def training(parity: Any, group: str) -> Iterator[Stage]:
    """A step of clips in training mode; in 'train' with its gradients."""
    model = copy.deepcopy(parity.small(dinov2=group == 'train_dinov2')).train()
    num_clips = len(parity.keys(f'{group}/target'))
    num_frames = parity.reference(f'{group}/aux0.pred_logits', 'stages')['shape'][0] // num_clips
    sizes = [tuple(parity.sizes['train']), tuple(parity.sizes['train2'])][:num_clips]
    clips = prepare(model, [rgb_frames(num_frames, *size, f'{parity.salt}-{b}') for b, size in enumerate(sizes)])
    counts = (3 if group == 'train_dinov2' else 5, 3)
    truth = [moving_ellipses(f'train{b}', counts[b], num_frames, *size, 40, parity.salt) for b, size in enumerate(sizes)]
    targets = [targets_of(labels, ids, padded(masks, *clips.shape[-2:])) for labels, ids, masks in truth]
    for b, target in enumerate(targets):
        yield parity.value(f'{group}/target{b}.labels', target.labels)
    with torch.enable_grad():
        layers, _, size = model.clip_layers(clips, stretch=_STRETCH[group])
        outputs = predictions(model, layers, size, num_clips)
        yield from layer_stages(parity, group, outputs)
        found, matches = parity.recorded_losses(model, outputs, targets)
        num_weighted = 3 * (len(outputs) - 1)
        if group == 'train':
            sum(list(found.values())[:num_weighted]).backward()
    yield parity.value(f'{group}/match [last, aux0, ..][frame][queries, instances]', matches)
    yield parity.value(f'{group}/draws', parity.points.draws)
    yield from parity.named_losses(group, model, found, num_weighted)
    trained = trained_names(parity.manifest(parity.MANIFESTS[parity.system]))
    # Ours stays in inference mode; of the other mode it has the factor that is drawn.
    yield parity.value(f'{group}/modes', dict(encoder_training=model.stretch != 1, trained=len(trained)))
    yield from norm_statistics(parity, group, model)
    if group == 'train':
        yield from gradients(parity, group, model)


def predictions(model: LVMT, layers: List[Tensor], size: Tuple[int, int], num_clips: int) -> List[Tuple[Tensor, Tensor]]:
    """Of the tokens that enter every block of the decoder, and the output as the official code orders it."""
    outputs = [model.predict(tokens, size, norm=False) for tokens in layers[:-1]]
    return [*outputs, tuple(official_order(x, num_clips) for x in model.predict(layers[-1], size))]


def layer_stages(parity: Any, group: str, outputs: List[Tuple[Tensor, Tensor]]) -> Iterator[Stage]:
    yield parity.stage(f'{group}/pred_logits [B*T,Q,K+1]', outputs[-1][0])
    yield parity.stage(f'{group}/pred_masks [B*T,Q,1,h4,w4]', outputs[-1][1][:, :, None])
    for i, (logits, masks) in enumerate(outputs[:-1]):
        yield parity.stage(f'{group}/aux{i}.pred_logits', logits)
        yield parity.stage(f'{group}/aux{i}.pred_masks', masks[:, :, None])


def norm_statistics(parity: Any, group: str, model: LVMT) -> Iterator[Stage]:
    for name in parity.keys(f'{group}/bn.', 'stages'):
        level, kind = re.search(r'bn\.(\d+)\.(\w+) after', name).groups()
        yield parity.stage(name, getattr(model.levels[int(level)].norm, kind))


def gradients(parity: Any, group: str, model: LVMT) -> Iterator[Stage]:
    norms = {key: float(gradient(model, key).double().norm()) for key in parity.reference(f'{group}/grad_norms')}
    yield parity.value(f'{group}/grad_norms', norms, **GRADIENT)
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name in parity.keys(f'{group}/grad_norm_all'):
        yield parity.value(name, float(torch.stack([x.double().norm() for x in grads.values()]).norm()), **GRADIENT)
    for name in parity.keys(f'{group}/without_grad'):
        yield parity.value(name, [name for name, grad in grads.items() if grad is None])
    for name in parity.keys(f'{group}/grad/', 'stages'):
        yield parity.stage(name, gradient(model, name[len(f'{group}/grad/'):]), **GRADIENT)


# Clips in chunks

def long_truth(parity: Any) -> tuple:
    """Frames, and labels, ids and masks of the objects, of the clip that is trained in chunks."""
    num_frames = parity.reference('tqp/target.masks', 'stages')['shape'][1]
    size = parity.sizes['tqp']
    return rgb_frames(num_frames, *size, parity.salt), long_clip('tqp', num_frames, *size, 25, parity.salt)


def chunk_targets(labels: Tensor, ids: Tensor, masks: Tensor, frames: slice) -> Tuple[ClipTargets, Tensor]:
    """The objects that are in these frames, and their ids [F, n]."""
    here = (ids[:, frames] >= 0).any(1)
    return targets_of(labels[here], ids[here, frames], masks[here, frames]), ids[here, frames].T


def chunked(parity: Any) -> Iterator[Stage]:
    """Chunk after chunk from the queries that the one before left, backward of its share of the loss after each."""
    model = copy.deepcopy(parity.small()).train()
    images, (labels, ids, masks) = long_truth(parity)
    yield parity.value('tqp/target.labels', labels)
    yield parity.value('tqp/target.ids', ids)
    yield parity.stage('tqp/target.masks', masks.float())
    clips, length = prepare(model, [images]), parity.reference('tqp/chunk0/aux0.pred_logits', 'stages')['shape'][0]
    queries, totals = None, []
    of_file = {key.split('/')[1] for key in parity.keys('tqp/chunk')}    # of a part of a file, the first ones
    for c in range(len(of_file)):
        frames, group = slice(c * length, (c + 1) * length), f'tqp/chunk{c}'
        targets, chunk_ids = chunk_targets(labels, ids, masks, frames)
        yield parity.value(f'{group}/target.labels', targets.labels)
        yield parity.value(f'{group}/target.ids [frame][instance]', chunk_ids)
        with torch.enable_grad():
            layers, queries, size = model.clip_layers(clips[:, frames], queries, _CHUNK_STRETCH[c])
            outputs = predictions(model, layers, size, 1)
            yield from layer_stages(parity, group, outputs)
            found, matches = parity.recorded_losses(model, outputs, [targets])
            total = sum(list(found.values())[:3 * (len(outputs) - 1)])
            (total / (len(images) // length)).backward()
        queries = queries.detach()
        totals.append(float(total))
        yield parity.value(f'{group}/match [last, aux0, ..][frame][queries, instances]', matches)
        yield parity.value(f'{group}/draws', parity.points.draws)
        yield from parity.named_losses(group, model, found, 3 * (len(outputs) - 1))
        yield parity.stage(f'tqp/state after chunk {c}', queries)
        for kind, parameter in (('q.weight', model.q.weight), ('weight_hh', model.query_gru.weight_hh)):
            yield parity.value(f'tqp/norm of the gradient of {kind} after chunk {c}', float(parameter.grad.double().norm()),
                               **GRADIENT)
    if parity.keys('tqp/grad_norms'):
        yield parity.value('tqp/total (mean over the chunks)', sum(totals) / len(totals), **LOSS)
        yield from norm_statistics(parity, 'tqp', model)
        yield from gradients(parity, 'tqp', model)


def unchunked(parity: Any) -> Iterator[Stage]:
    """The same clip in one piece."""
    model = copy.deepcopy(parity.small()).train()
    images, truth = long_truth(parity)
    with torch.enable_grad():
        layers, _, size = model.clip_layers(prepare(model, [images]))
        outputs = predictions(model, layers, size, 1)
        found, matches = parity.recorded_losses(model, outputs, [targets_of(*truth)])
        sum(list(found.values())[:3 * (len(outputs) - 1)]).backward()
    yield parity.value('unchunked/match [last, aux0, ..][frame][queries, instances]', matches)
    yield parity.value('unchunked/draws', parity.points.draws)
    yield from parity.named_losses('unchunked', model, found, 3 * (len(outputs) - 1))
    yield from gradients(parity, 'unchunked', model)
