"""Stages of VidEoMT and of EoMT: what the spec's section on reference numbers lists."""
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from mmvis.converters.dino import convert_dinov2
from mmvis.models import VidEoMT
from mmvis.models.backbones import ViT
from mmvis.models.layers.clip_targets import ClipTargets
from mmvis.models.layers.end_results import CarriedState
from mmvis.models.layers.query_matching import match_frames
from mmvis.models.losses import mean_over_processes
from mmvis.models.losses.clip_losses import OFFICIAL_DUMMY
from mmvis.records import EndRanking
from mmvis.structures import VideoInfo, VideoResult, decode_rle, encode_mask

from .compare import Stage
from .videomt_data import data_stages
from .videomt_image import image_stages, transformers_instances
from .videomt_inputs import NamedPoints, moving_ellipses, official_weights, raw_layer, raw_video, rgb_frames, targets_of
from .videos import load_official

LOSS = dict(rtol=1e-4, atol=1e-7)
GRADIENT = dict(rtol=1e-2, atol=1e-3)
#: (width, blocks, heads, blocks with queries)
SMALL, LARGE = (384, 12, 6, 3), (1024, 24, 16, 4)


def build(shape: Tuple[int, int, int, int] = SMALL, num_classes: int = 40, num_records: int = 10,
          vit: Optional[dict] = None, **kwargs: Any) -> VidEoMT:
    width, depth, heads, num_query_blocks = shape
    backbone = ViT(width, depth, heads, **vit or {})
    return VidEoMT(backbone, num_classes, num_query_blocks=num_query_blocks, num_records=num_records, **kwargs)


class LossStages:
    """What the stages of losses are made of, for a ``Parity`` (its points and ``value``) of VidEoMT, PMT or LVMT."""

    def recorded_losses(self, model: VidEoMT, outputs: list, targets: List[ClipTargets]) -> Tuple[dict, list]:
        matches, original = [], model.match

        def match(*args: Any) -> list:
            pairs = original(*args)
            matches.append([[x.tolist() for x in one] for one in pairs])
            return pairs

        self.points.restart()
        with mock.patch('torch.rand', self.points), mock.patch.object(model, 'match', match):
            return model.clip_losses(outputs, targets), matches

    def named_losses(self, group: str, model: VidEoMT, found: Dict[str, Tensor], num_weighted: int) -> Iterator[Stage]:
        weights = model.criterion.weights
        plain = {name: float(x) / weights[name.rstrip('_0123456789')] for name, x in found.items()}
        weighted = {name: float(x) for name, x in list(found.items())[:num_weighted]}
        yield self.value(f'{group}/losses_unweighted', plain, **LOSS)
        yield self.value(f'{group}/losses_weighted', weighted, **LOSS)
        yield self.value(f'{group}/total', sum(weighted.values()), **LOSS)


