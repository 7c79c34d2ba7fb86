"""Stages of the training of Mask2Former on images and of MinVIS: targets, matching, losses, gradients."""
from typing import Any, Dict, Iterator, List, Sequence, Tuple
from unittest import mock

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis.converters.mask2former import our_name
from mmvis.frame_sample import FrameSample
from mmvis.models import MinVIS
from mmvis.models.layers.clip_targets import ClipTargets
from mmvis.models.losses import QueryCriterion
from mmvis.models.mask2former import losses as module
from mmvis.models.mask2former.decoder import Prediction
from mmvis.models.mask2former.losses import frames_as_images, segmentation_losses

from .compare import Stage
from .minvis_inputs import NamedDraws, frames, ground_truth, network_input, raw_outputs, targets_of

LOSS = dict(rtol=1e-4, atol=1e-7)


def loss_stages(parity: Any) -> Iterator[Stage]:
    """The groups ``image_train/``, those of hand-made outputs, and ``train_T<frames of a clip>/``."""
    if parity.has('image_train/') or parity.has('image_raw_loss/'):
        yield from parity.given('image_train/recipe')
        yield from images(parity, parity.recipe('image_train'))
    for group in sorted({key.split('/')[0] for key in parity.keys('train_T')}):
        yield from parity.given(f'{group}/recipe')
        yield from clips(parity, group, parity.recipe(group))


