"""Stages of CondInst+IAI, as the recipe inside its parity files states them."""
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis.converters.condinst_iai import official_name
from mmvis.datasets.transforms.resize import resize_image, resized_shape
from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.models import CondInstIAI
from mmvis.models.condinst_iai.clip_identities import clip_identities
from mmvis.models.condinst_iai.detect import detect
from mmvis.models.condinst_iai.head import HeadOutputs, coarse_masks, level_points
from mmvis.models.condinst_iai.losses import frame_losses
from mmvis.models.condinst_iai.lstt import sine_positions, to_map
from mmvis.models.condinst_iai.masks import MaskUpsampler, claim
from mmvis.models.condinst_iai.memory import LSTTMemory
from mmvis.models.condinst_iai.model import IAIState
from mmvis.models.condinst_iai.targets import frame_targets
from mmvis.structures import FrameInstances, VideoInfo, VideoResult, decode_rle

from . import fill
from .compare import Stage
from .videos import load_official

LOSS = dict(rtol=1e-4, atol=1e-7)
PAD_SHAPE = (96, 160)
LEVELS = ((12, 20), (6, 10), (3, 5), (2, 3), (1, 2))
OFFICIAL_STATS = dict(type='ClipPreprocessor', mean=[123.68, 116.779, 103.939], std=[58.393, 57.12, 57.375])
#: Objects of the clips that the losses are computed on:
#: video, id, label, first frame, last frame, centre, speed, radii (x y each).
OBJECTS = ((0, 0, 3, 0, 4, 45, 40, 5, 2, 30, 26), (0, 1, 17, 0, 2, 110, 55, -4, 0, 26, 20),
           (0, 2, 5, 2, 4, 120, 30, 0, 3, 18, 14), (1, 0, 30, 0, 4, 80, 45, 2, -2, 52, 34),
           (1, 1, 0, 1, 4, 30, 70, 4, -3, 14, 12))


