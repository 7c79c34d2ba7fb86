import math

import pytest
import torch
from mmcv.ops import RoIAlign
from torch.autograd import gradcheck

ROIS = torch.tensor([[0, 2.3, 1.2, 17.1, 13.4], [1, -6.0, -5.0, 9.0, 8.0], [1, 10.2, 9.1, 40.0, 33.0],
                     [0, 5.0, 5.0, 5.3, 5.2], [0, 7.0, 3.0, 7.0, 9.0]], dtype=torch.float64)


def features():
    return torch.randn(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def sample(plane, y, x):
    """Bilinear value of plane [C, H, W] by RoIAlign's rule: zero outside [-1, size], else clamped to the pixels."""
    _, height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros(len(plane), dtype=plane.dtype)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    ly, lx = y - y0, x - x0
    return ((1 - ly) * (1 - lx) * plane[:, y0, x0] + (1 - ly) * lx * plane[:, y0, x1]
            + ly * (1 - lx) * plane[:, y1, x0] + ly * lx * plane[:, y1, x1])


def reference(input, rois, size, scale, ratio, mode, aligned):
    out = torch.zeros(len(rois), input.shape[1], *size, dtype=input.dtype)
    for n, (index, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned else 0) for v in box)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        bin_h, bin_w = height / size[0], width / size[1]
        grid_h, grid_w = (ratio, ratio) if ratio else (math.ceil(bin_h), math.ceil(bin_w))
        for i in range(size[0]):
            for j in range(size[1]):
                values = [sample(input[int(index)], y1 + (i + (iy + 0.5) / grid_h) * bin_h,
                                 x1 + (j + (ix + 0.5) / grid_w) * bin_w)
                          for iy in range(grid_h) for ix in range(grid_w)]
                if values:
                    values = torch.stack(values)
                    out[n, :, i, j] = values.amax(0) if mode == 'max' else values.mean(0)
    return out


cases = pytest.mark.parametrize('mode, aligned, ratio', [
    (mode, aligned, ratio) for mode in ('avg', 'max') for aligned in (True, False) for ratio in (0, 2)])


@cases
def test_forward(mode, aligned, ratio):
    layer = RoIAlign((3, 2), 0.5, ratio, mode, aligned)
    expected = reference(features(), ROIS, (3, 2), 0.5, ratio, mode, aligned)
    torch.testing.assert_close(layer(features(), ROIS), expected, rtol=1e-9, atol=1e-9)
    single = layer(features().float(), ROIS.float())
    torch.testing.assert_close(single, expected.float(), rtol=1e-4, atol=1e-5)


@cases
def test_gradient(mode, aligned, ratio):
    layer = RoIAlign((3, 2), 0.5, ratio, mode, aligned)
    assert gradcheck(lambda x: layer(x, ROIS), features().requires_grad_())


@cases
def test_gradient_is_that_of_the_reference(mode, aligned, ratio):
    ours, theirs = features().requires_grad_(), features().requires_grad_()
    weight = torch.randn(5, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (RoIAlign((3, 2), 0.5, ratio, mode, aligned)(ours, ROIS) * weight).sum().backward()
    (reference(theirs, ROIS, (3, 2), 0.5, ratio, mode, aligned) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)


def test_places_of_the_maximum():
    from mmcv._ext import roi_align_forward
    plane = torch.zeros(1, 1, 8, 8)
    plane[0, 0, 5, 2] = 1
    output, y, x = (torch.zeros(2, 1, 1, 1) for _ in range(3))
    # Samples at the pixels 0, 1, .. 7 of each direction; the second box holds none.
    rois = torch.tensor([[0, 0., 0, 8, 8], [0, 3., 3, 3, 3]])
    roi_align_forward(plane, rois, output, y, x, aligned_height=1, aligned_width=1, spatial_scale=1.0,
                      sampling_ratio=0, pool_mode=0, aligned=True)
    assert output.flatten().tolist() == [1, 0]
    assert y.flatten().tolist() == [5, -1] and x.flatten().tolist() == [2, -1]


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_no_boxes(mode):
    input = features().requires_grad_()
    out = RoIAlign(7, 1.0, 0, mode)(input, torch.zeros(0, 5, dtype=torch.float64))
    assert out.shape == (0, 3, 7, 7)
    out.sum().backward()
    assert input.grad.abs().sum() == 0


@pytest.mark.parametrize('box', [[0, 5, math.nan, 9, 9], [0, 5, 5, math.inf, 9], [0, 5, 5, 3, 9]])
def test_wrong_box_is_named(box):
    with pytest.raises(ValueError, match='RoIAlign got a box .* 5.0'):
        RoIAlign(2)(features().float(), torch.tensor([[0., 1, 1, 2, 2], box]))


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_cpu_autocast(mode):
    """Features come in bfloat16, boxes in float32; the boxes must not be rounded to bfloat16."""
    conv = torch.nn.Conv2d(3, 4, 1)
    rois = torch.tensor([[0, 100.7, 100.6, 133.3, 139.2]])
    image = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(0)).requires_grad_()
    layer = RoIAlign(2, 1.0, 2, mode)
    with torch.autocast('cpu', torch.bfloat16):
        feature = conv(image)
        out = layer(feature, rois)
        loss = out.float().square().sum()
    loss.backward()
    assert feature.dtype == out.dtype == torch.bfloat16
    assert image.grad.dtype == conv.weight.grad.dtype == torch.float32 and image.grad.abs().sum() > 0
    torch.testing.assert_close(out, layer(feature.detach().float(), rois).bfloat16())
