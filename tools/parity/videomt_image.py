"""Stages of EoMT, VidEoMT's image model, and two kinds of results that the toolbox itself does not offer: panoptic maps
and the instances of transformers."""
import math
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.datasets.transforms import ClipResize
from mmvis.models import EoMT
from mmvis.models.backbones import ViT
from mmvis.models.layers.query_instances import query_instances
from mmvis.models.layers.step_counter import poly_anneal

from .compare import Stage
from .videomt_inputs import moving_ellipses, official_weights, rgb_frames, targets_of
from .videos import load_official

LOSS = dict(rtol=1e-4, atol=1e-7)
_PARTS = {'loss_mask': 'loss_mask', 'loss_dice': 'loss_dice', 'loss_ce': 'loss_cross_entropy'}


class MaskedEoMT(EoMT):
    """Keeps what the queries may see, and draws at a share of 0 too, as the official code does."""

    def visible(self, *args: Any) -> Tensor:
        allowed = super().visible(*args)
        self.seen.append(allowed[:, :self.q.num_embeddings, -math.prod(args[1].size):])
        return allowed

    def decode(self, features: Any, masked: Any = None) -> list:
        self.seen: List[Tensor] = []
        return super().decode(features, masked and [share or 1e-9 for share in masked])


def image_stages(parity: Any) -> Iterator[Stage]:
    """The group ``image/`` of a file."""
    if not parity.has('image/'):
        return
    values = parity.golden['values']
    yield from parity.given('image/manifest')
    height, width = parity.sizes['image']
    manifest = parity.manifest('manifest_eomt_coco_panoptic_s.json')
    yield parity.value('image/keys not under network.encoder.backbone',
                       [key for key in manifest if not key.startswith('network.encoder.backbone.')])
    manifest['network.encoder.backbone.pos_embed'][0][1] = height // 16 * (width // 16)
    model = MaskedEoMT(ViT(grid=(height // 16, width // 16)), 133)
    load_official(model, official_weights(manifest, parity.salt, shift=2.))
    images = normalised(model, rgb_frames(2, height, width, parity.salt))
    features = model.encode(images)
    shares = {'masked': (1., 1., 1.), 'annealed': (0., 0.4, 0.7), 'unmasked_by_zero_prob': (0., 0., 0.)}
    outputs = {}
    for name, masked in shares.items():
        if parity.has(f'image/{name}/'):
            outputs[name] = yield from masked_attention(parity, model, features, name, masked)
    classes, masks = model.decode(features)[0]
    yield parity.stage('image/no_masked_attention.masks', masks)
    yield parity.stage('image/no_masked_attention.classes', classes)
    if 'image/target.labels' in values:
        yield from losses(parity, model, outputs['masked'], (height, width))
    yield from photos(parity, model, (height, width))
    for name in parity.keys('image/annealing'):
        start, end = (int(part.strip('()')) for part in name.split()[-3::2])
        yield parity.value(name, {step: poly_anneal(int(step), start, end) for step in values[name]}, atol=1e-7)


def normalised(model: EoMT, images: Tensor) -> Tensor:
    """uint8 RGB [N, 3, H, W] -> input of the network."""
    return model.data_preprocessor(dict(inputs=images.flip(1)))['inputs']


def masked_attention(parity: Any, model: MaskedEoMT, features: Any, name: str, masked: tuple) -> Iterator[Stage]:
    with mock.patch('torch.rand', parity.points):
        parity.points.restart()
        outputs = model.decode(features, masked)
    for i, (classes, masks) in enumerate(outputs):
        yield parity.stage(f'image/{name}/layer{i}.masks [B,Q,h4,w4]', masks)
        yield parity.stage(f'image/{name}/layer{i}.classes [B,Q,K+1]', classes)
    for i, seen in enumerate(model.seen):
        yield parity.value(f'image/{name}/block{i}.allowed query-to-patch entries [B]', seen.sum((1, 2)).float())
        yield parity.value(f'image/{name}/block{i}.rows all allowed [B]', seen.all(2).sum(1))
        yield parity.value(f'image/{name}/block{i}.rows none allowed [B]', (~seen.any(2)).sum(1))
    yield parity.value(f'image/{name}/draws', parity.points.draws)
    return outputs


def losses(parity: Any, model: EoMT, outputs: list, size: Tuple[int, int]) -> Iterator[Stage]:
    """Every layer in order, the last one at the end; only objects that are in the image."""
    targets = []
    for i, num in enumerate((5, 3)):
        labels, ids, masks = moving_ellipses(f'image{i}', num, 1, *size, 133, parity.salt)
        kept = ids[:, 0] >= 0
        targets.append(targets_of(labels[kept], ids[kept], masks[kept]))
    labels = [target.labels for target in targets]
    yield parity.value('image/target.labels', [x.tolist() for x in labels])
    found, matches, total = {}, [], 0.
    with mock.patch('torch.rand', parity.points):
        parity.points.restart()
        for i, layer in enumerate(outputs):
            pairs = model.match(*layer, targets)
            matches.append([[x.tolist() for x in one] for one in pairs])
            own = model.criterion.layer_losses(layer, pairs, labels, [x.masks[:, 0] for x in targets],
                                               max(1, sum(map(len, targets))))
            suffix = f'_block_{i - len(outputs) + 1}' if i < len(outputs) - 1 else ''
            found.update({_PARTS[name] + suffix: float(value) for name, value in own.items()})
            total += sum(model.criterion.weights[name] * float(value) for name, value in own.items())
    yield parity.value('image/losses_unweighted', found, **LOSS)
    yield parity.value('image/loss_total', total, **LOSS)
    yield parity.value('image/match [layer][image]', matches)
    yield parity.value('image/loss draws', parity.points.draws)


def photos(parity: Any, model: EoMT, size: Tuple[int, int]) -> Iterator[Stage]:
    """Pictures of any size: resized into the training size, padded, through the network without masks, and back."""
    images = [rgb_frames(1, *shape, f'{parity.salt}-{"ab"[i]}')[0] for i, shape in enumerate(parity.sizes['photos'])]
    padded, cuts = torch.zeros(len(images), 3, *size, dtype=torch.uint8), []
    for row, image in zip(padded, images):
        clip = Clip(1, 1, tuple(image.shape[-2:]), [ClipFrame(0, image.permute(1, 2, 0).numpy())])
        resized = ClipResize(scale=size[::-1], rule='fit')(clip, np.random.default_rng(0)).frames[0].image
        cuts.append(resized.shape[:2])
        row[:, :cuts[-1][0], :cuts[-1][1]] = torch.from_numpy(resized.copy()).permute(2, 0, 1)
    yield parity.value('image/scaled sizes', [list(cut) for cut in cuts])
    yield parity.stage('image/resized and padded', padded.long())
    classes, masks = model.decode(model.encode(normalised(model, padded)))[0]
    for i, image in enumerate(images):
        shape = tuple(image.shape[-2:])
        for name in parity.keys(f'image/instances{i}'):
            num = int(name.split('best ')[1].split()[0])
            found = query_instances(classes[i], masks[i], size, cuts[i], shape)
            yield parity.value(name, dict(
                scores=found.scores[:num].tolist(), labels=found.labels[:num].tolist(),
                areas=found.masks[:num].sum((1, 2)).tolist(), num=len(found.scores)), areas=(2, 0.))
        for name in parity.keys(f'image/panoptic{i}'):
            mask_thresh, overlap = (float(part.split()[-1].strip('()')) for part in name.split(','))
            full = F.interpolate(masks[i][None], size, mode='bilinear')[..., :cuts[i][0], :cuts[i][1]]
            full = F.interpolate(full, shape, mode='bilinear')[0]
            yield parity.value(name, panoptic(classes[i], full, mask_thresh, overlap), areas=(2, 0.))


def panoptic(classes: Tensor, masks: Tensor, mask_thresh: float, overlap: float,
             first_stuff: int = 80) -> Dict[str, list]:
    """Segments of an image: ids with areas and classes, the free pixels first (id -1, class K).

    Args:
        classes: [Q, K + 1]; masks: [Q, h, w], logits at the size of the image.
    """
    num_classes = classes.shape[1] - 1
    probs, labels = classes.softmax(-1).max(-1)
    kept = (labels != num_classes) & (probs > mask_thresh)
    probs, labels, masks = probs[kept], labels[kept], masks[kept].sigmoid()
    ids = torch.full(masks.shape[1:], -1)
    names, stuff = [], {}
    if len(probs):
        owner = (probs[:, None, None] * masks).argmax(0)
        for i, label in enumerate(labels.tolist()):
            whole, own = masks[i] >= 0.5, owner == i
            final = whole & own
            if not final.any() or own.sum() == 0 or own.sum() / whole.sum() < overlap:
                continue
            if label >= first_stuff and label in stuff:
                ids[final] = stuff[label]
                continue
            stuff[label] = len(names)
            ids[final] = len(names)
            names.append(label)
    present = ids.unique().tolist()
    return dict(ids=present, areas=[int((ids == i).sum()) for i in present],
                classes=[num_classes if i < 0 else names[i] for i in present])


def transformers_instances(classes: Tensor, masks: Tensor, size: Tuple[int, int], threshold: float = 0.5) -> dict:
    """What the post-processing of transformers finds in one frame; logits [Q, K + 1] and [Q, h4, w4]."""
    probs, labels = classes.softmax(-1)[:, :-1].max(-1)
    full = F.interpolate(masks[None], size, mode='bilinear', align_corners=False)[0]
    inside = full > 0
    quality = (full.sigmoid() * inside).flatten(1).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
    ids, info = torch.full(size, -1), []
    for score, label, mask in zip((probs * quality).tolist(), labels.tolist(), inside):
        if score >= threshold and mask.any():
            ids[mask] = len(info)
            info.append(dict(id=len(info), label_id=label, score=round(score, 6)))
    return dict(info=info, areas=[int((ids == entry['id']).sum()) for entry in info])
