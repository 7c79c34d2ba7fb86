"""Stages of InstanceFormer, as the recipe inside its parity files states them."""
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
import torch
from mmdet.models.layers import SinePositionalEncoding
from mmdet.models.utils import aligned_bilinear
from torch import Tensor

from mmvis.converters import convert_state_dict
from mmvis.datasets import VISDataset
from mmvis.errors import InputError
from mmvis.models import InstanceFormer
from mmvis.models.instanceformer.mask_head import mask_logits
from mmvis.models.instanceformer.model import FrameOutput, next_reference
from mmvis.ops.deform_attn import ms_deform_attn
from mmvis.structures import VideoInfo, VideoResult, decode_rle

from . import fill
from .compare import Stage
from .instanceformer_losses import loss_stages

#: Variant -> (manifest, class units, memory).
VARIANTS = dict(ytvis=('manifest.json', 42, None), ovis=('manifest_ovis.json', 27, dict(num_tokens=10, num_frames=3)),
                coco=('manifest_coco.json', 91, None))
#: Two candidate slots whose best scores are nearer than this may change places, and the last ones with those cut off.
TIE = 1e-5


def build(variant: str, manifest_dir: Path, salt: str, **options: Any) -> InstanceFormer:
    """The official R50 model of a variant with the weights of the salt, filled through the converter.

    Every class unit counts as a class of its own, as in the official code.
    """
    manifest, num_classes, memory = VARIANTS[variant]
    backbone = dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(1, 2, 3), frozen_stages=1,
                    norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='pytorch')
    neck = dict(type='mmdet.ChannelMapper', in_channels=[512, 1024, 2048], kernel_size=1, out_channels=256,
                norm_cfg=dict(type='GN', num_groups=32), act_cfg=None, bias=True, num_outs=4)
    model = InstanceFormer(backbone, neck, num_classes, memory=memory, **options)
    weights = fill.state_dict(json.loads((manifest_dir / manifest).read_text()), salt)
    state_dict, report = convert_state_dict(weights, model)
    if report.missing or report.unexpected or any('shape' in why for why in report.dropped.values()):
        raise InputError(f'The official state dict does not fit:\n{report}')
    model.load_state_dict(state_dict, strict=True)
    return model.eval()


class Clips:
    """The clips of a file: ``fill.frames`` with the pixels that differ between versions of NumPy put right."""

    def __init__(self, golden: Dict[str, Any], salt: str) -> None:
        self.listed, self.salt = golden['frames'], salt

    def frames(self, num: int, height: int, width: int) -> np.ndarray:
        """uint8 [T, h, w, 3] BGR."""
        name, clip = f'{num}x{height}x{width}', fill.frames(num, height, width, self.salt)
        listed = self.listed.get(name)
        if listed is None:
            raise InputError(f'frames.{name} is not in the file.')
        for t, y, x, channel, value in listed['edge_pixels']:
            clip[t, y, x, channel] = value
        if zlib.crc32(clip.tobytes()) != listed['crc32']:
            raise InputError(f'frames.{name}: the clip has another checksum than the file says.')
        return clip

    def normalised(self, num: int, height: int, width: int) -> Tensor:
        """float32 [T, 3, h, w] RGB."""
        rgb = torch.from_numpy(self.frames(num, height, width)[..., ::-1].copy()).permute(0, 3, 1, 2) / 255.
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return (rgb - mean) / std


def op_stages(salt: str) -> Iterator[Stage]:
    encoding = SinePositionalEncoding(128, normalize=True, offset=-0.5)

    def normal(key: str, *shape: int) -> Tensor:
        return fill.parameter(f'op.{key}', shape, 'float32', salt) * float(np.prod(shape[1:])) ** 0.5

    levels = torch.tensor([[12, 20], [6, 10], [3, 5], [2, 3]])
    starts = levels.prod(1).cumsum(0) - levels.prod(1)
    weights = normal('msda.attn', 2, 7, 8, 16).softmax(-1).view(2, 7, 8, 4, 4)
    sampled = ms_deform_attn(normal('msda.value', 2, 321, 8, 32), levels, starts,
                             0.5 + 0.4 * normal('msda.loc', 2, 7, 8, 4, 4, 2), weights)
    yield Stage(('ops', 'op.msda.output'), sampled)
    mask = torch.zeros(2, 6, 10)
    mask[1, 4:], mask[1, :, 7:] = 1, 1
    yield Stage(('ops', 'op.sine_pos'), encoding(mask))
    for rows in range(1, 5):
        yield Stage(('ops', f'op.temporal_pos.{rows}'), encoding(torch.zeros(1, rows, 1)))
    start = (normal('ref.query', 1, 9, 256) @ (normal('ref.weight', 2, 256) / 16).T
             + 0.1 * normal('ref.bias', 2)).sigmoid()
    before = normal('ref.prev', 1, 1, 9, 2).sigmoid()[:, 0]
    for name, rule in (('first', None), ('multiply', 'multiply'), ('add', 'add')):
        yield Stage(('ops', f'op.reference.{name}'), next_reference(before, start, rule))
    centres = normal('mask.ref', 1, 5, 2).sigmoid()[0] * torch.tensor([80., 48.])
    logits = mask_logits(normal('mask.feats', 1, 8, 6, 10).relu(), centres, 0.2 * normal('mask.params', 1, 5, 169)[0])
    yield Stage(('ops', 'op.dynamic_mask.logits'), logits[None])
    yield Stage(('ops', 'op.aligned_bilinear'), aligned_bilinear(normal('up.x', 1, 2, 5, 7), 2))


