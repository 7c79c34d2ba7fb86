"""Winograd convolution against the direct one in float64: every border, and no more rounding than a direct one has."""
import pytest
import torch
from torch.nn import functional as F

from mmvis.ops.onednn import onednn_serves
from mmvis.ops.winograd import winograd_conv3x3, winograd_pays, winograd_weight

pytestmark = pytest.mark.skipif(not onednn_serves(torch.zeros(1)), reason='PyTorch was built without oneDNN')


def random_case(n, channels, out_channels, h, w):
    torch.manual_seed(h * 100 + w)
    x = torch.randn(n, channels, h, w).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(out_channels, channels, 3, 3) / (9 * channels) ** 0.5
    return x, weight, torch.randn(out_channels)


@pytest.mark.parametrize('n, h, w', [(1, 1, 1), (1, 4, 4), (2, 3, 5), (1, 23, 37), (3, 14, 14), (1, 60, 61),
                                     (1, 2, 900)])
def test_equals_direct_convolution(n, h, w):
    x, weight, bias = random_case(n, 24, 40, h, w)
    out = winograd_conv3x3(x, winograd_weight(weight), bias)
    assert out.shape == (n, 40, h, w) and out.is_contiguous(memory_format=torch.channels_last)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1).float()
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


def test_without_bias_and_from_contiguous_input():
    x, weight, _ = random_case(2, 16, 16, 9, 10)
    out = winograd_conv3x3(x.contiguous(), winograd_weight(weight))
    torch.testing.assert_close(out, F.conv2d(x, weight, padding=1), rtol=0, atol=1e-5)


def test_rounding_is_that_of_a_direct_convolution():
    x, weight, bias = random_case(1, 256, 64, 48, 80)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    error = (winograd_conv3x3(x, winograd_weight(weight), bias) - expected).abs()
    direct = (F.conv2d(x, weight, bias, padding=1) - expected).abs()
    assert error.max() < 4e-6 * expected.abs().max()
    assert error.pow(2).mean().sqrt() < 2.5 * direct.pow(2).mean().sqrt()


def test_rule_looks_at_the_shape_only():
    assert winograd_pays(torch.empty(1, 256, 96, 160), 256)
    assert not winograd_pays(torch.empty(1, 256, 12, 20), 256)  # too few tiles
    assert not winograd_pays(torch.empty(1, 64, 96, 160), 64)   # too few channels
    assert not winograd_pays(torch.empty(0, 256, 14, 14), 256)
