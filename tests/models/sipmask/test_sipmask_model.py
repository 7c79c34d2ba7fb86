"""SipMask-VIS on the model contract: configs, inference by chunks, precision, the official numbers."""
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_sipmask import tiny_model
from mmengine.config import Config

from mmvis.models import SipMaskVIS
from mmvis.models.layers.deform_conv import FastDeformConv3x3
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.ops.onednn import onednn_serves
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo, decode_rle

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / 'configs' / 'sipmask'
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402
from parity import sipmask as parity_sipmask  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'sipmask' / 'public.json'


@pytest.mark.parametrize('name', sorted(p.name for p in CONFIGS.glob('*.py')))
def test_every_config_builds(name):
    config = Config.fromfile(CONFIGS / name)
    model = MODELS.build(config.model)
    assert type(model) is SipMaskVIS and type(model.backbone).__module__.startswith('mmdet.')
    assert model.bbox_head.num_classes == config.num_classes == model.bbox_head.fcos_cls.out_channels
    sets = {config[f'{name}_dataloader'].dataset.type for name in ('train', 'val', 'test')}
    assert len(sets) == 1
    assert config.train_dataloader.dataset.pipeline[-1].type == 'ClipClampBoxes'
    ranges = config.model.bbox_head.regress_ranges
    assert len(ranges) == len(config.model.bbox_head.strides) == config.model.neck.num_outs