def watch(model: InstanceFormer, modules: Dict[str, torch.nn.Module]) -> Dict[str, Tensor]:
    """The last output of some modules, by the given names; filled when the model runs."""
    seen: Dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module, inputs, output):
            seen[name] = output[0] if isinstance(output, tuple) else output
        return hook

    for name, module in modules.items():
        module.register_forward_hook(keep(name))
    return seen


def network_stages(model: InstanceFormer, images: Tensor) -> Dict[str, Any]:
    """Everything that the inference recipes list of a clip run frame by frame, by name."""
    watched = {f'backbone.layer{i}': getattr(model.backbone, f'layer{i}') for i in range(1, 5)}
    watched.update({f'input_proj.level{i}': conv for i, conv in enumerate(model.neck.convs)})
    watched.update({'input_proj.level3': model.neck.extra_convs[0], 'encoder.layer0': model.encoder.layers[0]})
    if model.memory is not None:
        watched['memory_attn'] = model.decoder.layers[0].memory_attn
    seen = watch(model, watched)
    num, (height, width) = len(images), images.shape[-2:]
    size = torch.tensor([width, height])
    tokens = model.tokens(images)
    out: Dict[str, Any] = dict(input=images, **{k: v for k, v in seen.items() if k.startswith(('backbone', 'input'))})
    for level, shape in enumerate(tokens.shapes[:3]):
        out[f'pos_embed.level{level}'] = model.encoding(torch.zeros(1, *shape)).expand(num, -1, -1, -1)
    mask_features = model.mask_features(tokens.maps(3))
    carried, frames = model.begin(1), []
    for t in range(num):
        top = f'frame{t}'
        if carried.bank:
            values, places = model.memory(carried.bank)
            out.update({f'{top}.memory.bank_tokens': values.shape[1], f'{top}.memory.proj_mean': values.mean(1),
                        f'{top}.memory.pos_mean': places.mean(1)})
        decoded = model.decode(tokens.select(t), carried)
        logits = model.class_branches[-1](decoded.features[-1])
        params, centres = model.controller(decoded.features[-1]), decoded.references[-1][..., :2] * size
        masks = mask_logits(mask_features[t:t + 1], centres[0], params[0])
        out.update({f'{top}.encoder.layer0': seen['encoder.layer0'][t:t + 1],
                    f'{top}.encoder.memory': tokens.values[t:t + 1], f'{top}.init_reference': decoded.references[0],
                    f'{top}.decoder.hs': torch.stack(decoded.features),
                    f'{top}.decoder.inter_references': torch.stack(decoded.boxes),
                    f'{top}.class_logits_before_propagation': logits, f'{top}.controller': params,
                    f'{top}.mask_features': mask_features[t:t + 1], f'{top}.mask_reference_px': centres,
                    f'{top}.mask_logits': masks[None]})
        if carried.bank:
            out[f'{top}.decoder.layer0.memory_attn'] = seen['memory_attn']
        carried = model.carry(decoded, logits, carried)
        if model.memory is not None:
            out.update(_memory_stages(model, top, carried, logits))
        frames.append((logits, decoded.boxes[-1], masks[:, None], decoded.features[-1][0]))
    for name, values in zip(('logits', 'boxes', 'masks', 'features'), zip(*frames)):
        out[f'output.pred_{name}'] = torch.stack(values)
    return out


def _memory_stages(model: InstanceFormer, top: str, carried: Any, logits: Tensor) -> Dict[str, Any]:
    slots, order = carried.slots[0].sort()
    best = logits.sigmoid().amax(-1)[0].sort(descending=True).values
    return {f'{top}.memory.query_index_sorted': slots.tolist(),
            f'{top}.memory.topk_margin': float(best[model.memory.num_tokens - 1] - best[model.memory.num_tokens]),
            f'{top}.memory.tokens_sorted_by_query': carried.bank[-1].values[0, order],
            'memory.temporal_pos': model.memory.frame_positions().T[None, :, :, None]}


