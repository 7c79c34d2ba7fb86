"""Training stages of InstanceFormer: one batch through the training forward, in float64 as the reference numbers."""
from typing import Any, Dict, Iterator, List

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import box_convert

from mmvis.converters.instanceformer import our_name
from mmvis.frame_sample import FrameSample
from mmvis.models import InstanceFormer
from mmvis.models.instanceformer.matching import Match, clip_targets
from mmvis.structures import decode_rle

from .compare import Stage

LOSS = dict(rtol=1e-4, atol=1e-7)
#: Our names of the terms of the last layer; those of the other layers have the same suffixes.
_TERMS = dict(supcon='contrastive')


def training_samples(target: Dict[str, Any], num_frames: int, padded: List[int]) -> List[FrameSample]:
    """Samples of one clip from the targets of a recipe; an object with an empty mask is absent from its frame."""
    height, width = target['size']
    size = torch.tensor([width, height, width, height])
    samples = []
    for t in range(num_frames):
        masks = [decode_rle(dict(size=target['size'], counts=counts)) for counts in target['masks_rle'][t]]
        present = [index for index, mask in enumerate(masks) if mask.any()]
        boxes = torch.tensor(target['boxes_cxcywh'][t])[present]
        stack = torch.from_numpy(np.stack(masks))[present]
        instances = InstanceData(
            bboxes=box_convert(boxes, 'cxcywh', 'xyxy') * size, labels=torch.tensor(target['labels'])[present],
            masks=F.pad(stack, (0, padded[1] - width, 0, padded[0] - height)), instance_ids=torch.tensor(present))
        samples.append(FrameSample(metainfo=dict(img_shape=(height, width)), gt_instances=instances))
    return samples


def mix_clips(model: InstanceFormer) -> None:
    """The official attention to the memory of several clips: key r of clip b is token r B + b of all clips in a row."""
    own = model.memory.forward

    def mixed(bank):
        memory = own(bank)
        return memory and tuple(x.reshape(x.shape[1], x.shape[0], -1).transpose(0, 1) for x in memory)
    model.memory.forward = mixed


