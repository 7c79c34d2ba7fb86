"""CPU and GPU agree; mixed precision works; two GPUs train as one. Skipped without a GPU: sh tests/gpu/run.sh runs all."""
import copy

import pytest
import torch
from gpu.systems import CONFIGS, build, frames, training_batch, video
from gpu.two_processes import check_two_processes

from mmvis.engine.loops import VideoRun
from mmvis.models.layers.inference import optimize_for_inference

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')]
SYSTEMS = sorted(CONFIGS)


@pytest.fixture(autouse=True)
def exact_float32():
    """TF32 would hide what is compared."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def first_outputs(model, images):
    """Output tensors of every part of a model in one step over ``images``, by name, on the CPU."""
    outputs = {}

    def remember(name):
        def hook(module, inputs, output):
            tensors = output if isinstance(output, (tuple, list)) else [output]
            for index, tensor in enumerate(t for t in tensors if torch.is_tensor(t)):
                outputs.setdefault(f'{name}.{index}', tensor.detach().float().cpu().clone())
        return hook

    handles = [part.register_forward_hook(remember(name)) for name, part in model.named_modules()]
    run = VideoRun(model, video(len(images)))
    run.step(images)
    list(run.finish().frames)
    for handle in handles:
        handle.remove()
    return outputs


@pytest.mark.parametrize('system', SYSTEMS)
def test_network_agrees_with_the_cpu(system):
    model, images = build(system), frames(2)
    expected = first_outputs(model, images)
    actual = first_outputs(copy.deepcopy(model).cuda(), images)
    compared = 0
    # what comes after these depends on ties of random scores
    for name in ('backbone', 'neck', 'input_proj', 'encoder', 'segmenter.backbone', 'segmenter.pixel_decoder'):
        for key in (k for k in expected if k.startswith(f'{name}.')):
            scale = expected[key].abs().max()
            assert (actual[key] - expected[key]).abs().max() <= 1e-4 + 1e-3 * scale, key
            compared += 1
    assert compared


@pytest.mark.parametrize('system', SYSTEMS)
def test_losses_agree_with_the_cpu(system):
    model = build(system).train()
    losses = {}
    for device in ('cpu', 'cuda'):
        torch.manual_seed(1)
        on_device = copy.deepcopy(model).to(device)
        data = on_device.data_preprocessor(training_batch(system), True)
        losses[device] = on_device.loss(data['inputs'], data['data_samples'])
    assert losses['cpu'].keys() == losses['cuda'].keys()
    total = {device: model.parse_losses(value)[0].item() for device, value in losses.items()}
    assert total['cuda'] == pytest.approx(total['cpu'], rel=5e-2)      # the sampled boxes may differ


@pytest.mark.parametrize('precision', ['fp32', 'bf16', 'fp16'])
@pytest.mark.parametrize('system', SYSTEMS)
def test_inference_in_every_precision(system, precision):
    model = optimize_for_inference(build(system).cuda(), precision)
    run = VideoRun(model, video(4))
    seen = [*run.step(frames(4)).frames, *run.finish().frames]
    assert [frame.frame_idx for frame in seen] == [0, 1, 2, 3]


@pytest.mark.parametrize('system', SYSTEMS)
def test_mixed_precision_training_step(system):
    model = build(system).train().cuda()
    torch.manual_seed(1)
    with torch.autocast('cuda', torch.bfloat16):
        data = model.data_preprocessor(training_batch(system), True)
        loss, _ = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two CUDA devices')
@pytest.mark.parametrize('system', SYSTEMS)
def test_two_gpus_average_their_gradients(system, tmp_path):
    check_two_processes(system, tmp_path)
