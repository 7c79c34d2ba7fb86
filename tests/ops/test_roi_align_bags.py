"""The look-up form of RoIAlign gives torchvision's numbers."""
import pytest
import torch
from torchvision.ops import roi_align as reference

from mmvis.ops.roi_align_bags import roi_align


def features_and_rois():
    torch.manual_seed(0)
    features = torch.randn(2, 8, 23, 41).contiguous(memory_format=torch.channels_last)
    corners = torch.rand(60, 4) * torch.tensor([420, 260, 420, 260]) - 60  # some outside, some with x2 < x1
    corners[:20, 2:] = corners[:20, :2] + torch.rand(20, 2) * 150
    corners[20] = torch.tensor([0, 0, 328, 184])
    corners[21] = torch.tensor([16, 16, 16, 16])
    return features, torch.cat([torch.arange(60)[:, None] % 2, corners], dim=1)


@pytest.mark.parametrize('out_size, samples', [(7, 2), (14, 2), (3, 1)])
def test_equals_torchvision(out_size, samples):
    features, rois = features_and_rois()
    torch.testing.assert_close(roi_align(features, rois, out_size, 1 / 8, samples),
                               reference(features, rois, out_size, 1 / 8, samples, aligned=True), rtol=1e-5, atol=1e-5)


def test_half_precision_features_give_float32():
    features, rois = features_and_rois()
    out = roi_align(features.bfloat16(), rois, 7, 1 / 8, 2)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, roi_align(features, rois, 7, 1 / 8, 2), rtol=0, atol=0.05)


@pytest.mark.parametrize('layout', [torch.channels_last, torch.contiguous_format])
def test_no_boxes(layout):
    features = torch.randn(1, 8, 10, 10).contiguous(memory_format=layout)
    assert roi_align(features, torch.zeros(0, 5), 7, 0.25, 2).shape == (0, 8, 7, 7)


def test_gradient_takes_the_differentiable_way():
    features, rois = features_and_rois()
    x, y = features.clone().requires_grad_(), features.clone().requires_grad_()
    roi_align(x, rois, 7, 1 / 8, 2).pow(2).sum().backward()
    reference(y, rois, 7, 1 / 8, 2, aligned=True).pow(2).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
