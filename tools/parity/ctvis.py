"""Stages of CTVIS: network, association and results, on images and on outputs made by hand."""
from pathlib import Path
from typing import Any, Dict, Iterator, List
from unittest import mock

import numpy as np
import torch

from mmvis.models import CTVIS
from mmvis.models.ctvis import model as ctvis_model
from mmvis.models.ctvis.detect import mask_nms, mask_overlaps
from mmvis.models.ctvis.tracker import SimilarityTracker, TrackTable
from mmvis.models.layers.similarity_fusion import SimilarityFusion
from mmvis.models.mask2former.decoder import Prediction
from mmvis.models.mask2former.segmenter import FramePredictions
from mmvis.structures import VideoInfo, decode_rle, encode_mask

from . import fill
from .compare import Stage
from .ctvis_inputs import (
    NUM_CLASSES,
    SCENARIOS,
    build_model,
    nms_masks,
    observations,
    read_manifest,
    scenario,
    weights,
)
from .ctvis_losses import contrastive, training
from .minvis import Recorder
from .minvis_inputs import network_input
from .videos import load_official


class Watch:
    """A video through ``advance`` and ``finish``, and what went on inside."""

    def __init__(self, model: CTVIS, video: VideoInfo, output: FramePredictions) -> None:
        self.video, self.frames, self.seen = video, [], {}
        state = model.start(video)
        with mock.patch.object(ctvis_model, 'detect', self._watched(ctvis_model.detect, self._detected)), \
                mock.patch.object(SimilarityTracker, 'similarity', self._watched(SimilarityTracker.similarity, self._compared)), \
                mock.patch.object(SimilarityTracker, 'update', self._watched(SimilarityTracker.update, self._updated)), \
                mock.patch.object(TrackTable, 'add', self._watched(TrackTable.add, self._added)):
            self.results = model.advance(state, output)
        self.state, (_, self.verdicts) = state, model.finish(state)

    @staticmethod
    def _watched(function: Any, tell: Any) -> Any:
        def watched(*args: Any) -> Any:
            out = function(*args)
            tell(out, *args)
            return out
        return watched

    def _detected(self, found: Any, *args: Any) -> None:
        self.frames.append(dict(frame=len(self.frames), query=found.queries, scores=found.scores))

    def _compared(self, similarity: Any, tracker: Any, bank: Any, *args: Any) -> None:
        self.frames[-1].update(bank_ids=list(bank.tracks), bank_frames=[x.num_seen for x in bank.tracks.values()],
                               match_scores=similarity)

    def _updated(self, ids: List[Any], tracker: Any, bank: Any, *args: Any) -> None:
        kept = [i for i in ids if i is not None]
        self.frames[-1].update(ids=kept, dropped_unmatched=len(ids) - len(kept), bank_after=list(bank.tracks))

    def _added(self, track_id: int, table: Any, bank_id: int, frame_idx: int, *args: Any) -> None:
        self.seen.setdefault(track_id, []).append(frame_idx)

    def tracks(self) -> Dict[str, Any]:
        """Frames and tracks."""
        table = self.state.table
        content = dict(frames=self.frames, tracks=len(table.rows))
        if table.rows:
            content.update(frames_of_track=[self.seen[row.track_id] for row in table.rows.values()],
                           mean_logits=table.mean_logits())
        return content

    def final(self, num_json: int) -> Dict[str, Any]:
        """The results, the first ones as they are written."""
        found = {(int(i), frame.frame_idx): rle for frame in self.results for i, rle in zip(frame.track_ids, frame.masks)}
        empty = encode_mask(np.zeros(self.video.ori_shape, np.uint8))
        masks = [[found.get((x.track_id, t), empty) for t in range(len(self.results))] for x in self.verdicts]
        content = dict(scores=[x.score for x in self.verdicts], labels=[x.label for x in self.verdicts],
                       areas=[[int(decode_rle(rle).sum()) for rle in track] for track in masks],
                       json_first=[dict(video_id=7, score=x.score, category_id=x.label, segmentations=track)
                                   for x, track in zip(self.verdicts[:num_json], masks)])
        if self.verdicts:
            content.update(image_size=list(self.video.ori_shape), num_records=len(self.verdicts))
        return content


def scenarios(golden: Dict[str, Any], salt: str) -> Iterator[Stage]:
    """Tracker and results on outputs made by hand, through the streaming interface."""
    sizes = golden['settings']['scenario']
    with torch.device('meta'):
        model = build_model(NUM_CLASSES)
    for name in golden['values']['scenario']:
        logits, masks, embeddings = scenario(name, salt, sizes['mask'])
        video = VideoInfo(7, tuple(sizes['video']), tuple(sizes['image']), 1., SCENARIOS[name][0])
        watch = Watch(model, video, FramePredictions(logits, masks, embeddings, tuple(sizes['padded'])))
        bank = {i: track.memory.fused for i, track in watch.state.bank.tracks.items()}
        yield Stage(('values', 'scenario', name), dict(watch.tracks(), final=watch.final(1), final_bank=bank))