def images(parity: Any, recipe: Dict[str, Any]) -> Iterator[Stage]:
    truth = [ground_truth(parity.salt, f'image{i}', 1, *size, num_classes=80) for i, size in enumerate(recipe['sizes'])]
    targets = [targets_of(*(x[:3] for x in one), recipe['padded']) for one in truth]
    yield from parity.value('image_train/targets', [dict(
        labels=x.labels.tolist(), areas=x.masks.sum((1, 2, 3)).tolist(), shape=list(x.masks[:, 0].shape))
        for x in targets])
    if parity.has('image_train/losses'):
        names = [f'{parity.salt}-image{i}-train{recipe["variant"]}' for i in range(len(targets))]
        rgb = [frames(1, *size, name) for size, name in zip(recipe['sizes'], names)]
        yield from network_losses(parity, 'image_train', parity.model('coco'), rgb, targets)
    none = [ClipTargets(x.labels[:0], x.instance_ids[:0], x.present[:0], x.masks[:0]) for x in targets]
    for group, objects in (('image_raw_loss', targets), ('image_no_objects', none),
                           ('image_one_empty', [targets[0], *none[1:]])):
        if parity.has(f'{group}/'):
            height, width = (side // 4 for side in recipe['padded'])
            outputs = raw_outputs(parity.salt, len(targets), height, width, classes=80)
            criterion = QueryCriterion(80)
            yield from losses(parity, group, criterion, [Prediction(*x, None) for x in outputs], objects)


def clips(parity: Any, group: str, recipe: Dict[str, Any]) -> Iterator[Stage]:
    num_frames, padded = recipe['frames_per_clip'], tuple(recipe['padded'])
    model: MinVIS = parity.model('ytvis19')
    model.label_rule = 'official'
    rgb, samples = [], []
    for b, size in enumerate(recipe['sizes']):
        rgb.append(frames(num_frames, *size, f'{parity.salt}-{group}-{b}-{recipe["variant"]}'))
        samples.append(samples_of(*ground_truth(parity.salt, f'clip{b}', num_frames, *size), padded))
    targets = model.targets(samples)
    ids = [x.instance_ids[:, None].where(x.present, -1) for x in targets]
    yield from parity.value(f'{group}/targets_per_clip', [dict(
        labels=x.labels.tolist(), ids=own.tolist(), areas=x.masks.sum((2, 3)).float().tolist())
        for x, own in zip(targets, ids)])
    images = [image for target in targets for image in frames_as_images(target, present_only=False)]
    yield from parity.value(f'{group}/targets_per_frame', [dict(
        labels=x.labels.tolist(), ids=own.tolist(), areas=x.masks.sum((1, 2, 3)).float().tolist())
        for x, own in zip(images, [y[:, t:t + 1] for y in ids for t in range(num_frames)])])
    yield from network_losses(parity, group, model, rgb, images)
    model.label_rule = 'annotated'


def samples_of(labels: Tensor, ids: Tensor, masks: Tensor, padded: Tuple[int, int]) -> List[FrameSample]:
    """Ground truth of a clip as the data path gives it: in a frame the objects that are there."""
    samples = []
    for t in range(ids.shape[1]):
        rows = ids[:, t] >= 0
        own = torch.nn.functional.pad(masks[rows, t].to(torch.uint8), (
            0, padded[1] - masks.shape[-1], 0, padded[0] - masks.shape[-2]))
        samples.append(FrameSample(metainfo=dict(img_shape=masks.shape[-2:]), gt_instances=InstanceData(
            labels=labels[rows], instance_ids=ids[rows, t], masks=own)))
    return samples


def network_losses(parity: Any, group: str, model: Any, rgb: Sequence[Any], images: List[ClipTargets]
                   ) -> Iterator[Stage]:
    clip = network_input(model, rgb).flatten(0, 1)
    for name in parity.keys(f'{group}/input', 'stages'):
        yield from parity.stage(name, clip)
    predictions = model.segmenter(clip)
    last = predictions[-1]
    yield from parity.stage(f'{group}/layer9.pred_logits', last.logits)
    yield from parity.stage(f'{group}/layer9.pred_masks [B*T,Q,1,h,w]', last.masks[:, :, None])
    total = yield from losses(parity, group, model.criterion, predictions, images)
    if parity.has(f'{group}/grad'):
        model.zero_grad()
        total.backward()
        yield from gradients(parity, group, model)


def losses(parity: Any, group: str, criterion: Any, predictions: Sequence[Prediction], images: List[ClipTargets]
           ) -> Iterator[Stage]:
    """Matches, draws and losses; returns their sum."""
    matches, original = [], module.match_images

    def match(*args: Any) -> list:
        pairs = original(*args)
        matches.append([[x.tolist() for x in one] for one in pairs])
        return pairs

    num = len(predictions)
    draws = NamedDraws(parity.salt, group, [num - 1, *range(num - 1)], [len(image) > 0 for image in images])
    with mock.patch('torch.rand', draws), mock.patch.object(module, 'match_images', match):
        found, _ = segmentation_losses(criterion, predictions, images)
    yield from parity.value(f'{group}/match [layer 9, 0..8][image][query list, gt list]', matches)
    weights = {name: criterion.weights['_'.join(name.split('_')[:2])] for name in found}
    yield from parity.value(f'{group}/losses_unweighted', {k: float(v.detach()) / weights[k] for k, v in found.items()}, **LOSS)
    yield from parity.value(f'{group}/losses_weighted', {k: float(v.detach()) for k, v in found.items()}, **LOSS)
    total = sum(found.values())
    yield from parity.value(f'{group}/total', float(total.detach()), **LOSS)
    yield from parity.value(f'{group}/rand_calls_first_layer', first_draws(draws, group, images, criterion.num_points))
    return total


def first_draws(draws: NamedDraws, group: str, images: List[ClipTargets], num_points: int) -> List[list]:
    """Draws of the first layer. The official code draws for images without objects too, and uses nothing of it."""
    calls = iter(draws.calls)
    first = [next(calls) if len(image) else [f'{group}-match-layer9-image{b}', [1, num_points, 2]]
             for b, image in enumerate(images)]
    return [*first, next(calls), next(calls)]


def gradients(parity: Any, group: str, model: Any) -> Iterator[Stage]:
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    norms = parity.golden['values'].get(f'{group}/grad_norm', {})
    yield from parity.value(f'{group}/grad_norm', {key: float(grads[our_name(key)].double().norm()) for key in norms},
                            rtol=1e-3, atol=0.)
    yield from parity.value(f'{group}/without_grad', [name for name, grad in grads.items() if grad is None])
    every = torch.stack([grad.double().norm() for grad in grads.values()])
    yield from parity.value(f'{group}/grad_norm_all', float(every.norm()), rtol=1e-3, atol=0.)
    for name in parity.keys(f'{group}/grad/', 'stages'):
        spread = parity.golden['stages'][name]['std']
        yield from parity.stage(name, grads[our_name(name.split('/grad/')[1])], rtol=1e-2, atol=1e-2 * spread)
    model.zero_grad()
