"""Every system trains and infers on a CUDA device that does not exist, and seldom waits for it."""
import importlib.util
import json
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu.systems import frames, training_batch, video
from helpers.tiny_systems import SYSTEMS
from helpers.tiny_vis import make_tiny_dataset
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from mmvis.apis import VISPredictor
from mmvis.engine.amp import MixedPrecisionOptimWrapper
from mmvis.engine.loops import VideoRun
from mmvis.models.layers.inference import optimize_for_inference
from virtual_cuda import VirtualCuda
from virtual_cuda.waits import count_frames

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
sys.path.insert(0, str(TOOLS))

from benchmark_weights import see_ten_objects  # noqa: E402

SIZE = (64, 96)
NAMES = sorted(SYSTEMS)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def device():
    with VirtualCuda() as device:
        yield device
    assert not device.total('error'), device.report()


def check(device, kind, number, limit):
    assert number <= limit, f'{number} ({kind}) where {limit} is the limit\n{device.report()}'


def train_step(system, dtype=None):
    model = SYSTEMS[system].tiny_model().train().to('cuda')
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    wrapper = OptimWrapper(optimizer) if dtype is None else MixedPrecisionOptimWrapper(dtype, optimizer=optimizer)
    return model, lambda: model.train_step(training_batch(system, 2, 96, 160), wrapper)


@pytest.mark.parametrize('system', NAMES)
def test_training_waits(device, system):
    model, step = train_step(system)
    step()                                              # the first one fills caches
    before = [parameter.detach().cpu() for parameter in model.parameters()]
    device.events.clear()
    losses = step()
    counts = [device.total(kind) for kind in ('sync', 'upload', 'sent')]
    assert np.isfinite(losses['loss'].item())
    assert any((old != new.cpu()).any() for old, new in zip(before, model.parameters()))
    for kind, number, limit in zip(('waits', 'uploads', 'copies without a wait'), counts, SYSTEMS[system].step):
        check(device, f'{kind} a step', number, limit)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
@pytest.mark.parametrize('system', NAMES)
def test_training_in_mixed_precision(device, system, dtype):
    model, step = train_step(system, dtype)
    assert np.isfinite(step()['loss'].item())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize('chunk', [1, 4])
@pytest.mark.parametrize('system', NAMES)
def test_waits_for_ten_objects(device, system, chunk):
    """A still video, so that every frame has the objects of the first one."""
    model = SYSTEMS[system].tiny_model(**SYSTEMS[system].ten)
    see_ten_objects(model)
    counts = count_frames(device, model.to('cuda'), 128, 192, chunk)
    assert counts.objects >= 9
    check(device, 'waits a frame', counts.waits, SYSTEMS[system].frame[0])
    check(device, 'uploads a frame', counts.uploads, SYSTEMS[system].frame[1])
    # Masks of the network have a ninth of the pixels that they have at 640x360. An image segmenter sends, as bits, originals
    # of each of the 80 pairs of query and class.
    objects, limit = (80, 256 * 384 / 8 + 20) if model.SEGMENTS_IMAGES else (counts.objects, (64 << 10) / 9)
    check(device, 'bytes to the host an object and frame', counts.num_bytes / objects, limit)


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
@pytest.mark.parametrize('system', NAMES)
def test_inference_in_16_bits(device, system, precision):
    model = optimize_for_inference(SYSTEMS[system].tiny_model().to('cuda'), precision)
    run = VideoRun(model, video(3, *SIZE))
    seen = [*run.step(frames(3, *SIZE)).frames, *run.finish().frames]
    assert [frame.frame_idx for frame in seen] == [0, 1, 2]


def write_config(folder, system):
    system = SYSTEMS[system]
    ann_file = make_tiny_dataset(folder, 1, 5, size=(60, 100), split='valid',
                                 categories=[{'id': 3 * index + 2, 'name': f'{index}'} for index in range(5)])
    torch.save({'state_dict': system.tiny_model().state_dict()}, folder / 'model.pth')
    dataset = dict(type='VISDataset', ann_file=str(ann_file), img_prefix=str(folder / 'valid' / 'JPEGImages'),
                   test_mode=True, pipeline=[dict(type='ClipResize', scale=(96, 64), rule='mmcv')], chunk_size=2)
    Config(dict(default_scope='mmvis', model=system.tiny_config(), test_dataloader=dict(
        batch_size=1, num_workers=0, sampler=dict(type='VideoSampler'), collate_fn=dict(type='clip_collate'),
        dataset=dataset))).dump(folder / 'tiny.py')
    return folder / 'tiny.py', folder / 'model.pth'


@pytest.mark.parametrize('system', NAMES)
def test_the_tool_and_the_predictor(device, system, tmp_path, monkeypatch):
    config, checkpoint = write_config(tmp_path, system)
    spec = importlib.util.spec_from_file_location('test_video_tool', TOOLS / 'test_video.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', ['test_video.py', str(config), str(checkpoint), '--out', str(tmp_path / 'r.json'),
                                      '--work-dir', str(tmp_path), '--cfg-options', f'experiment_name={uuid.uuid4().hex}'])
    tool.main()
    assert {entry['video_id'] for entry in json.loads((tmp_path / 'r.json').read_text())} <= {10}

    predictor = VISPredictor(config, checkpoint)
    assert predictor.device.type == 'cuda'
    seen = [frame for _, frame in predictor.run(list(np.random.default_rng(0).integers(
        255, size=(4, 60, 100, 3), dtype=np.uint8)))]
    assert [frame.frame_idx for frame in seen] == [0, 1, 2, 3]
