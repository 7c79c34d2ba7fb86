"""Stages of Mask2Former on images and of MinVIS: what the specs' sections on reference numbers list."""
import json
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvis.engine import find_config, load_config
from mmvis.models import MaskedAttentionSegmenter, MinVIS, VISModel
from mmvis.models.layers import query_chain
from mmvis.models.layers.point_sampling import sample_at_points, unsure_points
from mmvis.models.layers.query_instances import query_instances
from mmvis.models.mask2former.decoder import Prediction
from mmvis.models.mask2former.segmenter import FramePredictions
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo, VideoResult, decode_rle, encode_mask

from .compare import Stage
from .minvis_data import data_stages
from .minvis_inputs import blobs, features, frames, network_input, official_weights, rand, raw_image, raw_video
from .minvis_losses import loss_stages
from .videos import load_official

#: Group of a file -> (config, manifest).
MODELS_OF = {
    'coco': ('mask2former_r50_coco.py', 'manifest_coco.json'), 'ytvis19': ('minvis_r50_ytvis2019.py', 'manifest.json'),
    'ovis': ('minvis_r50_ovis.py', 'manifest_ovis.json'),
    'swin19': ('minvis_swin_large_ytvis2019.py', 'manifest_swinl.json')}
#: Height and width of the hand-made maps whose sizes no file states.
RAW_SIZE = (24, 40)