def small(golden: Dict[str, Any], salt: str) -> Iterator[Stage]:
    if 'memory' in golden['values']:
        memory, steps = SimilarityFusion(10), []
        for embedding in observations(salt):
            fused = memory.add(embedding)
            steps.append(dict(beta=float(memory.weight), held=len(memory.kept), fused=fused.tolist()))
        yield Stage(('values', 'memory'), steps)
    if 'nms' in golden['values']:
        overlaps = mask_overlaps(nms_masks() > 0)
        yield Stage(('values', 'nms'), dict(recipe=golden['values']['nms']['recipe'], iou=overlaps,
                                            keep=mask_nms(overlaps.numpy(), 0.6).tolist()))


def network_stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """The network on one frame, with weights as they are filled and calibrated, and a whole video."""
    values, settings = golden['values'], golden['settings']
    for group, manifest in (('plain', 'manifest.json'), ('ovis', 'manifest_ovis_r50.json')):
        if any(key.startswith(f'{group}/') for key in golden['stages']):
            state = weights(read_manifest(manifest_dir / manifest), salt)
            model = load_official(build_model(25 if group == 'ovis' else 40), state)
            yield from _given_stages(golden, named(model, group, model.segmenter(_frames(model, settings['plain'], salt))[-1]))
    if not {'spread/images_salt', 'video'} & values.keys():
        return
    model = load_official(build_model(40), weights(read_manifest(manifest_dir / 'manifest.json'), salt, golden['calibration']))
    if 'spread/images_salt' in values:
        yield Stage(('values', 'spread/images_salt'), given=True)
        yield from _spread(golden, model, _frames(model, settings['network'], values['spread/images_salt']))
    if 'video' in values:
        num, height, width = settings['video']
        video = VideoInfo(7, tuple(settings['video_original']), (height, width), 1., num)
        watch = Watch(model, video, model.encode(_frames(model, settings['video'], salt)))
        final, reference = watch.final(2), values['video']
        told = {key: reference[key] for key in ('margins', 'stability') if key in reference}
        yield Stage(('values', 'video'), {**watch.tracks(), **final, **told}, atol=1e-3, areas=(20, 0.))


def _spread(golden: Dict[str, Any], model: CTVIS, images: torch.Tensor) -> Iterator[Stage]:
    seen = Recorder(model.segmenter)
    predictions = model.segmenter(images)
    seen.remove()
    found = {'spread/input [T,3,H,W]': images, 'spread/pixel_decoder.mask_features [T,256,H/4,W/4]':
             seen.found['pixel.mask_features']}
    for name, tensor in seen.found.items():
        kind, *rest = name.split('.')
        if kind == 'backbone':
            found[f'spread/{name}'] = tensor
        elif name.startswith('pixel.multi_scale.'):
            found[f'spread/pixel_decoder.level{rest[1]} (stride {32 >> int(rest[1])})'] = tensor
        elif kind == 'decoder':
            found[f'spread/decoder.layer{rest[0]}.{rest[1]} [Q,T,C]'] = tensor.transpose(0, 1)
    for i, prediction in enumerate(predictions):
        shapes = {'pred_logits': '[T,Q,K+1]', 'pred_masks': '[T,Q,H/4,W/4]', 'pred_embeds': '[T,Q,256]',
                  'pred_queries': '[T,Q,256]'}
        found.update({f'{key} {shapes[key.split(".")[1]]}': x
                      for key, x in named(model, f'spread/heads{i}', prediction, '.').items()})
    yield from _given_stages(golden, found)
    key = 'spread/attention_mask_true_count of heads 0..8 (first head of attention)'
    if key in golden['values']:
        blocked = [int((torch.nn.functional.interpolate(x.masks, seen.sizes[i % 3], mode='bilinear') < 0).sum())
                   for i, x in enumerate(predictions[:-1])]
        yield Stage(('values', key), blocked)
    key = 'spread/least_attention_logit'
    if key in golden['values']:
        least = min(float(torch.nn.functional.interpolate(x.masks, seen.sizes[i % 3], mode='bilinear').abs().min())
                    for i, x in enumerate(predictions[:-1]))
        yield Stage(('values', key), least)


def named(model: CTVIS, group: str, prediction: Prediction, separator: str = '/') -> Dict[str, torch.Tensor]:
    """What the heads give, under the names of the files."""
    return {f'{group}{separator}{key}': x for key, x in dict(
        pred_logits=prediction.logits, pred_masks=prediction.masks, pred_embeds=model.reid_head(prediction.queries),
        pred_queries=prediction.queries).items()}


def _given_stages(golden: Dict[str, Any], found: Dict[str, torch.Tensor]) -> Iterator[Stage]:
    for name, tensor in found.items():
        if name in golden['stages']:
            yield Stage(('stages', name), tensor)


def _frames(model: CTVIS, setting: List[int], salt: str) -> torch.Tensor:
    return network_input(model, [fill.frames(*setting, salt)[..., ::-1]])[0]


def stages(golden: Dict[str, Any], manifest_dir: Path, salt: str) -> Iterator[Stage]:
    """All stages of a parity file, or of one that holds some of its groups."""
    for key in ('notes', 'settings', 'calibration'):
        if key in golden:
            yield Stage((key,), given=True)
    if 'cl' in golden['values']:
        yield from contrastive(golden, salt)
    if any(key.startswith('train/') for part in ('stages', 'values') for key in golden[part]):
        yield from training(golden, manifest_dir, salt)
    with torch.no_grad():
        yield from small(golden, salt)
        if 'scenario' in golden['values']:
            yield from scenarios(golden, salt)
        yield from network_stages(golden, manifest_dir, salt)
