import itertools
import math

import pytest
import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d, deform_conv2d, modulated_deform_conv2d
from torch.autograd import gradcheck

# (kernel, stride, padding, dilation, groups, deform_groups), each pair (height, width)
CASES = [((3, 3), (1, 1), (1, 1), (1, 1), 1, 1), ((3, 2), (2, 1), (1, 2), (1, 2), 2, 2),
         ((1, 1), (1, 1), (0, 0), (1, 1), 1, 4), ((3, 3), (1, 1), (1, 1), (1, 1), 1, 4)]


def make(case, seed=0, batch=2, channels=4, out_channels=6, size=(6, 5)):
    """Float64 input, offset, mask, weight, bias."""
    kernel, stride, padding, dilation, groups, deform_groups = case
    g = torch.Generator().manual_seed(seed)
    out = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)]
    taps = deform_groups * kernel[0] * kernel[1]

    def randn(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=g)
    return (randn(batch, channels, *size), 1.5 * randn(batch, 2 * taps, *out), randn(batch, taps, *out).sigmoid(),
            randn(out_channels, channels // groups, *kernel), randn(out_channels))


def sample(plane, y, x):
    """Bilinear, zeros outside."""
    y0, x0, value = math.floor(y), math.floor(x), 0.0
    for yy, wy in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
        for xx, wx in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
            if 0 <= yy < len(plane) and 0 <= xx < len(plane[0]):
                value += wy * wx * plane[yy][xx]
    return value


def reference(input, offset, mask, weight, bias, case):
    kernel, stride, padding, dilation, groups, deform_groups = case
    batch, channels, _, _ = input.shape
    out_channels, (out_h, out_w) = len(weight), offset.shape[2:]
    taps = kernel[0] * kernel[1]
    out = torch.zeros(batch, out_channels, out_h, out_w, dtype=torch.float64)
    planes = input.tolist()
    for b, i, j, c in itertools.product(range(batch), range(out_h), range(out_w), range(channels)):
        group, deform_group = c // (channels // groups), c // (channels // deform_groups)
        outputs = slice(group * out_channels // groups, (group + 1) * out_channels // groups)
        for tap in range(taps):
            ky, kx = divmod(tap, kernel[1])
            channel = deform_group * taps + tap
            y = i * stride[0] - padding[0] + ky * dilation[0] + float(offset[b, 2 * channel, i, j])
            x = j * stride[1] - padding[1] + kx * dilation[1] + float(offset[b, 2 * channel + 1, i, j])
            value = sample(planes[b][c], y, x) * (1 if mask is None else float(mask[b, channel, i, j]))
            out[b, outputs, i, j] += value * weight[outputs, c % (channels // groups), ky, kx]
    return out if bias is None else out + bias.view(-1, 1, 1)


@pytest.mark.parametrize('case', CASES)
def test_forward(case):
    kernel, *rest = case
    input, offset, mask, weight, bias = make(case)
    close = dict(rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(deform_conv2d(input, offset, weight, *rest),
                               reference(input, offset, None, weight, None, case), **close)
    torch.testing.assert_close(modulated_deform_conv2d(input, offset, mask, weight, bias, *rest),
                               reference(input, offset, mask, weight, bias, case), **close)
    torch.testing.assert_close(modulated_deform_conv2d(input, offset, mask, weight, None, *rest),
                               reference(input, offset, mask, weight, None, case), **close)


@pytest.mark.parametrize('case', CASES[1:3])
def test_gradient(case):
    kernel, *rest = case
    input, offset, mask, weight, bias = (x.requires_grad_() for x in make(case, 1, size=(4, 4)))
    assert gradcheck(lambda *args: deform_conv2d(*args, *rest), (input, offset, weight))
    assert gradcheck(lambda *args: modulated_deform_conv2d(*args, *rest), (input, offset, mask, weight, bias))
    assert gradcheck(lambda *args: modulated_deform_conv2d(*args, None, *rest), (input, offset, mask, weight))


def test_layers():
    """Zero offsets and a mask of ones make a plain convolution; a frozen weight gets no gradient."""
    image = torch.randn(2, 4, 7, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for layer, extra in ((DeformConv2d(4, 6, 3, padding=1, deform_groups=2), ()),
                         (ModulatedDeformConv2d(4, 6, 3, padding=1, deform_groups=2), (torch.ones(2, 18, 7, 7),))):
        layer.weight.requires_grad_(False)
        out = layer(image, torch.zeros(2, 36, 7, 7), *extra)
        expected = torch.nn.functional.conv2d(image, layer.weight, getattr(layer, 'bias', None), padding=1)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        got, = torch.autograd.grad(out.square().sum(), image)
        torch.testing.assert_close(got, torch.autograd.grad(expected.square().sum(), image)[0], rtol=1e-4, atol=1e-4)
        assert layer.weight.grad is None


def test_cpu_autocast():
    conv, layer = torch.nn.Conv2d(3, 18, 3, padding=1), DeformConv2d(3, 4, 3, padding=1)
    image = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.autocast('cpu', torch.bfloat16):
        out = layer(image, conv(image))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert conv.weight.grad.dtype == layer.weight.grad.dtype == torch.float32
    assert conv.weight.grad.abs().sum() > 0 and layer.weight.grad.abs().sum() > 0
