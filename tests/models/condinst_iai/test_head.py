"""The dense head: dynamic masks against their plain form, layout of the outputs, initialisation."""
import math

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.utils.misc import aligned_bilinear

from mmvis.models.condinst_iai.head import IAIHead, dynamic_masks, level_points


def grouped(features, kernels, points, strides, image_index, mask_stride):
    """CondInst's dynamic head as the paper writes it: relative coordinates, then grouped convolutions."""
    num, channels = len(kernels), features.shape[1]
    w1, w2, w3, b1, b2, b3 = kernels.split([8 * (channels + 2), 64, 8, 8, 8, 1], dim=1)
    cells = level_points([features.shape[2:]], [mask_stride], features.device)[0]
    relative = (points[:, None] - cells) / (8 * strides[:, None, None])
    relative = relative.transpose(1, 2).reshape(num, 2, *features.shape[2:])
    x = torch.cat([relative, features[image_index]], dim=1).flatten(0, 1)[None]
    x = F.conv2d(x, w1.reshape(num * 8, -1, 1, 1), b1.flatten(), groups=num).relu()
    x = F.conv2d(x, w2.reshape(num * 8, 8, 1, 1), b2.flatten(), groups=num).relu()
    x = F.conv2d(x, w3.reshape(num, 8, 1, 1), b3.flatten(), groups=num)
    return aligned_bilinear(x, 2)[0]


@pytest.mark.parametrize('images, channels, mask_stride', [(1, 8, 8), (3, 8, 8), (2, 4, 4)])
def test_dynamic_masks_are_those_of_the_plain_form(images, channels, mask_stride):
    torch.manual_seed(0)
    features = torch.randn(images, channels, 6, 10, requires_grad=True)
    kernels = torch.randn(5, 8 * (channels + 2) + 89) * 0.5
    points, strides = torch.rand(5, 2) * 80, torch.tensor([8., 8., 16., 64., 128.])
    image_index = torch.tensor([0, 2, 1, 0, 2]) % images
    masks = dynamic_masks(features, kernels, points, strides, image_index, mask_stride)
    expected = grouped(features, kernels, points, strides, image_index, mask_stride)
    torch.testing.assert_close(masks, expected, rtol=1e-4, atol=1e-4)
    for got, wanted in zip(torch.autograd.grad(masks.square().sum(), features, retain_graph=True),
                           torch.autograd.grad(expected.square().sum(), features)):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)
    assert dynamic_masks(features, kernels[:0], points[:0], strides[:0], image_index[:0], mask_stride).shape == (0, 12, 20)


def test_points_are_the_centres_of_the_cells():
    (points,) = level_points([(2, 3)], [16], torch.device('cpu'))
    assert points.tolist() == [[8, 8], [24, 8], [40, 8], [8, 24], [24, 24], [40, 24]]


@torch.no_grad()
def test_outputs_and_start_of_training():
    torch.manual_seed(0)
    head = IAIHead(num_classes=7, max_obj_num=6, in_channels=16, feat_channels=16, stacked_convs=1, mask_branch_channels=8,
                   mask_branch_convs=1, norm_cfg=dict(type='GN', num_groups=4))
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    outputs = head([torch.randn(2, 16, *size) for size in sizes])
    for maps, channels in ((outputs.cls_logits, 7), (outputs.id_logits, 6), (outputs.distances, 4),
                           (outputs.centerness_logits, 1), (outputs.kernels, 169)):
        assert [tuple(x.shape) for x in maps] == [(2, channels, *size) for size in sizes]
    assert outputs.mask_features.shape == (2, 8, 8, 12)
    assert all((x >= 0).all() for x in outputs.distances)
    for maps in (outputs.cls_logits, outputs.id_logits):
        assert all(abs(float(x.mean()) + math.log(99)) < 0.3 for x in maps)             # everything improbable
    assert head.cls_convs[0].conv.bias is None and head.conv_reg.bias.abs().max() == 0


@torch.no_grad()
def test_distances_are_in_pixels_of_each_level():
    head = IAIHead(7, 6, in_channels=8, feat_channels=8, stacked_convs=1, norm_cfg=dict(type='GN', num_groups=2),
                   strides=(8, 16, 32), mask_branch_channels=8, mask_branch_convs=0).eval()
    torch.nn.init.zeros_(head.conv_reg.weight)
    torch.nn.init.constant_(head.conv_reg.bias, 1.5)
    torch.nn.init.constant_(head.scales[1].scale, 3.)
    outputs = head([torch.zeros(1, 8, *size) for size in ((4, 4), (2, 2), (1, 1))])
    assert [float(x.unique()) for x in outputs.distances] == [12., 72., 48.]