def inference_stages(golden: Dict[str, Any], variant: str, model: InstanceFormer, clips: Clips) -> Iterator[Stage]:
    for name, entry in golden.get('inference', {}).items():
        if not name.startswith(variant):
            continue
        config = entry['config']
        yield Stage(('inference', name, 'config'), given=True)
        ours = network_stages(model, clips.normalised(config['num_frames'], config['height'], config['width']))
        atol = golden['suggested_atol'].get(name, {})
        for part in ('info', 'stages'):
            for key in entry.get(part, ()):
                # Without a number of its own a stage has that of the same stage of the larger clip.
                least = atol.get(key, golden['suggested_atol'][variant].get(key, 1e-4))
                yield Stage(('inference', name, part, key), ours.get(key), atol=least)
        if not entry.get('info', True):
            yield Stage(('inference', name, 'info'), given=True)


# Post-processing

def entries(result: VideoResult) -> List[dict]:
    """The tracks of a video as the parity files list them; labels are class units here."""
    out = []
    for track in result.tracks:
        masks = [track.masks.get(t) for t in range(result.num_frames)]
        text = '|'.join('None' if mask is None else mask['counts'] for mask in masks)
        out.append(dict(category_id=track.label, score=track.score, rle_crc32=zlib.crc32(text.encode()),
                        areas=[None if mask is None else int(decode_rle(mask).sum()) for mask in masks]))
    return out


def forgive(ours: dict, reference: dict, pixels: int) -> dict:
    """``ours`` with the areas and the checksum of ``reference``, where all areas are within some border pixels."""
    pairs = list(zip(ours['areas'], reference['areas']))
    near = all((a is None) == (b is None) and (a is None or abs(a - b) <= pixels) for a, b in pairs)
    return {**ours, 'areas': reference['areas'], 'rle_crc32': reference['rle_crc32']} if near else ours


def finish_video(model: InstanceFormer, state: Any, frames: List[Any]) -> VideoResult:
    rest, verdicts = model.finish(state)
    return VideoResult.from_frames(state.video, [*frames, *rest], verdicts)


class HandMade(InstanceFormer):
    """The post-processing alone: a frame brings the mask logits of all slots in place of mask features."""

    def frame_masks(self, state: Any, frame: FrameOutput) -> Tensor:
        return frame.mask_features[state.slots]


def post_stages(golden: Dict[str, Any], salt: str) -> Iterator[Stage]:
    num_frames, size = 13, (96, 160)
    masks = 2 * fill.unit('post.masks', (num_frames, 300, 24, 40), salt)
    masks[:, ::5] -= 1000
    for name in golden['post']:
        units = 42 if name.startswith('ytvis') else 27
        logits = 1.5 * fill.unit('post.logits', (num_frames, 300, units), salt) - 5
        logits -= 9. if name.endswith('low_scores') else 0.
        slots = torch.arange(0, 300, 3)
        logits[:, slots, (7 * slots + 1) % units] += 4
        model = HandMade(torch.nn.Identity(), torch.nn.Identity(), units, encoder_layers=1, decoder_layers=1)
        state = model.start(VideoInfo(7, size, (360, 600), 0., num_frames))
        frames = []
        for scores, logits_of_masks in zip(logits.sigmoid(), masks):
            empty = torch.zeros(300, 4)
            state.waiting.append(FrameOutput(scores, empty, empty, empty, empty, empty, logits_of_masks))
            frames += model.follow(state)
        result, top = finish_video(model, state, frames), ('post', name)
        for key in ('keys', 'video_id', 'video_name'):
            yield Stage((*top, key), given=True)
        yield Stage((*top, 'size'), list(size))
        ours = [forgive(*pair, pixels=2) for pair in zip(entries(result), golden['post'][name]['instances'])]
        yield Stage((*top, 'instances'), ours, rtol=1e-6, atol=1e-6)
        yield Stage((*top, 'query_order'), [slot for slot, seen in zip(state.slots.tolist(), state.seen) if seen])
        best = logits[:3].sigmoid().flatten().topk(51).values
        yield Stage((*top, 'cutoff_margin'), float(best[49] - best[50]), atol=1e-6)


# From PNG files to the results

def write_video(folder: Path, clip: np.ndarray) -> VISDataset:
    """One video of PNG files, resized as for published evaluations."""
    names = [f'abcdef1234/{t:05d}.png' for t in range(len(clip))]
    (folder / 'JPEGImages' / 'abcdef1234').mkdir(parents=True)
    for name, image in zip(names, clip):
        cv2.imwrite(str(folder / 'JPEGImages' / name), image)
    video = dict(id=7, height=clip.shape[1], width=clip.shape[2], length=len(clip), file_names=names)
    table = dict(videos=[video], categories=[dict(id=1, name='object')], annotations=[])
    (folder / 'valid.json').write_text(json.dumps(table))
    return VISDataset(ann_file=str(folder / 'valid.json'), img_prefix=str(folder / 'JPEGImages'), test_mode=True,
                      pipeline=[dict(type='ClipResize', scale=(None, 360), rule='detr')])