class Parity:
    """One file: each method yields the stages of a group."""

    def __init__(self, golden: Dict[str, Any], manifest_dir: Path, salt: str) -> None:
        self.golden, self.folder, self.salt = golden, manifest_dir, salt
        self._kept: Tuple[str, Optional[VISModel]] = ('', None)

    def has(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for part in ('stages', 'values') for key in self.golden.get(part, ()))

    def keys(self, prefix: str, part: str = 'values') -> List[str]:
        return [key for key in self.golden.get(part, ()) if key.startswith(prefix)]

    def manifest(self, name: str) -> Dict[str, list]:
        return json.loads((self.folder / name).read_text())

    def model(self, name: str) -> VISModel:
        """The model of a published config with the weights of the salt; the last one is kept."""
        if self._kept[0] != name:
            config, manifest = MODELS_OF[name]
            model = MODELS.build(load_config(find_config(config)).model)
            self._kept = name, load_official(model, official_weights(self.manifest(manifest), self.salt))
        return self._kept[1].eval()

    def recipe(self, group: str) -> Dict[str, Any]:
        return self.golden['values'][f'{group}/recipe']

    def stage(self, name: str, tensor: Tensor, **tolerance: float) -> Iterator[Stage]:
        """A stage that is in the file (thinned files have some of them)."""
        if name in self.golden['stages']:
            yield Stage(('stages', name), tensor, **tolerance)

    def value(self, name: str, content: Any, **tolerance: Any) -> Iterator[Stage]:
        if name in self.golden['values']:
            yield Stage(('values', name), content, **tolerance)

    def given(self, *names: str) -> Iterator[Stage]:
        yield from (Stage(('values', name), given=True) for name in names if name in self.golden['values'])

    # The network

    def isolated(self) -> Iterator[Stage]:
        yield from self.given('isolated/recipe')
        batch, height, width = (int(part) for part in self.recipe('isolated')['call'].rstrip(')').split(',')[1:])
        segmenter = self.model('ytvis19').segmenter
        maps = features(self.salt, batch, height, width)
        seen = Recorder(segmenter)
        positions = [segmenter._positions(x) for x in maps[:0:-1]]
        seen.take('pixel', segmenter.pixel_decoder(maps, positions))
        yield from self.network_stages('isolated', seen)
        for name in self.keys('isolated/position', 'stages'):
            size = [int(side) for side in name.split()[1].split('x')]
            yield from self.stage(name, segmenter._positions(torch.zeros(1, 1, *size)))

    def network(self, group: str, segmenter: MaskedAttentionSegmenter, clip: Tensor
                ) -> Iterator[Stage]:
        """Every part of the network on frames in one batch; returns the last prediction."""
        seen = Recorder(segmenter)
        predictions = segmenter(clip)
        yield from self.stage(f'{group}/input', clip)
        yield from self.network_stages(group, seen)
        for i, prediction in enumerate(predictions):
            yield from self.stage(f'{group}/layer{i}.pred_logits', prediction.logits)
            yield from self.stage(f'{group}/layer{i}.pred_masks', prediction.masks)
        yield from self.attention(group, predictions, seen.sizes)
        yield from self.stage(f'{group}/pred_embds [T,Q,C]', predictions[-1].queries)
        return predictions[-1]

    def network_stages(self, group: str, seen: 'Recorder') -> Iterator[Stage]:
        seen.remove()
        for name, tensor in seen.found.items():
            yield from self.stage(f'{group}/{name}', tensor)

    def attention(self, group: str, predictions: Sequence[Prediction], sizes: List[Tuple[int, int]]) -> Iterator[Stage]:
        """Cells that each layer does not look at, and rows that would not look anywhere."""
        blocked, reset = [], []
        for i, prediction in enumerate(predictions[:-1]):
            masks = F.interpolate(prediction.masks, sizes[i % len(sizes)], mode='bilinear', align_corners=False)
            hidden = masks.flatten(2) < 0
            empty = hidden.all(2)
            reset.append(empty.sum(1).tolist())
            blocked.append((hidden & ~empty[..., None]).sum((1, 2)).tolist())
        yield from self.value(f'{group}/attention_blocked [layer][image]', blocked)
        yield from self.value(f'{group}/attention_rows_reset [layer][image]', reset)

    # Images

    def images(self) -> Iterator[Stage]:
        recipe, model = self.recipe('image'), self.model('coco')
        names = [f'{self.salt}-image{i}-{recipe["variant"]}' for i in range(len(recipe['sizes']))]
        images = [frames(1, *size, name)[0] for size, name in zip(recipe['sizes'], names)]
        last = yield from self.network('image', model.segmenter, network_input(model, [x[None] for x in images])[:, 0])
        yield from self.image_results('image', zip(last.logits, last.masks))

    def raw_images(self) -> Iterator[Stage]:
        num = len(self.recipe('image')['sizes'])
        yield from self.image_results('image_post', [raw_image(self.salt, str(i), *RAW_SIZE) for i in range(num)])

    def image_results(self, group: str, outputs: Any) -> Iterator[Stage]:
        recipe, results = self.recipe('image'), []
        for i, (logits, masks) in enumerate(outputs):
            size = tuple(recipe['output_sizes'][i])
            found = query_instances(logits, masks, tuple(recipe['padded']), tuple(recipe['sizes'][i]), size)
            best = len(self.golden['values'][f'{group}/result'][i]['json_best'])
            records = [dict(image_id=7 + i, category_id=int(found.labels[n]), bbox=[0.] * 4,
                            score=float(found.scores[n]), segmentation=encode_mask(found.masks[n].numpy()))
                       for n in range(best)]
            results.append(dict(image_id=7 + i, size=list(size), scores=found.scores, labels=found.labels,
                                areas=found.masks.sum((1, 2)), json_best=records))
        # one pixel at the border of a small mask moves its score by 9e-5
        yield from self.value(f'{group}/result', results, rtol=0., atol=2e-4, areas=(2, 0.))

    # Videos

    def videos(self) -> Iterator[Stage]:
        for group in ('video', 'video_window', 'swin'):
            if f'{group}/recipe' in self.golden['values']:
                yield from self.given(f'{group}/recipe')
                yield from getattr(self, f'_{group}')(self.recipe(group))

    def _video(self, recipe: Dict[str, Any]) -> Iterator[Stage]:
        model = self.model(recipe['config'])
        clip = network_input(model, [self.clip('video', recipe)])[0]
        last = yield from self.network('video', model.segmenter, clip)
        yield from self.results('video', model, last, recipe)
        if self.has('video_one_frame/'):
            first = model.encode(clip[:1])
            yield from self.results('video_one_frame', model, Prediction(*first[:3]), recipe)

    def _video_window(self, recipe: Dict[str, Any]) -> Iterator[Stage]:
        model = self.model(recipe['config'])
        clip = network_input(model, [self.clip('video_window', recipe)])[0]
        parts = [Prediction(*model.encode(part)[:3]) for part in clip.split(recipe['window'])]
        whole = Prediction(*(torch.cat(x) for x in zip(*parts)))
        named = dict(pred_logits=whole.logits[None], pred_masks=whole.masks.transpose(0, 1)[None],
                     pred_embds=whole.queries.permute(2, 0, 1)[None])
        for name, tensor in named.items():
            yield from self.stage(f'video_window/{name}', tensor)
        name = 'video_window/largest_difference_to_one_pass'
        if name in self.golden['values']:
            once = Prediction(*model.encode(clip)[:3])
            pairs = zip(named, whole, once)
            yield from self.value(name, {key: float((a - b).abs().max()) for key, a, b in pairs})
        yield from self.results('video_window', model, whole, recipe)

    def _swin(self, recipe: Dict[str, Any]) -> Iterator[Stage]:
        model = self.model('swin19')
        height, width = recipe['size']
        recipe = dict(recipe, h=height, w=width, num=1, cuts=(), out=recipe['output'])
        clip = network_input(model, [self.clip('swin', recipe)])[0]
        last = yield from self.network('swin', model.segmenter, clip)
        yield from self.results('swin', model, last, recipe)
        table = model.segmenter.backbone.stages[0].blocks[0].attn.w_msa.relative_position_index
        yield from self.value('swin/relative_position_index', dict(
            first_row=table[0].tolist(), sum=int(table.sum()), crc32=zlib.crc32(table.long().numpy().tobytes())))

    def clip(self, group: str, recipe: Dict[str, Any]) -> np.ndarray:
        return frames(recipe['num'], recipe['h'], recipe['w'], f'{self.salt}-{group}{recipe["variant"]}', recipe['cuts'])

    def results(self, group: str, model: MinVIS, output: Prediction, recipe: Dict[str, Any]) -> Iterator[Stage]:
        """Tracking and records of given outputs, through the streaming interface."""
        video = VideoInfo(5, tuple(recipe['out']), (recipe['h'], recipe['w']), 1., len(output.masks))
        end = EndOfVideo(model, video, FramePredictions(*output, tuple(recipe['padded'])))
        yield from end.stages(self, group)

    def raw_videos(self) -> Iterator[Stage]:
        with torch.device('meta'):
            model = MODELS.build(load_config(find_config(MODELS_OF['ytvis19'][0])).model)
        for group in ('raw_video', 'raw_video_one_frame', 'raw_video_reduced'):
            if f'{group}/recipe' not in self.golden['values']:
                continue
            yield from self.given(f'{group}/recipe')
            recipe = self.recipe(group)
            logits, masks, embeddings, carried = raw_video(self.salt + group, recipe['frames'], *recipe['mask_size'])
            network = tuple(4 * side for side in recipe['mask_size'])
            video = VideoInfo(5, tuple(recipe['output_size']), tuple(recipe['image_size']), 1., recipe['frames'])
            end = EndOfVideo(model, video, FramePredictions(logits, masks, embeddings, network))
            yield from end.stages(self, group)
            slots = np.stack([identities[order] for identities, order in zip(carried, end.orders)])     # [T, Q]
            yield from self.value(f'{group}/identities_carried_by_top_slots [record][frame]',
                                  [slots[:, record.row].tolist() for record in end.records[:10]])
            yield from self.value(f'{group}/slots_carrying_object [object 0..13][frame]',
                                  [(slots == o).argmax(1).tolist() for o in range(14)])

    # Training

    def points(self) -> Iterator[Stage]:
        num, num_points = self.golden['stages']['points/coords [N,P,2]']['shape'][:2]
        logits = blobs(self.salt, 'points', num, *RAW_SIZE)
        draws = iter(('points-oversample', 'points-random'))
        with mock.patch('torch.rand', lambda *shape, **_: rand(next(draws), shape, self.salt)):
            coords = unsure_points(logits, num_points)
        yield from self.stage('points/coords [N,P,2]', coords)
        yield from self.stage('points/sampled', sample_at_points(logits[:, None], coords))


