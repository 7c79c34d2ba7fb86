"""Stages of PMT and LVMT: what the spec's section on reference numbers lists."""
import copy
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from mmvis.models import LVMT
from mmvis.models.backbones import ViT
from mmvis.models.backbones.vit import Rotation, Tokens, rotation_frequencies, rotation_table
from mmvis.models.layers.end_results import CarriedState
from mmvis.records import EndRanking
from mmvis.structures import VideoInfo

from .compare import Stage
from .lvmt_inputs import empty_at_times, official_weights, scene_tokens
from .lvmt_training import training_stages
from .videomt import LossStages, Recorder, prepare, results
from .videomt_inputs import NamedPoints, normal, raw_video, rgb_frames
from .videos import load_official

#: (width, blocks, heads)
SMALL, LARGE = (384, 12, 6), (1024, 24, 16)
#: Areas of masks, in pixels.
AREAS = (4, 0.)
_DINOV2 = 'manifest_lvmt_dinov2_small_test.json'


def build(shape: Tuple[int, int, int] = SMALL, dinov2: bool = False, **kwargs: Any) -> LVMT:
    depth = shape[1]
    form = {} if dinov2 else dict(position='rotary', eps=1e-5)
    return LVMT(ViT(*shape, **form), levels=[depth * i // 4 - 1 for i in (1, 2, 3, 4)], **kwargs)


class Parity(LossStages):
    """One system ('lvmt' or 'pmt') of one file: each method yields the stages of a group."""

    #: Of the models of size S.
    MANIFESTS = dict(lvmt='manifest.json', pmt='manifest_pmt_dinov3_small_test.json')

    def __init__(self, system: str, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.system, self.golden, self.folder, self.salt = system, golden, manifest_dir, salt
        self.sizes = golden['recipe']['sizes']
        self.points = NamedPoints(salt)
        self.settings = (dict(num_classes=25, num_records=20) if system == 'lvmt'
                         else dict(propagation='linear', num_classes=40, num_records=10))
        self._built: Dict[bool, LVMT] = {}

    def keys(self, prefix: str, part: str = 'values') -> List[str]:
        """Keys of the system that start so, without its name."""
        start = f'{self.system}/'
        return [key[len(start):] for key in self.golden.get(part, ()) if key.startswith(f'{start}{prefix}')]

    def has(self, prefix: str) -> bool:
        return bool(self.keys(prefix) or self.keys(prefix, 'stages'))

    def reference(self, name: str, part: str = 'values') -> Any:
        return self.golden[part][f'{self.system}/{name}']

    def manifest(self, name: str) -> Dict[str, list]:
        return json.loads((self.folder / name).read_text())

    def small(self, dinov2: bool = False) -> LVMT:
        """The system with an encoder of size S and the weights of the salt."""
        if dinov2 not in self._built:
            settings = {**self.settings, 'num_classes': 40} if dinov2 else self.settings
            model = build(dinov2=dinov2, **settings)
            manifest = self.manifest(_DINOV2 if dinov2 else self.MANIFESTS[self.system])
            if dinov2 and self.system == 'pmt':
                manifest = {key: entry for key, entry in manifest.items() if 'query_gru' not in key}
                width = SMALL[0]
                manifest['backbone.decoder.query_updater.weight'] = [[width, width], 'float32']
                manifest['backbone.decoder.query_updater.bias'] = [[width], 'float32']
            self._built[dinov2] = load_official(model, official_weights(manifest, self.salt))
        return self._built[dinov2].eval()

    def stage(self, name: str, tensor: Tensor, **tolerance: float) -> Stage:
        return Stage(('stages', f'{self.system}/{name}'), tensor, **tolerance)

    def value(self, name: str, content: Any, **tolerance: Any) -> Stage:
        return Stage(('values', f'{self.system}/{name}'), content, **tolerance)

    def video(self, num_frames: int) -> VideoInfo:
        return VideoInfo(7, tuple(self.sizes['video_output']), tuple(self.sizes['video'][1:]), 1., num_frames)

    # The network

    def network(self, group: str) -> Iterator[Stage]:
        """Every part of the network: of DINOv3 ('net'), of DINOv2 at two sizes."""
        model = self.small(dinov2=group != 'net')
        num, height, width = self.sizes[group]
        clip = prepare(model, [rgb_frames(num, height, width, self.salt)])[0]
        yield self.stage(f'{group}/input [T,3,H,W]', clip)
        cos, sin = model.encode(clip).rotation
        yield self.stage(f'{group}/rope cos [hw,64]', cos)
        yield self.stage(f'{group}/rope sin', sin)
        parts = {f'encoder{i}': block for i, block in enumerate(model.backbone.blocks)}
        seen = Recorder(model.blocks, **parts, patches=model.backbone.patch_embed, encoder_norm=model.backbone.norm,
                        attention=model.blocks[0].attn, norm=model.norm, mask_head=model.predictor.mask_head,
                        upscale0=model.predictor.upscale[0], upscale=model.predictor.upscale,
                        **{f'bn{i}': level.norm for i, level in enumerate(model.levels)},
                        **{f'mlp{i}': level.mlp for i, level in enumerate(model.levels)},
                        **({} if model.query_updater is None else dict(updater=model.query_updater)))
        encoder = Recorder(model.backbone.blocks)
        layers, carried, size = model.clip_layers(clip[None])
        logits, masks = model.predict(layers[-1], size)
        if group == 'net':
            yield self.stage('net/tokens in', encoder.entered[0][0])
        else:
            yield self.stage(f'{group}/patch_embed [T,h,w,C]', seen['patches'][0].unflatten(1, size))
        for name in self.keys(f'{group}/encoder block', 'stages'):
            block = int(re.search(r'block(\d+)', name)[1])
            yield self.stage(name, seen[f'encoder{block}'][0])
        for i in range(len(model.levels)):
            yield self.stage(f'{group}/level norm, level {i}', seen['encoder_norm'][i])
            yield self.stage(f'{group}/level bn [T,C,N], level {i}', seen[f'bn{i}'][0])
            yield self.stage(f'{group}/lateral mlp, level {i}', seen[f'mlp{i}'][0])
        yield from self.frames(group, model, layers, carried, seen)
        yield self.stage(f'{group}/last block out', layers[-1])
        yield self.stage(f'{group}/decoder_norm', seen['norm'][-1])
        yield from (self.stage(f'{group}/{name}', seen[name][-1]) for name in ('mask_head', 'upscale0', 'upscale'))
        yield self.stage(f'{group}/carried after the last frame [1,Q,C]', carried)
        yield from self.outputs(group, 'pred_logits [1,T,Q,K+1]', 'pred_masks [1,Q,T,h4,w4]', logits, masks)
        seen.remove()
        encoder.remove()

    def frames(self, group: str, model: LVMT, layers: List[Tensor], carried: Tensor, seen: Recorder) -> Iterator[Stage]:
        """What the file has of the decoder's work on single frames."""
        num_queries = model.q.num_embeddings
        entering = [*layers[0][:, :num_queries], carried[0]]
        for name in self.keys(f'{group}/frame', 'stages'):
            t, what = re.fullmatch(rf'{group}/frame(\d+) (.*)', name).groups()
            t = int(t)
            block = re.fullmatch(r'block(\d+) in', what)
            if block:
                found = seen.entered[int(block[1])][t]
            elif what == 'block0 attention':
                found = seen['attention'][t]
            elif what.startswith('queries out'):
                found = layers[-1][t, :num_queries]
            elif what == 'query_updater':
                found = seen['updater'][t][0]
            else:
                found = entering[t + {'GRU hidden': 0, 'GRU out': 1}[what]]
            yield self.stage(name, found)

    def outputs(self, group: str, logits_name: str, masks_name: str, logits: Tensor, masks: Tensor) -> Iterator[Stage]:
        """Logits [T, Q, K + 1] and [T, Q, h4, w4] as the file has them of one clip."""
        yield self.stage(f'{group}/{logits_name}', logits[None])
        yield self.stage(f'{group}/{masks_name}', masks.transpose(0, 1)[None])

    def rotations(self) -> Iterator[Stage]:
        for name in self.keys('rope/', 'stages'):
            rows, columns, factor, kind = re.fullmatch(r'rope/(\d+)x(\d+) factor (\S+) (cos|sin)', name).groups()
            table: Rotation = rotation_table(int(rows), int(columns), 64, float(factor))
            yield self.stage(name, table[kind == 'sin'])
        if self.keys('rope/inverse frequencies'):
            yield self.value('rope/inverse frequencies', rotation_frequencies(64).tolist())

    def gru(self) -> Iterator[Stage]:
        """The cell alone, step by step from the learned queries."""
        model = self.small()
        num_queries, width = model.q.weight.shape
        hidden = model.q.weight[None]
        for name in self.keys('gru/step', 'stages'):
            t, what = re.fullmatch(r'gru/step(\d+) (.*)', name).groups()
            given = normal(f'gru-input{t}', (num_queries, width), self.salt, 6. if t == '4' else 1.5)
            given = given * 0 if t == '5' else given
            if what == 'out':
                if t == '0':
                    yield self.stage('gru/first frame', model.carry(given[None], hidden))
                hidden = model.carry(given[None], hidden)
                yield self.stage(name, hidden[0])
            else:
                cell = model.query_gru
                gates = (given @ cell.weight_ih.T + cell.bias_ih + hidden[0] @ cell.weight_hh.T + cell.bias_hh).sigmoid()
                yield self.stage(name, gates.chunk(3, dim=1)[what == 'update gate'])

    # Whole videos

    def run(self, model: LVMT, video: VideoInfo, clip: Tensor, window: int, queries: Optional[Tensor] = None
            ) -> Tuple[Tuple[Tensor, Tensor], CarriedState, dict]:
        """Logits of all frames, the state at the end, and the results as the file lists them."""
        state = model.start(video)
        state.queries = state.queries if queries is None else queries
        seen = Recorder(model.blocks, predictor=model.predictor)
        for frames in clip.split(window):
            model.step(state, frames)
        seen.remove()
        return tuple(torch.cat(x) for x in zip(*seen['predictor'])), state, self.results(model, state)

    @staticmethod
    def results(model: LVMT, state: CarriedState) -> dict:
        """As the file lists them; the gap is that between records of all queries and classes."""
        found = results(model, state)
        gaps = [a - b for a, b in zip(found['scores'], found['scores'][1:])]
        return {**found, 'smallest_score_gap': min(gaps)}

    def records(self, name: str, found: dict) -> Stage:
        found = as_ordered(found, self.reference(name))
        return self.value(name, {key: value for key, value in found.items() if key in self.reference(name)}, areas=AREAS)

    def videos(self) -> Iterator[Stage]:
        model = self.small()
        num, height, width = self.sizes['video']
        clip = prepare(model, [rgb_frames(num, height, width, self.salt)])[0]
        split = self.sizes['keep_split']
        for name in self.keys('video/T'):
            (logits, masks), state, found = self.run(model, self.video(num), clip, int(name.split('_W')[1]))
            yield self.records(name, found)
        yield from self.outputs('video', 'logits per frame [1,T,Q,K+1]', 'masks [1,Q,T,h4,w4]', logits, masks)
        name = 'video/top of the mean logits'
        state.ranking.num_records = len(self.reference(name)['scores'])
        yield self.value(name, dict(zip(('query', 'label', 'scores'), map(list, zip(*state.ranking.records())))))
        _, state, found = self.run(model, self.video(split), clip[:split], 3)
        yield self.records('video/keep first part', found)
        rest = clip[split:]
        yield self.records('video/keep second part (keep=True)',
                           self.run(model, self.video(len(rest)), rest, 3, state.queries)[-1])
        yield self.records('video/second part alone (keep=False)', self.run(model, self.video(len(rest)), rest, 3)[-1])
        exact = copy.deepcopy(model).double()
        layers, _, size = exact.clip_layers(clip[None].double())
        noise = dict(zip(('logits', 'masks'), map(largest_difference, (logits, masks), exact.predict(layers[-1], size))))
        yield self.value('video/float32 noise (largest difference to float64)', noise)
        yield from self.stream(model, clip, logits, masks)

    def stream(self, model: LVMT, clip: Tensor, logits: Tensor, masks: Tensor) -> Iterator[Stage]:
        """Frame by frame, with what leads so far; ``logits`` and ``masks``: of the whole, in one window."""
        state, seen, best = model.start(self.video(len(clip))), Recorder(model.blocks, predictor=model.predictor), []
        features = model.encode(clip)
        state.ranking.num_records = len(self.reference('stream/best five of the mean so far, by frame')[0]['query'])
        for t in range(len(clip)):
            model.advance(state, features._replace(x=features.x[t:t + 1]))
            yield self.stage(f'stream/state after frame {t} [1,Q,C]', state.queries)
            best.append(dict(zip(('query', 'label', 'score'), map(list, zip(*state.ranking.records())))))
        single = [torch.cat(x) for x in zip(*seen['predictor'])]
        yield self.value('stream/best five of the mean so far, by frame', best)
        yield self.value('stream/equals the whole', dict(logits=largest_difference(logits, single[0]),
                                                         masks=largest_difference(masks, single[1])), rtol=0, atol=1e-9)
        model.advance(model.start(self.video(1)), features._replace(x=features.x[:1]))
        seen.remove()
        yield self.value('stream/reset by the next video', largest_difference(seen['predictor'][-1][0], logits[:1]),
                         rtol=0, atol=1e-9)

    def scene(self) -> Iterator[Stage]:
        """Tokens made by hand straight into the decoder."""
        model = self.small()
        grid, num = tuple(self.sizes['scene'][0]), self.sizes['scene'][1]
        tokens = scene_tokens('scene', num, grid, model.backbone.embed_dims, model.backbone.num_prefix, self.salt)
        yield self.stage('scene/tokens [T,5+hw,C]', tokens)
        features = Tokens(tokens, grid, rotation_table(*grid, 64))
        wholes = []
        for parts in ([num], [4, 1, num - 5]):
            state, seen = model.start(self.video(num)), Recorder(model.blocks, predictor=model.predictor)
            updates = Recorder(model.blocks, propagation=model.query_gru or model.query_updater)
            for x in tokens.split(parts):
                model.advance(state, features._replace(x=x))
            seen.remove()
            updates.remove()
            wholes.append([torch.cat(x) for x in zip(*seen['predictor'])])
        (logits, masks), other = wholes
        for name in self.keys('scene/frame', 'stages'):
            t = int(re.match(r'scene/frame(\d+) ', name)[1])
            yield self.stage(name, updates['propagation'][t])
        yield from self.outputs('scene', 'pred_logits', 'pred_masks', logits, masks)
        yield self.stage('scene/carried', state.queries)
        state.ranking.num_records = len(self.reference('scene/best ten')['query'])
        best = dict(zip(('query', 'label', 'score'), map(list, zip(*state.ranking.records()))))
        best['areas_at_stride_4'] = (masks[:, best['query']] > 0).sum((2, 3)).T.tolist()
        yield self.value('scene/best ten', best, areas=AREAS)
        yield self.value('scene/parts 4, 1, rest against the whole',
                         dict(zip(('logits', 'masks'), map(largest_difference, (logits, masks), other))), rtol=0, atol=1e-9)

    def raw_videos(self) -> Iterator[Stage]:
        model = build((8, 4, 1), num_queries=4)
        for name in self.keys('raw_video/'):
            given = self.reference(name)
            network, cut, size = (tuple(given[key]) for key in ('net_size', 'img_size', 'out_size'))
            logits, masks = raw_video(name.split('/')[1], given['frames'], network[0] // 4, network[1] // 4, self.salt,
                                      classes=given['classes'])
            state = model.start(VideoInfo(7, size, cut, 1., given['frames']))
            state.ranking, state.network = EndRanking(given['max_num']), network
            for frame in zip(logits.numpy(), empty_at_times(masks).numpy()):
                state.ranking.add(frame[0])
                state.masks.add(frame[1])
            sizes = ('net_size', 'img_size', 'out_size', 'max_num', 'frames', 'classes')
            found = as_ordered(self.results(model, state), given)
            yield self.value(name, {**found, **{key: given[key] for key in sizes}})

    def fused(self) -> Iterator[Stage]:
        """A file that was saved with one projection to queries, keys and values."""
        model = self.small()
        fused = join(official_weights(self.manifest(self.MANIFESTS[self.system]), self.salt))
        yield self.value('fused/keys of an attention', sorted(key for key in fused if '.blocks.0.attention.' in key))
        other = load_official(build(**self.settings), fused)
        clip = prepare(model, [rgb_frames(*self.sizes['net'], self.salt)])
        found = []
        for one in (model, other):
            layers, _, size = one.clip_layers(clip)
            found.append(one.predict(layers[-1], size))
        yield self.value('fused/largest difference',
                         dict(zip(('logits', 'masks'), map(largest_difference, *found))), rtol=0, atol=1e-9)

    def large(self, group: str) -> Iterator[Stage]:
        """ViT-L, through the streaming interface."""
        config = self.reference(f'{group}/config')
        data, dino = group.split('_')[1:]
        num_classes = 25 if data == 'ovis' else 40
        model = build(LARGE, dino == 'dinov2', num_classes=num_classes, num_records=config['max_num'])
        load_official(model, official_weights(self.manifest(f'manifest_lvmt_{data}_{dino}_l.json'), self.salt))
        yield self.value(f'{group}/config', {**config, 'levels': list(model.level_blocks),
                                             'hidden': model.blocks[0].mlp.fc1.out_features})
        num, height, width = self.sizes['large']
        clip = prepare(model, [rgb_frames(num, height, width, self.salt)])[0]
        video = VideoInfo(7, tuple(self.sizes['large_output']), (height, width), 1., num)
        outputs, state, found = self.run(model, video, clip, config['window'])
        yield from self.outputs(group, 'pred_logits [1,T,Q,K+1]', 'pred_masks [1,Q,T,h4,w4]', *outputs)
        yield self.stage(f'{group}/carried', state.queries)
        yield self.records(f'{group}/records', found)


def as_ordered(found: dict, reference: dict) -> dict:
    """Our records, of which neighbours stand as in the reference where rounding decides who is first (1e-5)."""
    wanted = {record: at for at, record in enumerate(zip(reference['ids'], reference['labels']))}
    order, scores = list(range(len(found['ids']))), found['scores']
    for at in range(len(order) - 1):
        a, b = ((found['ids'][i], found['labels'][i]) for i in order[at:at + 2])
        if scores[at] - scores[at + 1] < 1e-5 and wanted.get(a, at) > wanted.get(b, at):
            order[at:at + 2] = order[at:at + 2][::-1]
    parts = {key: [found[key][i] for i in order] for key in ('ids', 'labels', 'scores', 'areas')}
    return {**found, **parts}


def largest_difference(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


def join(tensors: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Official tensors after the authors' fusing of the projections; the keys get a bias of 0."""
    out = {key: value for key, value in tensors.items() if not re.search(r'\.attention\.[qkv]_proj\.', key)}
    for key in tensors:
        if key.endswith('.attention.q_proj.weight'):
            stem = key[:-len('q_proj.weight')]
            query, value = tensors[f'{stem}q_proj.bias'], tensors[f'{stem}v_proj.bias']
            out[f'{stem}qkv_proj.weight'] = torch.cat([tensors[f'{stem}{name}_proj.weight'] for name in 'qkv'])
            out[f'{stem}qkv_proj.bias'] = torch.cat([query, torch.zeros_like(query), value])
    return out


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file, or of one that holds some of its groups."""
    for system in ('lvmt', 'pmt'):
        parity = Parity(system, golden, manifest_dir, salt)
        groups = {'rope/': parity.rotations, 'gru/': parity.gru, 'video/': parity.videos, 'scene/': parity.scene,
                  'raw_video/': parity.raw_videos, 'fused/': parity.fused}
        with torch.no_grad():
            for group in ('net', 'dinov2', 'dinov2_b'):
                if parity.has(f'{group}/'):
                    yield from parity.network(group)
            for prefix, group in groups.items():
                if parity.has(prefix):
                    yield from group()
            for group in dict.fromkeys(key.split('/')[0] for key in parity.keys('large_', 'stages')):
                yield from parity.large(group)
            yield from training_stages(parity)