def pipeline_stages(golden: Dict[str, Any], variant: str, model: InstanceFormer, clips: Clips) -> Iterator[Stage]:
    for name, entry in golden.get('pipeline', {}).items():
        if name != variant:
            continue
        top = ('pipeline', name)
        with tempfile.TemporaryDirectory() as folder:
            dataset = write_video(Path(folder), clips.frames(5, 90, 160))
            items = [dataset[t] for t in range(len(dataset))]
        images = torch.cat([model.data_preprocessor(dict(inputs=[item['inputs']]))['inputs'] for item in items])
        height, width = items[0]['video'].img_shape
        images = images[..., :height, :width]
        ours = network_stages(model, images)
        state = model.start(items[0]['video'])
        frames = [frame for image in images for frame in model.step(state, image[None])]
        result = finish_video(model, state, frames)
        for key in ('keys', 'video_id', 'video_name'):
            yield Stage((*top, key), given=True)
        yield Stage((*top, 'size'), list(items[0]['video'].ori_shape))
        yield Stage((*top, 'network_size_wh'), [width, height])
        yield Stage((*top, 'stages', 'input'), images)
        for key in ('logits', 'boxes', 'masks'):
            atol = golden['suggested_atol'][name][f'output.pred_{key}']
            yield Stage((*top, 'stages', f'pred_{key}'), ours[f'output.pred_{key}'], atol=atol)
        yield from _result_stages(top, entry, ours['output.pred_logits'][:3, 0].sigmoid(), state.slots.tolist(), result)


def _result_stages(top: tuple, entry: Dict[str, Any], scores: Tensor, slots: List[int],
                   result: VideoResult) -> Iterator[Stage]:
    """Results by slot: scores of random weights lie so close together that neighbours may change places."""
    best = scores.amax((0, 2))
    top60 = [[*place[:3], float(scores[tuple(place[:3])])] for place in entry['top60_frame_slot_class_score']]
    yield Stage((*top, 'top60_frame_slot_class_score'), top60)
    values = scores.flatten().topk(51).values
    yield Stage((*top, 'cutoff_margin'), float(values[49] - values[50]), atol=TIE)
    by_slot = dict(zip(slots, entries(result)))
    expected = entry['query_order_before_empty_mask_skip']
    order, found = [], []
    for position, (slot, reference) in enumerate(zip(expected, entry['instances'])):
        there = slots[position] if position < len(slots) else None
        tied = there is not None and abs(best[there] - best[slot]) <= TIE
        order.append(slot if tied else there)
        if slot not in by_slot and abs(best[slot] - values[49]) <= TIE:
            found.append(reference)
            continue
        # Of equal scores the file may list the slots in another order than the instances.
        equal = [by_slot[slot], *(by_slot[other] for other in slots if abs(best[other] - best[slot]) <= TIE)]
        equal = [one for one in equal if one['category_id'] == reference['category_id']]
        forgiven = [forgive(one, reference, pixels=20) for one in equal]
        found.append(next((one for one in forgiven if one['areas'] == reference['areas']), by_slot[slot]))
    yield Stage((*top, 'query_order_before_empty_mask_skip'), order)
    yield Stage((*top, 'instances'), found, rtol=1e-4, atol=1e-5)


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file."""
    clips = Clips(golden, salt)
    for key in ('about', 'environment', 'stand_ins', 'frames', 'suggested_atol', 'noise_ratio_float32_vs_float64'):
        if key in golden:
            yield Stage((key,), given=True)
    with torch.no_grad():
        if 'ops' in golden:
            yield from op_stages(salt)
        if 'post' in golden:
            yield from post_stages(golden, salt)
        for variant, rule in (('ytvis', 'multiply'), ('ovis', 'add')):
            if any(variant in name for part in ('inference', 'pipeline') for name in golden.get(part, ())):
                model = build(variant, manifest_dir, salt, propagate_reference=rule)
                yield from inference_stages(golden, variant, model, clips)
                yield from pipeline_stages(golden, variant, model, clips)
    for name, entry in golden.get('train', {}).items():
        variant = name.split('_')[0]
        rule = None if variant == 'coco' else 'multiply'
        model = build(variant, manifest_dir, salt, propagate_reference=rule, official_mask_pairs=True)
        yield from loss_stages(name, entry, model.double(), clips)