class EndOfVideo:
    """A video through ``advance`` and ``finish``, and what went on inside.

    Attributes:
        orders: of each frame the queries in the order of the slots; records: eleven of them.
    """

    def __init__(self, model: MinVIS, video: VideoInfo, output: FramePredictions) -> None:
        self.video, added = video, []
        self.orders: List[np.ndarray] = []
        original = query_chain.ChainState.add

        def add(state: query_chain.ChainState, logits: Tensor, masks: Tensor) -> list:
            added.append((logits, masks))
            return original(state, logits, masks)

        def follow(*args: Any) -> Tensor:
            order = original_follow(*args)
            self.orders.append(order.numpy())
            return order

        original_follow, state = query_chain.next_in_chain, model.start(video)
        with mock.patch.object(query_chain.ChainState, 'add', add), mock.patch.object(query_chain, 'next_in_chain', follow):
            model.advance(state, output)
        self.logits, self.masks = (torch.stack(x) for x in zip(*added))
        self.frames, self.verdicts = model.finish(state)
        state.ranking.num_records = 11
        self.records = state.ranking.records()

    def stages(self, parity: Parity, group: str) -> Iterator[Stage]:
        yield from parity.stage(f'{group}/merged_logits [Q,K+1]', self.logits.mean(0))
        yield from parity.stage(f'{group}/merged_masks [Q,T,h,w]', self.masks.transpose(0, 1))
        yield from parity.value(f'{group}/permutations [frame 1..][slot]', self.orders[1:])
        rows, labels, scores = zip(*self.records)
        yield from parity.value(f'{group}/top', dict(slots=list(rows[:10]), labels=list(labels[:10]),
                                                     scores=list(scores[:10]), eleventh=scores[10]), rtol=0., atol=1e-4)
        size, num_frames = self.video.ori_shape, self.video.num_frames
        empty = encode_mask(np.zeros(size, np.uint8))
        tracks = VideoResult.from_frames(self.video, list(self.frames), self.verdicts).tracks
        masks = [[track.masks.get(t, empty) for t in range(num_frames)] for track in tracks]
        areas = [[int(decode_rle(mask).sum()) for mask in track] for track in masks]
        yield from parity.value(f'{group}/areas [record][frame]', areas, whole=2)
        yield from parity.value(f'{group}/json (sorted by score)', [
            dict(video_id=5, score=track.score, category_id=track.label, segmentations=rles)
            for track, rles in zip(tracks, masks)], rtol=0., atol=1e-4)
        yield from parity.value(f'{group}/image_size', list(size))


