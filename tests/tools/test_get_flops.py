"""Operations are those counted by hand, whatever way PyTorch takes on a CPU; every system has sane numbers."""
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_systems import SYSTEMS
from mmcv.ops import DeformConv2d
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from mmvis.models import VISModel
from mmvis.models.builder import build_part
from mmvis.structures import FrameInstances

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
import get_flops  # noqa: E402


class Counted(VISModel):
    """A convolution, attention in a fused layer and by hand, a linear layer, a deformable convolution, a product."""

    def __init__(self):
        super().__init__(data_preprocessor=build_part(dict(type='ClipPreprocessor')))
        self.conv = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(8, 5), nn.ReLU())
        self.deform = DeformConv2d(8, 4, 3, padding=1)
        self.unused = nn.Linear(10, 10)

    def loss(self, clips, samples):
        raise NotImplementedError

    def encode(self, frames, video):
        return self.conv(frames)

    def start(self, video, live=False, frames=None):
        return SimpleNamespace(video=video, num_frames=0)

    def advance(self, state, features):
        for feature in features:
            tokens = feature.flatten(1).T[None]
            tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
            heads = tokens.unflatten(2, (2, 4)).transpose(1, 2)
            F.scaled_dot_product_attention(heads, heads, heads)
            self.head[0](tokens)  # a part of a part
            self.deform(feature[None], feature.new_zeros(1, 18, *feature.shape[-2:]))
            torch.einsum('nc,mc->nm', tokens[0], tokens[0])
            state.num_frames += 1
        return [FrameInstances(state.num_frames - 1)]

    def finish(self, state):
        return iter(()), []


def test_a_network_counted_by_hand():
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=[dict(type='ClipResize', scale=(96, 64), rule='mmcv')]))))
    found = get_flops.count(Counted().eval(), get_flops.noise_video(cfg, (192, 128), frames=3))
    tokens = 64 // 4 * (96 // 4)
    attention = 2 * (2 * tokens * tokens * 8)  # scores, and the values by them
    flops = dict(conv=2 * tokens * 8 * 3 * 9, attention=2 * tokens * 8 * 32 + attention, head=2 * tokens * 8 * 5,
                 deform=2 * tokens * 4 * 8 * 9, unused=0)
    outside = attention + 2 * tokens * tokens * 8
    parameters = dict(conv=3 * 9 * 8 + 8, attention=4 * (64 + 8), head=45, deform=8 * 9 * 4, unused=110)
    assert {name: round(1e9 * value) for name, (_, value) in found['parts'].items()} == {**flops, get_flops._REST: outside}
    assert {name: number for name, (number, _) in found['parts'].items()} == {**parameters, get_flops._REST: 0}
    assert round(1e9 * found['gflops']) == sum(flops.values()) + outside
    assert found['parameters'] == sum(parameters.values())


def test_the_memory_is_what_is_alive_at_once():
    kept = torch.zeros(1000)
    with get_flops.LiveMemory() as memory:
        a = kept + 1
        b = a * 2
        a.mul_(2)  # no new memory, nor has a view
        b.view(10, 100)
        del a
        c = b + 1
        assert memory.now == memory.peak == 8000
        del b, c
    assert memory.now == 0 and memory.peak == 8000


@pytest.mark.parametrize('name', SYSTEMS)
def test_every_system(name):
    system = SYSTEMS[name]
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=[dict(type='ClipResize', scale=(96, 64), rule='mmcv')]))))
    chunk = get_flops.noise_video(cfg, (96, 64), frames=2)
    model = system.tiny_model(**system.ten).eval()
    found = get_flops.count(model, chunk)
    assert found['parameters'] == sum(p.numel() for p in model.parameters()) > 0 and found['memory'] > 0
    by_part = [flops for _, flops in found['parts'].values()]
    assert len(by_part) > 2 and min(by_part) >= 0 and sum(by_part) == pytest.approx(found['gflops'], rel=1e-9)
    assert max(by_part) > 0.2 * found['gflops'] > 0 and found['parts'][get_flops._REST][1] < 0.5 * found['gflops']
    twice = get_flops.count(system.tiny_model(**system.ten).eval(), get_flops.noise_video(cfg, (96, 64), frames=4))
    assert 0.5 < twice['gflops'] / found['gflops'] < 2  # it is what a frame costs


def test_the_command(tmp_path, capsys):
    get_flops.main(['ifc_r18_sample.py', '--frame-size', '96', '64', '--json', str(tmp_path / 'x.json')])
    printed = capsys.readouterr().out
    assert printed.startswith('ifc_r18_sample: 2 frames of 96 x 64 at ') and '100.0%' in printed and 'mask_head ' in printed
    assert '"gflops"' in (tmp_path / 'x.json').read_text()