def test_official_numbers(capsys):
    assert check_parity.main(['sipmask', str(GOLDEN)]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert 'compared 82 of 82, 0 beyond tolerance' in out and 'results_json.results' in out


def test_official_numbers_of_the_optimised_model(monkeypatch, capsys):
    build = parity_sipmask.build
    monkeypatch.setattr(parity_sipmask, 'build', lambda *args: optimize_for_inference(build(*args)))
    assert check_parity.main(['sipmask', str(GOLDEN)]) == 0, capsys.readouterr().out


VIDEO = VideoInfo('v', (128, 192), (64, 96), 0.5, 6)


def run(model, chunk_size, clip, video=VIDEO):
    state, frames = model.start(video), []
    for start in range(0, len(clip), chunk_size):
        frames += model.step(state, clip[start:start + chunk_size])
    rest, verdicts = model.finish(state)
    assert list(rest) == []
    return frames, verdicts


def make_clip(num=6):
    return torch.randn(num, 3, 64, 96, generator=torch.Generator().manual_seed(3))


def test_results_are_in_the_original_frame_and_do_not_depend_on_the_chunks():
    model = tiny_model()
    frames, verdicts = run(model, 1, make_clip())
    assert [frame.frame_idx for frame in frames] == list(range(6)) and max(map(len, frames)) > 2
    pixels = 0
    for frame in frames:
        assert len(set(frame.track_ids.tolist())) == len(frame) <= 10
        assert frame.boxes.dtype == frame.scores.dtype == np.float32 and frame.labels.dtype == np.int64
        assert (frame.boxes >= 0).all() and (frame.boxes <= [190, 126, 190, 126]).all()
        for box, mask in zip(frame.boxes, frame.masks):
            assert mask['size'] == [128, 192]
            rows, columns = np.nonzero(decode_rle(mask))
            pixels += len(rows)
            if len(rows):                                  # the edge of a crop is as soft as a pixel of the small mask
                assert box[0] - 4 <= columns.min() and columns.max() <= box[2] + 4
                assert box[1] - 4 <= rows.min() and rows.max() <= box[3] + 4
    assert pixels > 1000 and max(frame.boxes.max() for frame in frames if len(frame)) > 96
    seen = list(dict.fromkeys(i for frame in frames for i in frame.track_ids.tolist()))
    assert [verdict.track_id for verdict in verdicts] == seen
    for chunk_size in (2, 6):
        others, other_verdicts = run(model, chunk_size, make_clip())
        for a, b in zip(frames, others):
            assert a.track_ids.tolist() == b.track_ids.tolist() and a.labels.tolist() == b.labels.tolist()
            np.testing.assert_allclose(a.boxes, b.boxes, rtol=1e-3, atol=1e-2)
        assert [v.label for v in verdicts] == [v.label for v in other_verdicts]


def test_results_do_not_change_with_the_frames_that_follow():
    """Nothing that a step has returned shares memory with the state."""
    model = tiny_model()
    state, clip = model.start(VIDEO), make_clip()
    first = model.step(state, clip[:1])[0]
    boxes, scores = first.boxes.copy(), first.scores.copy()
    model.step(state, clip[1:])
    assert np.array_equal(first.boxes, boxes) and np.array_equal(first.scores, scores)


def test_an_empty_first_frame_does_not_keep_the_video_before_alive():
    model = tiny_model()
    first, _ = run(model, 2, make_clip())
    state = model.start(VIDEO)
    model.bbox_head.test_cfg['score_thr'] = 1.1
    assert len(model.step(state, make_clip(1))[0]) == 0
    model.bbox_head.test_cfg['score_thr'] = 0.03
    assert [f.track_ids.tolist() for f in model.step(state, make_clip())] == [f.track_ids.tolist() for f in first]


def test_frames_without_detections():
    frames, verdicts = run(tiny_model(test_cfg=dict(score_thr=1.1)), 4, make_clip())
    assert [len(frame) for frame in frames] == [0] * 6 and verdicts == []


@torch.no_grad()
def test_coefficients_and_embeddings_of_the_detections_are_those_of_the_whole_maps():
    model = tiny_model()
    head, pyramid = model.bbox_head, model.extract_features(make_clip(1))
    maps = head(pyramid)
    every = torch.cat([head.sip_cof(x)[0].flatten(1) for x in maps.aligned], dim=1).T
    places = torch.tensor([0, 95, 96, 97, 119, 120, 125, len(every) - 1])
    torch.testing.assert_close(head.coefficients([x[0] for x in maps.aligned], places).flatten(1), every[places])
    tracking = head.track_features(pyramid)
    whole = head.sipmask_track(tracking)[0]
    boxes = torch.tensor([[0., 0., 30., 20.], [40., 8., 95., 63.]])
    torch.testing.assert_close(head.embed(tracking[0], boxes), whole[:, [1, 4], [1, 8]].T)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_optimised_model_finds_the_same_objects(precision):
    plain, _ = run(tiny_model(), 2, make_clip(2))
    with torch.inference_mode():
        model = optimize_for_inference(tiny_model(), precision)
        served = onednn_serves(torch.zeros(1, dtype=torch.bfloat16 if precision == 'bf16' else torch.float32))
        assert isinstance(model.bbox_head.feat_align.conv_adaption, FastDeformConv3x3) == served
        fast, verdicts = run(model, 2, make_clip(2))
    assert len(plain[0]) and all(frame.boxes.dtype == np.float32 for frame in fast)
    if precision == 'fp32':
        for a, b in zip(plain, fast):
            assert a.labels.tolist() == b.labels.tolist() and a.track_ids.tolist() == b.track_ids.tolist()
            np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-4)
    assert len(verdicts) and abs(len(fast[0]) - len(plain[0])) <= 2


def test_options_of_the_config_reach_the_parts():
    model = tiny_model(test_cfg=dict(max_per_img=2, nms_pre=7, nms=dict(iou_thr=0.3)),
                       tracker=dict(type='AssociationTracker', max_age=3))
    assert model.bbox_head.test_cfg['nms_pre'] == 7 and model.bbox_head.test_cfg['score_thr'] == 0.03
    assert model.bbox_head.test_cfg['nms']['iou_thr'] == 0.3 and model.tracker.max_age == 3
    detections, _ = model.bbox_head.detect(model.extract_features(make_clip(2)), VIDEO)
    assert [len(found.boxes) for found in detections] == [2, 2]