class Recorder:
    """What the parts of a segmenter give, under the names of the files.

    Attributes:
        sizes: of the three scales.
    """

    def __init__(self, segmenter: MaskedAttentionSegmenter) -> None:
        self.found: Dict[str, Tensor] = {}
        self.sizes: List[Tuple[int, int]] = []
        pixel, decoder = segmenter.pixel_decoder, segmenter.decoder
        parts: Dict[str, nn.Module] = {f'pixel.input_proj.{i}': x for i, x in enumerate(pixel.input_convs)}
        parts.update({f'pixel.encoder.{i}': x for i, x in enumerate(pixel.encoder.layers)})
        for i, layer in enumerate(decoder.layers):
            parts.update({f'decoder.{i}.cross': layer.cross_norm, f'decoder.{i}.self': layer.self_norm,
                          f'decoder.{i}.ffn': layer.ffn_norm})
        self._hooks = [part.register_forward_hook(lambda _, args, out, name=name: self.found.__setitem__(name, out))
                       for name, part in parts.items()]
        self._hooks.append(segmenter.backbone.register_forward_hook(lambda _, args, out: self.take('backbone', out)))
        self._hooks.append(pixel.register_forward_hook(lambda _, args, out: self.take('pixel', out)))

    def take(self, part: str, out: Any) -> None:
        if part == 'backbone':
            self.found.update({f'backbone.res{i + 2}': x for i, x in enumerate(out)})
            return
        scales, self.found['pixel.mask_features'] = out
        self.sizes = [tuple(x.shape[-2:]) for x in scales]
        self.found.update({f'pixel.multi_scale.{i}': x for i, x in enumerate(scales)})

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file, or of one that holds some of its groups."""
    parity = Parity(golden, manifest_dir, salt)
    groups = {'image/input': parity.images, 'image_post/': parity.raw_images, 'points/': parity.points,
              'raw_video': parity.raw_videos, 'isolated/': parity.isolated}
    yield from parity.given('image/recipe')
    with torch.no_grad():
        yield from data_stages(parity)
        for prefix, group in groups.items():
            if parity.has(prefix):
                yield from group()
        yield from parity.videos()
    yield from loss_stages(parity)