class Parity(LossStages):
    """One file: each method yields the stages of a group."""

    def __init__(self, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.golden, self.folder, self.salt = golden, manifest_dir, salt
        self.sizes = golden['recipe']['sizes']
        self.points = NamedPoints(salt)
        self._small: Optional[VidEoMT] = None

    def has(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for part in ('stages', 'values') for key in self.golden.get(part, ()))

    def keys(self, prefix: str, part: str = 'values') -> List[str]:
        return [key for key in self.golden.get(part, ()) if key.startswith(prefix)]

    def manifest(self, name: str) -> Dict[str, list]:
        return json.loads((self.folder / name).read_text())

    def small(self) -> VidEoMT:
        """ViT-S for YouTube-VIS 2019 with the weights of the salt."""
        if self._small is None:
            self._small = load_official(build(), official_weights(self.manifest('manifest.json'), self.salt))
        return self._small.eval()

    def stage(self, name: str, tensor: Tensor, **tolerance: float) -> Stage:
        return Stage(('stages', name), tensor, **tolerance)

    def value(self, name: str, content: Any, **tolerance: Any) -> Stage:
        return Stage(('values', name), content, **tolerance)

    def given(self, *names: str) -> Iterator[Stage]:
        yield from (Stage(('values', name), given=True) for name in names if name in self.golden['values'])

    # Weights on their way in

    def positions(self) -> Iterator[Stage]:
        for name in self.keys('pos/', 'stages'):
            rows, columns = (int(side) for side in name[len('pos/'):].split('x'))
            yield self.stage(name, self.small().backbone.position(rows, columns))

    def pretraining(self) -> Iterator[Stage]:
        yield from self.given('pretrain/manifest')
        official = official_weights(self.golden['values']['pretrain/manifest'], self.salt)
        ours = convert_dinov2(official, (40, 40), 16)
        yield self.value('pretrain/keys', sorted(ours))
        for key, tensor in ours.items():
            yield self.stage(f'pretrain/{key}', tensor)

    # The network

    def network(self) -> Iterator[Stage]:
        model = self.small()
        num, height, width = self.sizes['net']
        clip = prepare(model, [rgb_frames(num, height, width, self.salt)])[0]
        yield self.stage('net/input [T,3,H,W]', clip)
        embedded = model.backbone.embed(clip)
        yield self.stage('net/patch_embed [T,h,w,C]',
                         model.backbone.patch_embed(clip).unflatten(1, embedded.size))
        seen = Recorder(model.backbone.blocks, query_updater=model.query_updater, norm=model.backbone.norm,
                        mask_head=model.predictor.mask_head, upscale0=model.predictor.upscale[0],
                        upscale=model.predictor.upscale)
        layers, size = model.clip_layers(clip[None])
        for name in self.keys('net/block', 'stages'):
            yield self.stage(name, seen.entered[int(name.split()[0][len('net/block'):])][0])
        last, num_queries = len(model.backbone.blocks), model.q.num_embeddings
        for t in range(num):
            for i in range(model.first_query_block, last):
                yield self.stage(f'net/frame{t} block{i} in [1,Q+5+hw,C]', seen.entered[i][t])
            out = layers[-1][t:t + 1, :num_queries]
            yield self.stage(f'net/frame{t} queries out, before the norm [1,Q,C]', out)
            yield self.stage(f'net/frame{t} query_updater [1,Q,C]', seen['query_updater'][t])
        yield self.stage('net/last block out', layers[-1])
        logits, masks = model.predict(layers[-1], size)
        yield from (self.stage(f'net/{name}', seen[name][-1]) for name in ('norm', 'mask_head', 'upscale0', 'upscale'))
        yield self.stage('net/carried after the last frame [1,Q,C]', model.carry(layers[-1][-1:]))
        yield from self.outputs('net/pred_logits [1,T,Q,K+1]', 'net/pred_masks [1,Q,T,h4,w4]', logits, masks)
        seen.remove()

    def outputs(self, logits_name: str, masks_name: str, logits: Tensor, masks: Tensor) -> Iterator[Stage]:
        """Logits [T, Q, K + 1] and [T, Q, h4, w4] as the file has them of one clip."""
        yield self.stage(logits_name, logits[None])
        yield self.stage(masks_name, masks.transpose(0, 1)[None])

    def dinov3(self) -> Iterator[Stage]:
        values = self.golden['values']
        yield from self.given('dinov3/manifest', 'dinov3/config', 'dinov3/attention')
        config = values['dinov3/config']
        shape = (config['hidden_size'], config['num_hidden_layers'], config['num_attention_heads'], 2)
        model = build(shape, vit=dict(position='rotary', eps=1e-5))
        load_official(model, official_weights(values['dinov3/manifest'], self.salt))
        yield self.value('dinov3/norm eps', model.backbone.norm.eps)
        num, height, width = self.sizes['dinov3']
        clip = prepare(model, [rgb_frames(num, height, width, self.salt)])
        cos, sin = model.backbone.embed(clip[0]).rotation
        yield self.stage('dinov3/rope cos [hw,64]', cos)
        yield self.stage('dinov3/rope sin', sin)
        seen = Recorder(model.backbone.blocks)
        layers, size = model.clip_layers(clip)
        for name in self.keys('dinov3/block', 'stages'):
            block, call = (int(part.strip(',').lstrip('block')) for part in name[len('dinov3/'):].split()[::3])
            yield self.stage(name, seen.entered[block][call])
        seen.remove()
        yield from self.outputs('dinov3/pred_logits', 'dinov3/pred_masks', *model.predict(layers[-1], size))
        model.norm_queries = True
        layers, size = model.clip_layers(clip)
        yield from self.outputs('dinov3/norm_queries.pred_logits', 'dinov3/norm_queries.pred_masks',
                                *model.predict(layers[-1], size))

    def large(self) -> Iterator[Stage]:
        """ViT-L with the settings of OVIS, through the streaming interface."""
        yield from self.given('large/config')
        config = self.golden['values']['large/config']
        model = build(LARGE, 25, config['max_num'])
        load_official(model, official_weights(self.manifest('manifest_ovis_l.json'), self.salt))
        num, height, width = self.sizes['large']
        clip = prepare(model, [rgb_frames(num, height, width, self.salt)])[0]
        video = VideoInfo(7, tuple(self.sizes['large_output']), (height, width), 1., num)
        outputs, state, found = self.run(model, video, clip, config['window'])
        yield from self.outputs('large/pred_logits [1,T,Q,26]', 'large/pred_masks [1,Q,T,h4,w4]', *outputs)
        yield self.stage('large/carried', state.queries)
        records = {key: found[key] for key in ('ids', 'labels', 'scores', 'areas')}
        yield self.value('large/records', records, areas=(2, 0.))

    def transformers(self) -> Iterator[Stage]:
        """The network as transformers has it, on a square clip of the size of the position table."""
        yield from self.given('hf/manifest', 'hf/versions', 'hf/official against transformers, largest |difference|')
        side = self.sizes['hf_side']
        grid = side // 16
        manifest = self.manifest('manifest_hf_ytvis2019_s.json')
        manifest['embeddings.position_embeddings.weight'][0][0] = grid * grid
        model = load_official(build(vit=dict(grid=grid)), official_weights(manifest, self.salt))
        clip = prepare(model, [rgb_frames(4, side, side, self.salt)])
        seen = Recorder(model.backbone.blocks, query_updater=model.query_updater, norm=model.backbone.norm)
        layers, size = model.clip_layers(clip)
        yield self.stage('hf/layer8 out 0', model.encode(clip[0]).x)
        for name in self.keys('hf/layer11', 'stages'):
            t = int(name.split()[-1])
            yield self.stage(name, layers[-1][t:t + 1])
        for name in self.keys('hf/query_updater', 'stages'):
            yield self.stage(name, seen['query_updater'][int(name.split()[-1])])
        logits, masks = model.predict(layers[-1], size)
        yield self.stage('hf/class_queries_logits [T,Q,K+1]', logits)
        yield self.stage('hf/masks_queries_logits [T,Q,h4,w4]', masks)
        yield self.stage('hf/last_hidden_state [T,N,C]', seen['norm'][-1])
        seen.remove()
        for name in self.keys('hf/post_process'):
            target = tuple(int(part) for part in name.split()[-1].split('x'))
            yield self.value(name, [transformers_instances(*frame, target) for frame in zip(logits, masks)],
                             areas=(2, 0.))

    # Whole videos

    def run(self, model: VidEoMT, video: VideoInfo, clip: Tensor, window: int, queries: Optional[Tensor] = None
            ) -> Tuple[Tuple[Tensor, Tensor], CarriedState, dict]:
        """Logits of all frames, the state at the end, and the results as the file lists them."""
        state = model.start(video)
        state.queries = state.queries if queries is None else queries
        seen = Recorder(model.backbone.blocks, predictor=model.predictor)
        for frames in clip.split(window):
            model.step(state, frames)
        seen.remove()
        return tuple(torch.cat(x) for x in zip(*seen['predictor'])), state, results(model, state)

    def videos(self) -> Iterator[Stage]:
        model = self.small()
        num, height, width = self.sizes['video']
        clip = prepare(model, [rgb_frames(num, height, width, self.salt)])[0]
        output, split = tuple(self.sizes['video_output']), self.sizes['keep_split']

        def video(length: int) -> VideoInfo:
            return VideoInfo(7, output, (height, width), 1., length)

        for name in self.keys('video/T'):
            window = int(name.split('_W')[1])
            (logits, masks), state, found = self.run(model, video(num), clip, window)
            yield self.value(name, found, areas=(2, 0.))
        yield from self.outputs('video/logits per frame [1,T,Q,K+1]', 'video/masks [1,Q,T,h4,w4]', logits, masks)
        for name in self.keys('video/top'):
            state.ranking.num_records = int(name[len('video/top'):].split()[0])
            rows, labels, scores = zip(*state.ranking.records())
            yield self.value(name, dict(scores=list(scores), query=list(rows), label=list(labels)))
        _, state, found = self.run(model, video(split), clip[:split], 3)
        yield self.value('video/keep first part', found, areas=(2, 0.))
        rest = clip[split:]
        yield self.value('video/keep second part (keep=True)',
                         self.run(model, video(len(rest)), rest, 3, state.queries)[-1], areas=(2, 0.))
        yield self.value('video/second part alone (keep=False)', self.run(model, video(len(rest)), rest, 3)[-1],
                         areas=(2, 0.))
        for name in self.keys('video/max_num'):
            model.num_records = int(name.split()[-1])
            yield self.value(name, self.run(model, video(3), clip[:3], 3)[-1], areas=(2, 0.))
            model.num_records = 10

    def raw_videos(self) -> Iterator[Stage]:
        model = build((8, 1, 1, 1))
        for name in self.keys('raw_video/'):
            given = self.golden['values'][name]
            network, cut, size = (tuple(given[key]) for key in ('net_size', 'img_size', 'out_size'))
            logits, masks = raw_video(name.split('/')[1], given['frames'], network[0] // 4, network[1] // 4, self.salt)
            state = model.start(VideoInfo(7, size, cut, 1., given['frames']))
            state.ranking, state.network = EndRanking(given['max_num']), network
            for frame in zip(logits.numpy(), masks.numpy()):
                state.ranking.add(frame[0])
                state.masks.add(frame[1])
            sizes = {key: given[key] for key in ('net_size', 'img_size', 'out_size', 'max_num', 'frames')}
            yield self.value(name, {**results(model, state), **sizes})

    # Training

    def truth(self, name: str, num: int, num_frames: int, size: Tuple[int, int]) -> tuple:
        return moving_ellipses(name, num, num_frames, *size, 40, self.salt)

    def losses(self, group: str, model: VidEoMT, outputs: List[Tuple[Tensor, Tensor]], targets: List[ClipTargets],
               num_weighted: int) -> Iterator[Stage]:
        """Matches, draws and losses; ``outputs``: auxiliary ones in order, then the last."""
        found, matches = self.recorded_losses(model, outputs, targets)
        yield self.value(f'{group}/match [last, aux0, ...][frame][queries, instances]', matches)
        yield self.value(f'{group}/draws', self.points.draws)
        yield from self.named_losses(group, model, found, num_weighted)

    def raw_losses(self) -> Iterator[Stage]:
        height, width = self.sizes['raw_loss']
        truth = [self.truth('v0', 5, 5, (height, width)), self.truth('v1', 3, 5, (height, width))]
        layers = [raw_layer(f'layer{i}', truth, 5, 20, height, width, self.salt) for i in range(3)]
        model = build((8, 1, 1, 1))
        targets = [targets_of(*clip) for clip in truth]
        if self.has('raw_loss/'):
            for i, (labels, ids, masks) in enumerate(truth):
                yield self.value(f'raw_loss/target{i}.labels', labels)
                yield self.value(f'raw_loss/target{i}.ids', ids)
                yield self.stage(f'raw_loss/target{i}.masks', masks.float())
            yield from self.losses('raw_loss', model, layers, targets, 9)
        none = [targets_of(*(x[:0] for x in clip)) if len(clip[0]) else clip for clip in truth]
        bad = [targets_of(clip[0].where(torch.arange(len(clip[0])) % 2 == 1, OFFICIAL_DUMMY), *clip[1:])
               for clip in truth]
        for name, changed in (('bad_labels', bad), ('empty', none), ('half', [targets[0], none[1]])):
            if self.has(f'raw_loss_{name}/'):
                yield from self.losses(f'raw_loss_{name}', model, layers, changed, 9)
        if self.has('raw_loss_segmenter/'):
            yield from self.segmenter_losses(model, tuple(x[:5] for x in layers[-1]), targets[0])

    def segmenter_losses(self, model: VidEoMT, layer: Tuple[Tensor, Tensor], targets: ClipTargets) -> Iterator[Stage]:
        """Every frame matched by itself."""
        criterion, group = model.criterion, 'raw_loss_segmenter'
        rows = [present.nonzero().flatten() for present in targets.present.T]
        with mock.patch('torch.rand', self.points):
            self.points.restart()
            pairs = match_frames(criterion.cost, *layer, targets)
            num = mean_over_processes(int(targets.present.sum()), layer[0].device)
            found = criterion([layer], lambda *_: pairs, [targets.labels] * 5, list(targets.masks.unbind(1)), num)
        matches = [[queries.tolist(), torch.searchsorted(own, objects).tolist()]
                   for own, (queries, objects) in zip(rows, pairs)]
        yield self.value(f'{group}/match [last, aux0, ...][frame][queries, instances]', [matches])
        yield self.value(f'{group}/draws', self.points.draws)
        yield from self.named_losses(group, model, found, 3)

    def training(self, group: str) -> Iterator[Stage]:
        """The whole network in training mode, its losses and, in 'train', its gradients."""
        if not self.has(f'{group}/'):
            return
        model = self.small().train()
        sizes = self.sizes['train_b2'] if group == 'train_b2' else [self.sizes['train_clip']]
        clips = prepare(model, [rgb_frames(*size, f'{self.salt}-{b}') for b, size in enumerate(sizes)])
        truth = [self.truth(f'train{b}', (5, 3)[b], size[0], tuple(size[1:])) for b, size in enumerate(sizes)]
        height, width = clips.shape[-2:]
        targets = [targets_of(labels, ids, padded(masks, height, width)) for labels, ids, masks in truth]
        if group == 'train_official_labels':
            for target in targets:
                target.labels = target.labels.where(target.present[:, -1], OFFICIAL_DUMMY)
        yield self.stage(f'{group}/input [B*T,3,H,W]', clips.flatten(0, 1))
        for b, target in enumerate(targets):
            yield self.value(f'{group}/target{b}.labels', target.labels)
            yield self.value(f'{group}/target{b}.ids', truth[b][1])
            if group == 'train':
                yield self.stage(f'{group}/target{b}.masks', target.masks.float())
        with torch.enable_grad():
            layers, size = model.clip_layers(clips)
            outputs = [model.predict(tokens, size, norm=False) for tokens in layers[:-1]]
            outputs.append(tuple(official_order(x, len(clips)) for x in model.predict(layers[-1], size)))
            yield self.stage(f'{group}/pred_logits [B*T,Q,K+1]', outputs[-1][0])
            yield self.stage(f'{group}/pred_masks [B*T,Q,1,h4,w4]', outputs[-1][1][:, :, None])
            for i, (logits, masks) in enumerate(outputs[:-1]):
                yield self.stage(f'{group}/aux{i}.pred_logits', logits)
                yield self.stage(f'{group}/aux{i}.pred_masks', masks[:, :, None])
            found, matches = self.recorded_losses(model, outputs, targets)
            if group == 'train':
                sum(list(found.values())[:3 * (len(outputs) - 1)]).backward()
        yield self.value(f'{group}/match [last, aux0, ...][frame][queries, instances]', matches)
        yield self.value(f'{group}/draws', self.points.draws)
        yield from self.named_losses(group, model, found, 3 * (len(outputs) - 1))
        if group == 'train':
            yield from self.gradients(model)

    def gradients(self, model: VidEoMT) -> Iterator[Stage]:
        grads = {name: parameter.grad for name, parameter in model.named_parameters()}
        norms = {}
        for key in self.golden['values'].get('train/grad_norms', {}):
            norms[key] = float(grads[our_name(key)].double().norm())
        yield self.value('train/grad_norms', norms, **GRADIENT)
        yield self.value('train/grad_norm_all',
                         float(torch.stack([grad.double().norm() for grad in grads.values()]).norm()), **GRADIENT)
        yield self.value('train/without_grad', [name for name, grad in grads.items() if grad is None])
        for name in self.keys('train/grad/', 'stages'):
            key = name[len('train/grad/'):]
            key = key if '.' in key else f'backbone.encoder.backbone.{key}'
            yield self.stage(name, grads[our_name(key)], **GRADIENT)
        model.zero_grad()


def our_name(key: str) -> str:
    """Our name of an official parameter."""
    key = key[len('backbone.'):].replace('encoder.backbone.', 'backbone.')
    return f'predictor.{key}' if key.startswith(('class_head', 'mask_head', 'upscale')) else key


def official_order(x: Tensor, num_clips: int) -> Tensor:
    """[B * T, ...] in the order of the official code, which stacks the last layer's frames of several clips frame by
    frame and reads them clip by clip."""
    return x.unflatten(0, (num_clips, -1)).transpose(0, 1).flatten(0, 1)


def padded(masks: Tensor, height: int, width: int) -> Tensor:
    return nn.functional.pad(masks, (0, width - masks.shape[-1], 0, height - masks.shape[-2]))


def prepare(model: VidEoMT, clips: List[Tensor]) -> Tensor:
    """uint8 RGB clips [T, 3, height, width] -> network input [B, T, 3, H, W]."""
    return model.data_preprocessor(dict(inputs=[clip.flip(1) for clip in clips]), True)['inputs']


def results(model: VidEoMT, state: CarriedState) -> dict:
    """The end of a video as the file lists it."""
    num_frames, size = len(state.masks), state.video.ori_shape
    frames, verdicts = model.finish(state)
    tracks = VideoResult.from_frames(state.video, list(frames), verdicts).tracks
    empty = encode_mask(np.zeros(size, np.uint8))
    segmentations = [[track.masks.get(t, empty) for t in range(num_frames)] for track in tracks]
    entries = [dict(video_id=7, score=track.score, category_id=track.label + 1, segmentations=masks)
               for track, masks in zip(tracks[:2], segmentations)]
    ids, labels, scores = zip(*((track.track_id, track.label, track.score) for track in tracks))
    return dict(image_size=list(size), ids=ids, labels=labels, scores=scores, num=len(tracks), json_first_two=entries,
                areas=[[int(decode_rle(mask).sum()) for mask in masks] for masks in segmentations])


class Recorder:
    """What enters the blocks of a transformer, and what leaves other parts, call by call."""

    def __init__(self, blocks: nn.ModuleList, **parts: nn.Module) -> None:
        self.entered: List[List[Tensor]] = [[] for _ in blocks]
        self._left: Dict[str, list] = {name: [] for name in parts}
        self._hooks = [block.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
                       for block, seen in zip(blocks, self.entered)]
        self._hooks += [part.register_forward_hook(lambda _, args, out, seen=self._left[name]: seen.append(out))
                        for name, part in parts.items()]

    def __getitem__(self, name: str) -> list:
        return self._left[name]

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file, or of one that holds some of its groups."""
    parity = Parity(golden, manifest_dir, salt)
    groups = {'pos/': parity.positions, 'pretrain/': parity.pretraining, 'net/': parity.network,
              'dinov3/': parity.dinov3, 'raw_video/': parity.raw_videos, 'raw_loss': parity.raw_losses,
              'hf/': parity.transformers, 'video/': parity.videos, 'large/': parity.large}
    with torch.no_grad():
        yield from data_stages(parity)
        for prefix, group in groups.items():
            if parity.has(prefix):
                yield from group()
        yield from image_stages(parity)
        for group in ('train', 'train_official_labels', 'train_b2'):
            yield from parity.training(group)