def loss_stages(name: str, entry: Dict[str, Any], model: InstanceFormer, clips: Any) -> Iterator[Stage]:
    """Stages of one batch; ``model`` in float64."""
    top, num_frames = ('train', name), entry['num_frames']
    for key in ('targets', 'num_frames', 'sizes', 'official'):
        yield Stage((*top, key), given=True)
    if entry['official'] and model.memory is not None:
        mix_clips(model)
    padded = [-(-max(size[axis] for size in entry['sizes']) // 32) * 32 for axis in (0, 1)]
    images = [clips.normalised(num_frames, *size) for size in entry['sizes']]
    images = torch.stack([F.pad(x, (0, padded[1] - x.shape[-1], 0, padded[0] - x.shape[-2])) for x in images]).double()
    samples = [training_samples(target, num_frames, padded) for target in entry['targets']]

    terms = model.loss_terms(images, samples)
    for value in entry['loss'].keys() - entry['weights'].keys():
        assert value.startswith('cardinality_error'), value
    weights = {key: model.loss_weights[_plain(key).split('_')[0]] for key in entry['weights']}
    yield Stage((*top, 'weights'), weights)
    ours = {key: float(terms[_plain(key)].detach()) for key in entry['weights']}
    total = sum(terms[_plain(key)] * weight for key, weight in weights.items())
    yield from _output_stages(top, entry, model, images, samples, ours)
    total.backward()
    yield Stage((*top, 'total'), float(total.detach()), **LOSS)
    yield Stage((*top, 'total_float64'), float(total.detach()), **LOSS)
    parameters = dict(model.named_parameters())
    squares = sum(float(p.grad.square().sum()) for p in parameters.values() if p.grad is not None)
    yield Stage((*top, 'grad_norm_float64'), squares ** 0.5, rtol=1e-4)
    yield Stage((*top, 'grad_norm'), squares ** 0.5)                     # of the official float32 run
    for key, reference in entry['grads'].items():
        # The class propagation is the identity: no gradient reaches its weights, and we have none.
        gone = 'temporal_class_embed' in key
        grad = torch.zeros(reference['shape']) if gone else parameters[our_name(key)].grad
        scale = float(np.abs(reference['value']).max()) or 1.
        yield Stage((*top, 'grads', key), grad, atol=1e-4 * max(1., scale))
        norm = float(grad.norm())
        yield Stage((*top, 'grads', key, 'norm_float64'), norm, rtol=1e-4)


def _plain(key: str) -> str:
    key = key.removeprefix('loss_')
    return _TERMS.get(key, key)


def _output_stages(top: tuple, entry: Dict[str, Any], model: InstanceFormer, images: Tensor,
                   samples: List[List[FrameSample]], ours: Dict[str, float]) -> Iterator[Stage]:
    """Network outputs, matches and the logged error, from a second run without gradients."""
    with torch.no_grad():
        targets = [clip_targets(clip, model.class_units, images.shape[-2:]) for clip in samples]
        frames, matches, slots = model.run_clips(images, samples, targets)
        sizes = images.new_tensor([clip[0].img_shape[::-1] for clip in samples])
        outputs: Dict[str, Tensor] = {}
        for layer in range(len(matches)):
            prefix = 'output.' if layer == len(matches) - 1 else f'output.aux{layer}.'
            logits = torch.stack([frame.logits[layer] for frame in frames])
            outputs[prefix + 'pred_logits'] = logits
            outputs[prefix + 'pred_boxes'] = torch.stack([frame.decoded.boxes[layer] for frame in frames])
            outputs[prefix + 'pred_masks'] = _masks(model, frames, layer, matches, sizes)
            objects = logits.new_tensor([len(target.classes) for target in targets])
            counted = (logits.argmax(-1) != logits.shape[-1] - 1).sum(-1)
            suffix = '' if layer == len(matches) - 1 else f'_{layer}'
            ours['cardinality_error' + suffix] = float((counted - objects).abs().mean())
        if model.memory is not None:
            chosen = torch.stack(slots, dim=1)
            features = torch.stack([frame.decoded.features[-1] for frame in frames], dim=1)
            index = chosen[..., None].expand(-1, -1, -1, features.shape[-1])
            outputs['output.supcon_feats'] = features.gather(2, index)
            labels = [torch.where(torch.isin(own, match[0]), own, 301) for own, match in zip(chosen, matches[-1])]
            outputs['output.supcon_idx'] = torch.stack(labels)
    for kind in ('loss', 'loss_float64'):
        for key in entry[kind]:
            yield Stage((*top, kind, key), ours[key], **LOSS)
    yield Stage((*top, 'indices_per_layer'), [[[x.tolist() for x in match] for match in layer] for layer in matches])
    tokens = model.tokens(images[:, 0], _padding(images, samples))
    yield Stage((*top, 'valid_ratios'), tokens.valid_ratios[:, 0])
    for key in entry['stages']:
        yield Stage((*top, 'stages', key), outputs[key], atol=2e-3 if 'masks' in key else 1e-4)


def _masks(model: InstanceFormer, frames: List[Any], layer: int, matches: List[List[Match]], sizes: Tensor) -> Tensor:
    """[T, N, 1, h, w] at the slots that the official code takes: from the second frame on those of the last layer."""
    out = []
    for t, frame in enumerate(frames):
        own = matches[-1] if t else matches[layer]
        clip = torch.cat([torch.full_like(slots, number) for number, (slots, _) in enumerate(own)])
        out.append(model.masks_of(frame, layer, clip, torch.cat([slots for slots, _ in own]), sizes)[:, None])
    return torch.stack(out)


def _padding(images: Tensor, samples: List[List[FrameSample]]) -> Tensor:
    padding = torch.ones(len(images), *images.shape[-2:], dtype=torch.bool)
    for mask, clip in zip(padding, samples):
        height, width = clip[0].img_shape
        mask[:height, :width] = False
    return padding
