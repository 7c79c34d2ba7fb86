"""What is asked of a GPU before it is used, and what is told of one that cannot be."""
import importlib.util
import logging
import sys
from pathlib import Path

import pytest
import torch
from virtual_cuda import VirtualCuda

from mmvis.cli import describe
from mmvis.engine import MixedPrecisionOptimWrapper, gpus
from mmvis.engine.launch import init_dist
from mmvis.engine.loops import VideoRun
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.models.layers.stages import StageTimer, stage
from mmvis.ops.roi_align_bags import roi_align


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """The driver of the system has found a GPU."""
    (tmp_path / '0000:01:00.0').mkdir()
    monkeypatch.setattr(gpus, '_DRIVER', tmp_path)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    gpus.warn_of_unusable_gpu.cache_clear()
    yield
    gpus.warn_of_unusable_gpu.cache_clear()


def test_a_gpu_that_is_passed_over_is_told_once(driver, monkeypatch):
    said = []
    monkeypatch.setattr(gpus, 'print_log', lambda text, logger, level: said.append((text, level)))
    monkeypatch.setattr(torch.version, 'cuda', '13.0')

    def init():
        raise RuntimeError('The NVIDIA driver on your system is too old\n(found version 11040)')

    monkeypatch.setattr(torch.cuda, 'init', init)
    gpus.warn_of_unusable_gpu()
    gpus.warn_of_unusable_gpu()
    assert said == [('This machine has a GPU, but all runs on the CPU: The NVIDIA driver on your system is too old (found '
                     'version 11040).', logging.WARNING)]


def test_no_warning_without_a_gpu_or_with_a_hidden_one(driver, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.version, 'cuda', None)
    assert 'without CUDA' in gpus.unusable_gpu()
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert gpus.unusable_gpu() is None
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    monkeypatch.setattr(gpus, '_DRIVER', tmp_path / 'none')
    assert gpus.unusable_gpu() is None


def wrapper_on(device, **options):
    return MixedPrecisionOptimWrapper(optimizer=torch.optim.SGD(torch.nn.Linear(2, 2).to(device).parameters(), 0.1), **options)


@pytest.mark.parametrize('capability, dtype', [((7, 5), torch.float16), ((8, 0), torch.bfloat16)])
def test_mixed_precision_takes_no_emulated_bfloat16(capability, dtype):
    with VirtualCuda(capability):
        assert wrapper_on('cuda').dtype == dtype
        if dtype == torch.float16:
            with pytest.raises(ValueError, match='bfloat16, which this GPU does not have'):
                wrapper_on('cuda', dtype='bfloat16')
            with pytest.raises(ValueError, match="'bf16' needs a GPU of the Ampere generation"):
                optimize_for_inference(torch.nn.Linear(2, 2).to('cuda'), 'bf16')
            optimize_for_inference(torch.nn.Linear(2, 2).to('cuda'), 'fp16')


def test_what_is_measured_is_the_device_of_the_model():
    with VirtualCuda() as device:
        assert wrapper_on('cpu').device_type == 'cpu'
        with StageTimer('cpu'), stage('a'):
            pass
        assert device.total('sync') == 0
        with StageTimer('cuda'), stage('a'):
            pass
        assert device.total('sync') == 2


def test_roi_align_compiles_nothing_in_deterministic_mode(monkeypatch):
    monkeypatch.setattr(torch, 'compile', None)
    before = torch.are_deterministic_algorithms_enabled()
    with VirtualCuda():
        features = torch.rand(1, 2, 8, 8, requires_grad=True).to('cuda')
        rois = torch.tensor([[0., 1., 1., 20., 20.]]).to('cuda')
        expected = roi_align(features, rois, 3, 0.25, 2)
        # what torchvision compiles
        monkeypatch.setattr(sys.modules['torchvision.ops.roi_align'], '_roi_align', None)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            assert torch.equal(roi_align(features, rois, 3, 0.25, 2).cpu(), expected.cpu())
        finally:
            torch.use_deterministic_algorithms(before)


def test_a_full_gpu_is_told_with_what_helps(monkeypatch):
    error = torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
    assert describe(error).text.endswith('Take a smaller batch (--cfg-options train_dataloader.batch_size=N) or --amp.')

    class Full:
        data_preprocessor = None

        def start(self, *args):
            raise torch.OutOfMemoryError('CUDA out of memory.')

    with pytest.raises(torch.OutOfMemoryError) as raised:
        VideoRun(Full(), None)
    text = describe(raised.value).text
    assert 'test_dataloader.dataset.chunk_size=1' in text and 'batch_size' not in text


@pytest.fixture
def float32_flags():
    """What PyTorch computes convolutions and products of matrices with; put back afterwards."""
    def flags():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    before = flags()
    yield flags
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize('precision', ['fp32', 'tf32'])
def test_tf32_is_for_convolutions_and_products_alike(float32_flags, precision):
    with VirtualCuda():
        optimize_for_inference(torch.nn.Linear(2, 2).to('cuda'), precision)
    assert float32_flags() == (precision == 'tf32', precision == 'tf32')
    with pytest.raises(ValueError, match="'tf32' needs CUDA"):
        optimize_for_inference(torch.nn.Linear(2, 2), 'tf32')


def training_tool():
    path = Path(__file__).resolve().parents[2] / 'tools' / 'train.py'
    spec = importlib.util.spec_from_file_location('train_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_a_training_says_what_float32_is(float32_flags, monkeypatch):
    tool, config = training_tool(), 'masktrack_rcnn_r18_fpn_sample.py'

    def read(*options):
        monkeypatch.setattr(sys, 'argv', ['train.py', config, *options])
        tool.read_config(tool.parse_args())
        return float32_flags()

    default = read()
    with VirtualCuda():
        assert read() == default                        # that of PyTorch, as in the published trainings
        assert read('--precision', 'tf32') == (True, True)
        assert read('--precision', 'fp32', '--amp') == (False, False)
    assert read('--precision', 'fp32') == (False, False)
    with pytest.raises(ValueError, match="precision 'tf32' needs CUDA, but the model is on cpu: use 'fp32'"):
        read('--precision', 'tf32')


def test_nccl_is_told_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda *args, **options: seen.append((args, options)))
    for name, value in dict(RANK=3, WORLD_SIZE=4, LOCAL_RANK=0, MASTER_ADDR='127.0.0.1', MASTER_PORT=29500).items():
        monkeypatch.setenv(name, str(value))
    seen = []
    with VirtualCuda():
        init_dist('pytorch')
        init_dist('pytorch', backend='gloo')
    (args, nccl), (_, gloo) = seen
    assert args == ('nccl',) and nccl['device_id'] == torch.device('cuda', 0) and 'device_id' not in gloo
