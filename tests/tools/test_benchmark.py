"""The benchmark runs and says what it must; how fast anything is, is no matter of a test."""
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import tiny_instanceformer, tiny_masktrack
from helpers.tiny_videomt import tiny_frames, tiny_model

from mmvis.engine import run_tool

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools'))

import benchmark_memory  # noqa: E402
import benchmark_vit  # noqa: E402
from benchmark_weights import see_ten_objects  # noqa: E402


def benchmark(python, *args):
    command = [python, ROOT / 'tools/benchmark.py', 'inference', *args]
    return subprocess.run(command, capture_output=True, text=True)


def test_table_with_yardstick_and_peer(python):
    done = benchmark(python, 'masktrack_rcnn_r50_fpn_1x_youtubevos.py', '--frames', '1', '--threads', '1', '--peer',
                     'mmdet')
    assert done.returncode == 0, done.stderr
    for stage in ('yardstick', 'load', 'network', 'association', 'masks', 'encode', 'all but load'):
        assert re.search(rf'^ +{stage} +\d+\.\d+', done.stdout, re.M), (stage, done.stdout)
    # Ours, and the peer with the same weights.
    assert done.stdout.count('10.0 objects a frame') == 2
    assert 'frames of 1280x720 at 640x360' in done.stdout and 'peak resident memory' in done.stdout


def test_whole_videos_of_a_system_that_decides_later(python):
    done = benchmark(python, 'ifc_r18_sample.py', '--frames', '1', '--whole-videos', '4', '--threads', '1',
                     '--cfg-options', 'model.num_queries=12')
    assert done.returncode == 0, done.stderr
    seconds = float(re.search(r'all but load +(\d+\.\d+)', done.stdout)[1])
    speed = float(re.search(r'frames per second +(\d+\.\d+)', done.stdout)[1])
    assert speed == pytest.approx(1 / seconds, rel=0.05)
    assert '10.0 objects a frame' in done.stdout and 'videos of 4 frames' in done.stdout


def test_the_data_loader_beside_the_training(python):
    command = [python, ROOT / 'tools/benchmark.py', 'training', 'sipmask_r18_sample.py', '--loader', '0', '1', '--steps', '1',
               '--batch-size', '1', '--threads', '1', '--cfg-options', 'data_root=nowhere']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'data: sample videos (' in done.stdout and 'nowhere' in done.stdout
    rows = re.findall(r'^\| (\d) \| (\d+\.\d) \| (\d+\.\d) \| (\d+) % \|$', done.stdout, re.M)
    assert [row[0] for row in rows] == ['0', '1']
    assert all(row[1] == row[2] and float(row[1]) > 0 and 0 <= int(row[3]) < 100 for row in rows)


@pytest.mark.parametrize('args, sentence', [
    (['no_such_config.py'], 'no_such_config.py'),
    (['masktrack_rcnn_r18_fpn_sample.py', '--precision', 'fp16'], 'needs CUDA'),
    (['masktrack_rcnn_r18_fpn_sample.py', '--frames', '0'], '--frames'),
    (['masktrack_rcnn_r18_fpn_custom.py', '--cfg-options', 'data_root=nowhere'], 'Looked in nowhere'),  # for the classes
    (['ifc_r18_sample.py', '--json', '/proc/x.json'], '/proc/x.json cannot be written'),
    (['ifc_r18_sample.py', '--checkpoint', 'x.pth', '--json', 'x.pth'], 'x.pth is an input of this run'),
    (['ifc_r18_sample.py', '--whole-videos', '4', '--peer', 'mmdet'], '--peer')])
def test_mistakes_cost_a_sentence(args, sentence, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    tool = importlib.import_module('benchmark')
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'inference', *args, '--threads', '1'])
    with pytest.raises(SystemExit) as exit_:
        run_tool(tool.main)
    assert exit_.value.code == 1 and sentence in capsys.readouterr().err


@torch.no_grad()
def test_the_plain_videomt_computes_what_ours_does():
    pytest.importorskip('timm')
    model, frame = tiny_model(), tiny_frames(1, (48, 80))
    tokens = model.encode(frame)
    ours = model.frame_outputs(model.q.weight[None], tokens.x, tokens.rotation, tokens.size)
    for mine, plain in zip(ours, benchmark_vit.PlainVidEoMT(model)(frame, model.q.weight[None])):
        torch.testing.assert_close(plain, mine, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match='DINOv2 alone'):
        benchmark_vit.PlainVidEoMT(tiny_model(backbone=dict(type='ViT', embed_dims=32, depth=2, num_heads=2,
                                                            position='rotary')))


def test_the_network_is_timed_frame_by_frame():
    model = tiny_model()
    seconds = benchmark_vit.time_network(model, [(48, 64, 3), (64, 48, 2)], 2, 1, 'cpu')
    assert 0 < seconds < 5
    calls = []
    model.encode = lambda frame: calls.append(tuple(frame.shape)) or type(model).encode(model, frame)
    benchmark_vit.time_network(model, [(48, 64, 3), (64, 48, 2)], 2, 1, 'cpu')
    assert calls == [(1, 3, 48, 64)] * 3 + [(1, 3, 64, 48)] * 2 + [(1, 3, 48, 64)] * 3


def test_blobs_are_the_masks_of_ten_objects():
    model = tiny_model(num_queries=16)
    see_ten_objects(model)
    tokens = model.encode(tiny_frames(1, (64, 80)))
    _, logits, masks = model.frame_outputs(model.q.weight[None], tokens.x, tokens.rotation, tokens.size)
    assert (logits[0].argmax(1) == 0).tolist() == [True] * 10 + [False] * 6
    assert (masks[0, :10] > 0).flatten(1).any(1).all()


def test_what_is_kept_for_the_backward_pass_and_by_a_video():
    vit = dict(type='ViT', embed_dims=24, depth=4, num_heads=3, grid=4, layer_scale=1.)
    kept = [benchmark_memory.kept_for_backward(tiny_model(backbone=dict(vit, **options)), 2, (48, 64))
            for options in ({}, dict(with_cp=True), dict(frozen_blocks=2))]
    assert kept[1] < kept[0] / 1.5 and kept[2] < kept[0]
    model = tiny_model()
    (first, _, some), *_, (last, resident, masks) = benchmark_memory.memory_of_a_video(model, 20, (48, 64))
    assert (first, last) == (2, 20) and 0 < some < masks and resident > 2 ** 20


def test_what_saves_memory_is_known_by_the_system():
    assert benchmark_memory.savings(tiny_instanceformer.tiny_model()) == {'with_cp': dict(with_cp=True)}
    kept = [benchmark_memory.kept_for_backward(tiny_instanceformer.tiny_model(with_cp=with_cp), 2, (64, 96))
            for with_cp in (False, True)]
    assert kept[1] < kept[0] * 0.8
    with pytest.raises(ValueError, match='MaskTrackRCNN has no option that makes'):
        benchmark_memory.savings(tiny_masktrack.tiny_model())
