"""A model made fast gives the numbers of the plain one."""
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from helpers.tiny_videomt import tiny_frames, tiny_model
from mmdet.models import FPN, ResNet
from torch import nn

from mmvis.engine import load_config
from mmvis.models import MaskTrackRCNN  # noqa: F401  (registers it)
from mmvis.models.layers import inference
from mmvis.models.layers.inference import FastAttention, FastConv2d, FastLinear, compile_parts, optimize_for_inference
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo, decode_rle

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402
from parity import masktrackrcnn as parity_masktrackrcnn  # noqa: E402


def random_norms(model):
    """Statistics and weights of batch norms far from the identity, so that a wrong fold shows."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


def assert_same(out, plain, tolerance):
    scale = plain.abs().max()
    torch.testing.assert_close(out.float(), plain, rtol=0, atol=float(scale) * tolerance)


@pytest.mark.parametrize('depth, channels', [(18, [64, 128, 256, 512]), (50, [256, 512, 1024, 2048])])
@torch.no_grad()
def test_resnet_and_fpn(depth, channels):
    torch.manual_seed(0)
    model = random_norms(nn.Sequential(ResNet(depth), FPN(channels, 256, num_outs=5)))
    fast = optimize_for_inference(deepcopy(model))
    half = optimize_for_inference(deepcopy(model), 'bf16')
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    for size in ((192, 192), (64, 96)):  # the larger one takes Winograd's way at the finest level
        image = torch.randn(2, 3, *size)
        for plain, a, b in zip(model(image), fast(image), half(image)):
            assert_same(a, plain, 1e-5)
            assert_same(b, plain, 0.03)
            assert b.dtype == torch.bfloat16


class Heads(nn.Module):
    """One convolution in two places, groups, a subclass used by its weight, group norm, linear layers."""

    class Scaled(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * 2

    def __init__(self):
        super().__init__()
        shared = nn.Conv2d(128, 128, 3, padding=1)
        self.a, self.b = nn.Sequential(shared, nn.GroupNorm(4, 128), nn.ReLU()), nn.Sequential(shared, nn.ReLU())
        self.grouped = nn.Conv2d(128, 64, 3, padding=1, groups=4, bias=False)
        self.scaled = self.Scaled(64, 16, 1)
        self.reflect = nn.Conv2d(16, 16, 3, padding=1, padding_mode='reflect')
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.reflect(self.scaled(self.grouped(self.a(x) + self.b(x))))
        return self.fc(x.flatten(2).transpose(1, 2))


@torch.no_grad()
def test_every_kind_of_layer():
    torch.manual_seed(0)
    model = Heads().eval()
    fast = optimize_for_inference(deepcopy(model))
    assert fast.a[0] is fast.b[0] and type(fast.a[0]) is FastConv2d and type(fast.fc) is FastLinear
    assert type(fast.scaled) is Heads.Scaled and type(fast.reflect) is nn.Conv2d
    for shape in ((1, 128, 48, 48), (3, 128, 7, 5), (0, 128, 8, 8)):
        x = torch.randn(shape)
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)
    half = optimize_for_inference(deepcopy(model), 'bf16')
    x = torch.randn(1, 128, 48, 48)
    assert_same(half(x), model(x), 0.05)


@torch.no_grad()
def test_more_sizes_than_are_kept():
    conv = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))
    fast = optimize_for_inference(deepcopy(conv))
    for size in range(3, 23):
        x = torch.randn(1, 8, size, size)
        torch.testing.assert_close(fast(x), conv(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_run_repeats_to_the_bit():
    fast = optimize_for_inference(nn.Sequential(ResNet(18), FPN([64, 128, 256, 512], 256, num_outs=5)))
    image = torch.randn(1, 3, 192, 192)
    for a, b in zip(fast(image), fast(image)):
        assert torch.equal(a, b)


def small_model():
    torch.manual_seed(0)
    cfg = load_config('masktrack_rcnn_r18_fpn_sample.py')
    cfg.model.backbone.norm_cfg = dict(type='BN')
    model = random_norms(MODELS.build(cfg.model))
    nn.init.normal_(model.bbox_head.fc_cls.weight, std=0.1)  # several classes over the threshold
    return model


def run(model, clip):
    state = model.start(VideoInfo(1, (240, 432), (160, 288), 2 / 3, len(clip)))
    frames = [frame for image in clip
              for frame in model.step(state, model.data_preprocessor(dict(inputs=[image[None]]), False)['inputs'])]
    return frames, model.finish(state)[1]


def test_masktrackrcnn_finds_the_same_tracks():
    model = small_model()
    clip = torch.randint(0, 256, (3, 3, 160, 288), dtype=torch.uint8)
    plain, plain_scores = run(model, clip)
    fast, fast_scores = run(optimize_for_inference(deepcopy(model)), clip)
    assert sum(len(frame) for frame in plain) > 3
    assert [(s.track_id, s.label) for s in fast_scores] == [(s.track_id, s.label) for s in plain_scores]
    for a, b in zip(fast, plain):
        assert a.track_ids.tolist() == b.track_ids.tolist() and a.labels.tolist() == b.labels.tolist()
        assert abs(a.scores - b.scores).max() < 1e-4 and abs(a.boxes - b.boxes).max() < 0.01
        for one, other in zip(a.masks, b.masks):
            assert (decode_rle(one) != decode_rle(other)).sum() <= 2 + 0.001 * decode_rle(other).size
    half, _ = run(optimize_for_inference(model, 'bf16'), clip)
    assert all(frame.boxes.dtype == frame.scores.dtype == 'float32' for frame in half)


def test_masktrackrcnn_gives_the_official_numbers(monkeypatch, capsys):
    build = parity_masktrackrcnn.build
    monkeypatch.setattr(parity_masktrackrcnn, 'build', lambda *args: optimize_for_inference(build(*args)))
    golden = ROOT / 'tests/golden/masktrackrcnn/public.json'
    assert check_parity.main(['masktrackrcnn', str(golden)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize('precision, message', [('int8', "'int8'"), ('fp16', 'CUDA')])
def test_precision_that_cannot_be(precision, message):
    with pytest.raises(ValueError, match=message):
        optimize_for_inference(nn.Linear(2, 2), precision)


@pytest.mark.parametrize('batch_first', [True, False])
@torch.no_grad()
def test_attention_and_its_masks(batch_first):
    torch.manual_seed(0)
    model = nn.Sequential(nn.MultiheadAttention(32, 4, batch_first=batch_first)).eval()
    nn.init.normal_(model[0].in_proj_bias)
    fast = optimize_for_inference(deepcopy(model))
    assert type(fast[0]) is FastAttention
    query, key, value = torch.randn(2, 5, 32), torch.randn(2, 7, 32), torch.randn(2, 7, 32)
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[1, 4:] = True
    blocked = torch.rand(8, 5, 7) < 0.3
    blocked[..., 0] = False
    inputs = [x if batch_first else x.transpose(0, 1) for x in (query, key, value)]
    for masks in ({}, dict(key_padding_mask=padding), dict(attn_mask=blocked), dict(attn_mask=torch.randn(5, 7)),
                  dict(attn_mask=blocked, key_padding_mask=padding)):
        assert_same(fast[0](*inputs, **masks)[0], model[0](*inputs, **masks)[0], 1e-6)
    # what differs from the plain kind stays as it is
    odd = optimize_for_inference(nn.Sequential(nn.MultiheadAttention(32, 4, kdim=16, vdim=16)))
    assert type(odd[0]) is nn.MultiheadAttention


@pytest.mark.parametrize('has_it, precision, warnings', [(False, 'bf16', 1), (False, 'fp32', 0), (True, 'bf16', 0)])
def test_a_cpu_that_is_slow_in_bfloat16_is_named(monkeypatch, has_it, precision, warnings):
    said = []
    monkeypatch.setattr(inference, 'cpu_has_bfloat16', lambda: has_it)
    monkeypatch.setattr(inference, 'print_log', lambda text, **options: said.append(text))
    optimize_for_inference(nn.Sequential(nn.Linear(4, 4)), precision)
    assert len(said) == warnings and all('take precision fp32' in text for text in said)


@torch.no_grad()
def test_what_is_compiled_gives_the_same_numbers():
    """Traced by torch.compile and run as it is ('eager' needs no compiler)."""
    vit = dict(type='ViT', embed_dims=24, depth=1, num_heads=3, grid=4, layer_scale=1.)
    plain, traced = (tiny_model(backbone=vit, num_query_blocks=1) for _ in range(2))
    compile_parts(traced, 'cpu', backend='eager')
    assert {'encode', 'frame_outputs'} <= set(vars(traced))
    found = []
    for model in (plain, traced):
        state = model.start(VideoInfo(1, (48, 64), (48, 64), 1., 4))
        for frames in tiny_frames(4).split(2):
            model.step(state, frames)
        found.append((state.queries, list(model.finish(state)[0])))
    assert torch.equal(found[0][0], found[1][0])
    assert [frame.masks for frame in found[0][1]] == [frame.masks for frame in found[1][1]]
    assert any(len(frame) for frame in found[0][1])


def test_what_cannot_be_compiled_is_refused(monkeypatch):
    model = tiny_model()
    with pytest.raises(ValueError, match='MaskTrackRCNN has no part'):
        compile_parts(MODELS.build(load_config('masktrack_rcnn_r18_fpn_sample.py').model), 'cpu')
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(ValueError, match='needs a C.. compiler'):
        optimize_for_inference(model, compiled=True)
    monkeypatch.setenv('CXX', sys.executable)
    monkeypatch.setattr(inference, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='triton'):
        compile_parts(model, 'cuda')
    assert 'encode' not in vars(model)