def build(manifest: Dict[str, list], salt: str) -> CondInstIAI:
    """The official model with the weights of the salt, filled through the converter; its sizes are the manifest's."""
    num_classes, max_obj_num = (manifest[f'bbox_head.{name}.weight'][0][0] for name in ('conv_cls', 'conv_id'))
    depth = 101 if 'backbone.layer3.22.conv1.weight' in manifest else 50
    backbone = dict(type='mmdet.ResNet', depth=depth, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                    norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch')
    neck = dict(type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1, num_outs=5,
                add_extra_convs='on_output', relu_before_extra_convs=True)
    model = CondInstIAI(backbone, neck, dict(type='IAIHead', num_classes=num_classes, max_obj_num=max_obj_num),
                        dict(type='LSTT', max_obj_num=max_obj_num), data_preprocessor=OFFICIAL_STATS)
    return load_official(model, fill.state_dict(manifest, salt))


def one_frame(x: Tensor) -> Tensor:
    """[1, N, C] -> [N, 1, C], the official order of the axes."""
    return x.transpose(0, 1)


class Recorder:
    """What the model hands to its memory after each frame."""

    def __init__(self, model: CondInstIAI) -> None:
        self.lstt = model.lstt
        self.embed, self.remember = model.lstt.id_bank.owners, model.lstt.remember
        self.areas: List[int] = []
        self.has_new = False

    def __enter__(self) -> 'Recorder':
        self.lstt.id_bank.owners, self.lstt.remember = self._embed, self._remember
        return self

    def __exit__(self, *exc) -> None:
        del self.lstt.id_bank.owners, self.lstt.remember

    def _embed(self, owner: np.ndarray) -> Tensor:
        self.areas = [int((owner == slot).sum()) for slot in range(self.lstt.id_bank.in_channels)]
        return self.embed(owner)

    def _remember(self, memory: LSTTMemory, id_embedding: Tensor, has_new: bool) -> None:
        self.has_new = has_new
        self.remember(memory, id_embedding, has_new)


class Parity:
    """The model, the salt and the file of one run; each method yields the stages of one part of the file."""

    def __init__(self, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.golden = golden
        self.salt = salt
        self.manifest = json.loads((manifest_dir / 'manifest.json').read_text())
        self.model = build(self.manifest, salt)

    def unit(self, key: str, *shape: int) -> Tensor:
        return fill.unit(key, shape, self.salt)

    def prepared(self, frames: np.ndarray) -> Tensor:
        """uint8 [T, h, w, 3] -> float32 [T, 3, H, W]."""
        images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return self.model.data_preprocessor(dict(inputs=images))['inputs']

    def preprocess(self) -> Iterator[Stage]:
        def resized(height: int, width: int) -> Tuple[np.ndarray, float]:
            *size, factor = resized_shape(height, width, (640, 360))
            return resize_image(fill.frames(1, height, width, self.salt)[0], tuple(size), 'cv2'), factor

        image, factor = resized(720, 1280)
        yield Stage(('preprocess', 'resized_uint8'), image)
        yield Stage(('preprocess', 'scale'), factor)
        yield Stage(('preprocess', 'normalised_padded'), self.prepared(image[None]))
        sizes = {f'{h}x{w}': list(resized(h, w)[0].shape) for h, w in ((720, 1280), (480, 854), (640, 480))}
        yield Stage(('preprocess', 'sizes'), sizes)

    def network(self) -> Iterator[Stage]:
        model, lstt, memory = self.model, self.model.lstt, LSTTMemory()
        clip = self.prepared(fill.frames(5, 90, 150, self.salt))
        yield Stage(('network', 'input'), clip)
        stages = model.backbone(clip)
        yield from (Stage(('network', f'backbone.C{i + 2}'), x) for i, x in enumerate(stages))
        yield Stage(('network', 'frame0.id_embedding_of_zero_map'), one_frame(lstt.id_bank.empty((3, 5))))
        yield Stage(('network', 'frame0.pos'), one_frame(sine_positions(3, 5, 256, clip.device)))
        for t in range(5):
            features = [x[t:t + 1] for x in stages]
            seen = []
            hook = lstt.register_forward_hook(lambda module, args, output: seen.append(output))
            pyramid = model.pyramid(features, memory)
            hook.remove()
            values = dict(encoder_projector=model.encoder_projector(features[-1]),
                          backbone_projector=model.backbone_projector(features[-1]), lstt=seen[0])
            values.update({f'P{i + 3}': x for i, x in enumerate(pyramid)})
            values.update(self._head_values(model.bbox_head(pyramid), flat=t > 0))
            embedding = lstt.id_bank.owners(rectangles(t, PAD_SHAPE))
            values['id_embedding'] = one_frame(embedding)
            lstt.remember(memory, embedding, has_new=t == 2)
            values.update(self._memory_values(memory, (3, 5)))
            yield from (Stage(('network', f'frame{t}.{name}'), value) for name, value in values.items())

    @staticmethod
    def _head_values(outputs: HeadOutputs, flat: bool) -> Dict[str, Tensor]:
        values = dict(mask_feat=outputs.mask_features)
        for name, levels in (('cls', outputs.cls_logits), ('id', outputs.id_logits), ('bbox_px', outputs.distances),
                             ('centerness', outputs.centerness_logits), ('kernel', outputs.kernels)):
            if flat:
                values[f'{name}.all_levels_flat'] = torch.cat([x.flatten() for x in levels])
            else:
                values.update({f'{name}.{i}': x for i, x in enumerate(levels)})
        return values

    @staticmethod
    def _memory_values(memory: LSTTMemory, size: Tuple[int, int]) -> Dict[str, Any]:
        (keys, values), short = memory.long_term(), memory.short_term
        return dict(long_memory_tokens=keys.shape[1], long_memory_K=one_frame(keys), long_memory_V=one_frame(values),
                    short_memory_K=to_map(short[0], size), short_memory_V=to_map(short[1], size))

    def lstt(self) -> Iterator[Stage]:
        layer, size = self.model.lstt.layer, (18, 20)
        query, key, value = (self.unit(f'iai.local.{name}', 1, 256, *size).flatten(2).transpose(1, 2) for name in 'qkv')
        yield Stage(('lstt', 'local_attention'), one_frame(layer.short_term_attn(query, key, value, size)))
        query = self.unit('iai.long.Q', 30, 1, 256).transpose(0, 1)
        key, value = (self.unit(f'iai.long.{name}', 70, 1, 256).transpose(0, 1) for name in 'KV')
        yield Stage(('lstt', 'long_attention'), one_frame(layer.long_term_attn(query, key, value)))
        yield Stage(('lstt', 'self_attention'), one_frame(layer.self_attn(query, query, query)))
        x = self.unit('iai.ffn', 360, 1, 1024).transpose(0, 1)
        yield Stage(('lstt', 'ffn_activation'), one_frame(layer.activation(x, size)))
        memory = LSTTMemory()
        for t in range(5):
            out = self.model.lstt(self.unit(f'iai.lstt.x{t}', 1, 256, *size), memory)
            self.model.lstt.remember(memory, self.model.lstt.id_bank.owners(rectangles(t, (576, 640), 4)))
            yield Stage(('lstt', f'frame{t}.lstt'), one_frame(out.flatten(2).transpose(1, 2)))
            yield Stage(('lstt', f'frame{t}.long_memory_tokens'), memory.long_term()[0].shape[1])

    def scenario(self) -> Iterator[Stage]:
        yield Stage(('scenario', 'inputs'), given=True)
        model, pad_shape = self.model, (192, 320)
        video = VideoInfo(1, (225, 375), (180, 300), 0.8, 8)
        state, frames, entries, tokens = model.start(video), [], [], []
        for t, cells in enumerate(self.golden['scenario']['inputs']):
            outputs = self._hand_outputs(cells, self.unit(f'iai.scenario.mask_feat.{t}', 1, 8, 24, 40))
            found = detect(outputs, model.bbox_head.strides, video.img_shape, video.ori_shape, t == 0, model.test_cfg)
            index = torch.zeros(len(found), dtype=torch.long)
            raw = outputs.mask_features, found.kernels, found.points, found.strides, index
            if t == 0:
                coarse = coarse_masks(*raw)
            masks = model.bbox_head.dynamic_masks(*raw).sigmoid()
            upsampler = MaskUpsampler(pad_shape, video.img_shape, video.ori_shape)
            model.lstt(self.unit(f'x{t}', 1, 256, 6, 10), state.memory)
            result, entry = self._tracked(state, outputs, pad_shape)
            frames.append(result)
            entries.append(dict(
                det_boxes=torch.cat([found.boxes, found.scores[:, None]], dim=1).tolist(),
                det_id_argmax=found.id_scores.argmax(1).tolist(),
                det_areas_input=[upsampler.to_input(x).area() for x in masks], new=entry['new_instance'],
                n_ids=entry['ids_used'], id_area_input=entry['id_area_input'], id_area_output=entry['id_area_output'],
                cls_max=self._by_slot(result, result.scores, 0.), cls_arg=self._by_slot(result, result.labels, 0)))
            tokens.append(state.memory.long_term()[0].shape[1])
        yield Stage(('scenario', 'frames'), entries, areas=(3, 0.))
        yield Stage(('scenario', 'long_memory_tokens_after_frame'), tokens)
        yield Stage(('scenario', 'mask_logits_stride8_frame0'), coarse)
        yield from self._video_stages('scenario', state, frames, areas=(3, 0.))

    def _hand_outputs(self, cells: List[dict], mask_features: Tensor) -> HeadOutputs:
        sizes = ((24, 40), (12, 20), (6, 10), (3, 5), (2, 3))
        head = self.model.bbox_head
        outputs = HeadOutputs([torch.full((1, head.num_classes, *size), -8.) for size in sizes],
                              [torch.full((1, head.max_obj_num, *size), -8.) for size in sizes],
                              [torch.ones(1, 4, *size) for size in sizes], [torch.zeros(1, 1, *size) for size in sizes],
                              [torch.zeros(1, 169, *size) for size in sizes], mask_features)
        for cell in cells:
            level, y, x = cell['level'], cell['y'], cell['x']
            for maps, values in ((outputs.cls_logits, cell['cls']), (outputs.id_logits, cell['id'])):
                for channel, value in values.items():
                    maps[level][0, int(channel), y, x] = value
            outputs.centerness_logits[level][0, 0, y, x] = cell['ctr']
            outputs.distances[level][0, :, y, x] = torch.tensor(cell['ltrb'])
            outputs.kernels[level][0, :, y, x] = torch.tensor(cell['kernel'])
        return outputs

    def _tracked(self, state: IAIState, outputs: HeadOutputs,
                 pad_shape: Tuple[int, int]) -> Tuple[FrameInstances, dict]:
        """One frame, and what the files say of it. The slot that several share has no mask in our result: its area is
        taken on the way."""
        model, areas = self.model, [0] * self.model.bbox_head.max_obj_num
        encode = model._encode

        def measured(state: IAIState, probabilities: Tensor, slots: List[int]) -> list:
            free = np.ones(state.video.ori_shape, bool)
            for mask, slot in zip(probabilities, slots):
                areas[slot] = claim(state.upsampler.to_frame(mask), free).area()
            return encode(state, probabilities, slots)

        model._encode = measured
        with Recorder(model) as recorder:
            result = model.track(state, outputs, pad_shape)
        del model._encode
        for slot, rle in zip(result.track_ids.tolist(), result.masks):
            if rle is not None and int(decode_rle(rle).sum()) != areas[slot]:
                raise InputError(f'The mask of slot {slot} is not what was measured.')
        return result, dict(new_instance=recorder.has_new, ids_used=state.book.num_used, id_area_input=recorder.areas,
                            id_area_output=areas)

    def _by_slot(self, frame: FrameInstances, values: Sequence, absent: Any) -> list:
        out = [absent] * self.model.bbox_head.max_obj_num
        for slot, value in zip(frame.track_ids.tolist(), values.tolist()):
            out[slot] = value
        return out

    def _video_stages(self, top: str, state: IAIState, frames: List[FrameInstances], **tolerance) -> Iterator[Stage]:
        _, verdicts = self.model.finish(state)
        tracks = VideoResult.from_frames(state.video, frames, verdicts).tracks
        areas = [[int(decode_rle(x.masks[t]).sum()) if t in x.masks else None for t in range(len(frames))]
                 for x in tracks]
        video = dict(scores=[x.score for x in tracks], labels=[x.label for x in tracks], areas=areas,
                     first_segmentation=tracks[0].masks.get(0) if tracks else None)
        yield Stage((top, 'video'), video, **tolerance)

    def free_run(self) -> Iterator[Stage]:
        """In double precision: on the flat masks of random weights the last bit of float32 would decide."""
        model, clip = self.model.double(), self.prepared(fill.frames(5, 90, 150, self.salt)).double()
        state, frames, entries = model.start(VideoInfo(1, (108, 180), (90, 150), 0.5, 5)), [], []
        stages = model.backbone(clip)
        for t in range(5):
            outputs = model.bbox_head(model.pyramid([x[t:t + 1] for x in stages], state.memory))
            found = detect(outputs, model.bbox_head.strides, (90, 150), (108, 180), t == 0, model.test_cfg)
            result, entry = self._tracked(state, outputs, PAD_SHAPE)
            frames.append(result)
            entries.append(dict(nms_scores=found.scores.tolist(), **entry))
        self.model.float()
        yield Stage(('free_run', 'frames'), entries, areas=(3, 0.03))
        for stage in self._video_stages('free_run', state, frames, areas=(3, 0.03)):
            yield stage
            yield Stage(('free_run', 'video_scores_float64'), stage.value['scores'])
        yield Stage(('free_run', 'area_float64'), [x['id_area_output'] for x in entries], whole=3)
        # How far the official numbers in float32 are from those in double precision.
        for name in ('areas_within_3_px_in_float64', 'same_ids_in_float64'):
            yield Stage(('free_run', name), given=True)

    def losses(self) -> Iterator[Stage]:
        yield from self._head_losses()
        with torch.enable_grad():
            yield from self._clip_losses()

    def _head_losses(self) -> Iterator[Stage]:
        head = self.model.bbox_head
        maps: Dict[str, list] = {}
        for name, channels in (('cls', head.num_classes), ('id', head.max_obj_num), ('box', 4), ('ctr', 1),
                               ('kernel', 169)):
            maps[name] = [self.unit(f'iai.loss.{name}.{i}', 2, channels, *size) for i, size in enumerate(LEVELS)]
        outputs = HeadOutputs([x - 2 for x in maps['cls']], [x - 2 for x in maps['id']],
                              [(x.abs() + 0.5) * stride for x, stride in zip(maps['box'], head.strides)], maps['ctr'],
                              [x * 0.3 for x in maps['kernel']], self.unit('iai.loss.mask_feat', 2, 8, 12, 20))
        samples = [truth(video, 2) for video in (0, 1)]
        new = head.max_obj_num - 1
        identities = [torch.tensor([0, 1, new]), torch.tensor([0, 1])]
        points = level_points(LEVELS, head.strides, torch.device('cpu'))
        targets = frame_targets(points, samples, identities, head.num_classes, head.max_obj_num, head.strides,
                                head.regress_ranges, head.center_radius)
        for image in range(2):
            positive = (targets.gt_index[image] >= 0).nonzero()[:, 0]
            background = targets.identities[image] == head.max_obj_num
            yield Stage(('losses', f'head.image{image}.targets'), dict(
                num_points=len(background), positive_index=positive, label=targets.labels[image, positive],
                id=targets.identities[image, positive], gt_index=targets.gt_index[image, positive],
                num_id_background=int(background.sum()), ltrb=targets.distances[image, positive]))
        losses = frame_losses(head, outputs, targets, [x.gt_instances.masks for x in samples])
        yield Stage(('losses', 'head.losses'), {name: float(x) for name, x in losses.items()}, **LOSS)

    def _clip_losses(self) -> Iterator[Stage]:
        model = self.model
        clips = torch.stack([self.prepared(fill.frames(5, 90, 150, salt))
                             for salt in (self.salt, f'{self.salt}.second')])
        samples = [[truth(video, t) for t in range(5)] for video in (0, 1)]
        targets = clip_identities(samples, model.bbox_head.max_obj_num).targets
        yield Stage(('losses', 'clip.ids_after_new_marking'), [x.tolist() for frame in targets for x in frame])
        losses = model.loss(clips, samples)
        yield Stage(('losses', 'clip.eval_mode.losses'), {name: x.item() for name, x in losses.items()}, **LOSS)
        sum(losses.values()).backward()
        parameters = dict(model.named_parameters())
        norms = {name: float(parameters[official_name(name)].grad.norm())
                 for name in self.golden['losses']['clip.eval_mode.grad_norm']}
        yield Stage(('losses', 'clip.eval_mode.grad_norm'), norms)
        missing = [name for name, x in parameters.items() if x.requires_grad and x.grad is None]
        yield Stage(('losses', 'clip.params_without_grad'), missing)
        model.zero_grad()
        model.train()
        model.lstt.layer.drop_path_prob = 0.
        losses = {name: x.item() for name, x in model.loss(clips, samples).items()}
        model.eval()
        yield Stage(('losses', 'clip.train_mode_droppath0.losses'), losses, **LOSS)


def rectangles(t: int, size: Tuple[int, int], factor: int = 1) -> np.ndarray:
    """Slot of each pixel, uint8 [H, W], 20 for the background, of the three rectangles of the recipes, enlarged."""
    boxes = [(8, 40, 8 + 6 * t, 48 + 6 * t), (50, 88, 90 - 5 * t, 140 - 5 * t)] + [(10, 36, 100, 140)] * (t >= 2)
    owner = np.full(size, 20, np.uint8)
    for slot, box in enumerate(boxes):
        y0, y1, x0, x1 = (x * factor for x in box)
        owner[y0:y1, x0:x1] = slot
    return owner


def truth(video: int, t: int) -> FrameSample:
    """Ground truth of a frame of the clips that the losses are computed on."""
    y, x = np.mgrid[0:PAD_SHAPE[0], 0:PAD_SHAPE[1]] + 0.5
    boxes, labels, ids, masks = [], [], [], []
    for owner, number, label, first, last, cx, cy, vx, vy, rx, ry in OBJECTS:
        if owner != video or not first <= t <= last:
            continue
        mask = ((x - cx - vx * t) / rx) ** 2 + ((y - cy - vy * t) / ry) ** 2 < 1
        mask[90:], mask[:, 150:] = False, False
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        labels.append(label)
        ids.append(number)
        masks.append(mask)
    instances = InstanceData(bboxes=torch.tensor(np.array(boxes), dtype=torch.float32), labels=torch.tensor(labels),
                             instance_ids=torch.tensor(ids), masks=torch.from_numpy(np.stack(masks).astype(np.uint8)))
    return FrameSample(metainfo=dict(img_shape=(90, 150), pad_shape=PAD_SHAPE), gt_instances=instances)


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file."""
    for key in ('config', 'torch', 'stand_ins'):
        yield Stage((key,), given=True)
    parity = Parity(golden, manifest_dir, salt)
    parts = dict(preprocess=parity.preprocess, network=parity.network, lstt=parity.lstt, scenario=parity.scenario,
                 free_run=parity.free_run, losses=parity.losses)
    with torch.no_grad():
        for key, part in parts.items():
            if key in golden:
                yield from part()
