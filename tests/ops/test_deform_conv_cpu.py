"""Deformable convolutions made for CPUs against torchvision's."""
import pytest
import torch
from torch import nn
from torchvision.ops import deform_conv2d

from mmvis.models.layers.deform_conv import DeformConv3x3, FastDeformConv3x3
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.ops.deform_conv_cpu import sampled_deform_conv3x3


def make(batch=2, channels=16, groups=4, size=(7, 9), spread=4.):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, *size, generator=draw)
    offsets = torch.randn(batch, groups * 18, *size, generator=draw) * spread
    offsets[0, :, :, 0] = offsets[0, :, :, 0].round()      # whole cells, also beyond the border
    offsets[1, :, 0, -1] = 1e4
    return x, offsets, torch.randn(12, channels, 3, 3, generator=draw)


@pytest.mark.parametrize('groups, size, spread', [(4, (7, 9), 4.), (1, (1, 2), 1.), (2, (5, 1), 0.)])
def test_to_train(groups, size, spread):
    tensors = make(groups=groups, size=size, spread=spread)
    grads = []
    for function in (lambda *a: deform_conv2d(*a, padding=1), sampled_deform_conv3x3):
        leaves = [t.clone().requires_grad_() for t in tensors]
        out = function(*leaves)
        out.square().sum().backward()
        grads.append([out.detach(), *(t.grad for t in leaves)])
    for name, expected, ours in zip(('output', 'input', 'offsets', 'weight'), *grads):
        if name == 'offsets':
            # On whole cells the derivative by the place is one of two; further out than a cell it is 0 in both.
            steady = (tensors[1] % 1 != 0) | (tensors[1] > 1e3)
            expected, ours = expected[steady], ours[steady]
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('groups, size', [(4, (7, 9)), (1, (1, 2)), (4, (30, 40))])
@torch.no_grad()
def test_to_infer(groups, size):
    x, offsets, weight = make(groups=groups, size=size)
    layer = nn.Sequential(DeformConv3x3(16, 12, groups))
    layer[0].weight.copy_(weight)
    expected = deform_conv2d(x, offsets, weight, padding=1)
    torch.testing.assert_close(layer[0](x, offsets), expected)
    fast = optimize_for_inference(layer)[0]
    assert type(fast) is FastDeformConv3x3
    torch.testing.assert_close(fast(x, offsets), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast(x.to(memory_format=torch.channels_last), offsets), expected, rtol=1e-4, atol=1e-4)
