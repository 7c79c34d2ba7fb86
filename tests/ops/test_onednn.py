"""Packed weights compute what PyTorch's own layers compute."""
import pytest
import torch
from torch.nn import functional as F

from mmvis.ops.onednn import onednn_serves, pack_conv_weight, pack_linear_weight, packed_conv, packed_linear

pytestmark = pytest.mark.skipif(not onednn_serves(torch.zeros(1)), reason='PyTorch was built without oneDNN')


@pytest.mark.parametrize('kernel, stride, padding, dilation, groups', [
    (1, 1, 0, 1, 1), (1, 2, 0, 1, 1), (3, 1, 1, 1, 1), (3, 2, 1, 1, 1), (3, 1, 2, 2, 1), (7, 2, 3, 1, 1),
    (3, 1, 1, 1, 4)])
def test_convolution(kernel, stride, padding, dilation, groups):
    torch.manual_seed(0)
    weight, bias = torch.randn(24, 16 // groups, kernel, kernel), torch.randn(24)
    geometry = ((stride, stride), (padding, padding), (dilation, dilation), groups)
    packed = pack_conv_weight(weight, (1, 16, 20, 30), *geometry)
    for shape in ((1, 16, 20, 30), (3, 16, 9, 11), (0, 16, 9, 11)):  # not only the shape it was packed for
        x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(packed_conv(x, packed, bias, *geometry), F.conv2d(x, weight, bias, *geometry),
                                   rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('shape', [(10, 33), (2, 5, 33), (0, 33)])
def test_linear(shape):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(shape), torch.randn(7, 33), torch.randn(7)
    packed = pack_linear_weight(weight)
    torch.testing.assert_close(packed_linear(x, packed, bias), F.linear(x, weight, bias), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed_linear(x, packed, None), F.linear(x, weight), rtol=1e-5, atol=1e-5)


def test_types_it_does_not_serve():
    assert not onednn_serves(torch.zeros(1, dtype=torch.float64))
    assert not onednn_serves(torch.zeros(1, device='meta'))
