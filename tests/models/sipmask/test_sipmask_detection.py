"""Candidates, fast NMS, look-ups and run lengths against slow or plain ways to the same numbers."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmvis.models.sipmask.detection import fast_nms, half_open_iou, preselect
from mmvis.models.sipmask.layers import centre_cells, conv_at, conv_tower, fuse_levels, run_tower
from mmvis.models.sipmask.masks import encode_masks
from mmvis.models.sipmask.points import flatten_levels, level_points, to_boxes, to_distances
from mmvis.structures import decode_rle


def slow_fast_nms(boxes, scores, score_thr, iou_thr, max_num, top_k):
    """The rule in words: in its class a box goes if any better box of the class overlaps it too much."""
    found = []
    for label in range(scores.shape[1]):
        order = sorted(range(len(boxes)), key=lambda i: -scores[i, label])[:top_k]
        for rank, i in enumerate(order):
            overlaps = [float(half_open_iou(boxes[i:i + 1], boxes[j:j + 1])) for j in order[:rank]]
            if scores[i, label] > score_thr and all(x <= iou_thr for x in overlaps):
                found.append((-float(scores[i, label]), label, i))
    return [(i, label) for _, label, i in sorted(found)[:max_num]]


@pytest.mark.parametrize('score_thr, max_num, top_k', [(0.03, 10, 200), (0.6, 99, 200), (0.3, 99, 5), (1., 10, 200)])
def test_fast_nms(score_thr, max_num, top_k):
    draw = torch.Generator().manual_seed(0)
    corner = torch.rand(40, 2, generator=draw) * 60
    boxes = torch.cat([corner, corner + 5 + torch.rand(40, 2, generator=draw) * 40], dim=1)
    scores = torch.rand(40, 6, generator=draw)
    scores[:, 3] = 0.01
    rows, best, labels = fast_nms(boxes, scores, score_thr, 0.5, max_num, top_k)
    assert list(zip(rows.tolist(), labels.tolist())) == slow_fast_nms(boxes, scores, score_thr, 0.5, max_num, top_k)
    assert torch.equal(best, scores[rows, labels])


def test_a_dropped_box_still_suppresses():
    boxes = torch.tensor([[0., 0., 10., 10.], [3., 0., 13., 10.], [6., 0., 16., 10.]])
    scores = torch.tensor([[0.9], [0.8], [0.7]])
    assert fast_nms(boxes, scores, 0.1)[0].tolist() == [0]           # greedy suppression would keep the last one
    assert fast_nms(boxes, scores.repeat(1, 2), 0.1)[2].tolist() == [0, 1]


def test_no_boxes():
    rows, scores, labels = fast_nms(torch.zeros(0, 4), torch.zeros(0, 5), 0.03)
    assert len(rows) == len(scores) == len(labels) == 0


def test_preselect_by_level():
    levels = [torch.tensor([[.1, .9], [.2, .3], [.8, .1], [.4, .4]]), torch.tensor([[.1, .1], [.2, .2]])]
    assert preselect(levels, 2).tolist() == [0, 2, 4, 5]
    assert preselect(levels, 10).tolist() == [0, 1, 2, 3, 4, 5]


def test_points_and_boxes():
    points = level_points([(2, 3), (1, 1)], (8, 16), torch.device('cpu'))
    assert points[0].tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    assert points[1].tolist() == [[8, 8]]
    boxes = to_boxes(points[0][:1], torch.tensor([[1., 2., 3., 4.]]))
    assert boxes.tolist() == [[3, 2, 7, 8]] and to_distances(points[0][:1], boxes).tolist() == [[1, 2, 3, 4]]
    maps = [torch.arange(12.).view(1, 2, 2, 3), torch.tensor([100., 200.]).view(1, 2, 1, 1)]
    assert flatten_levels(maps)[0, [0, 4, 6]].tolist() == [[0, 6], [4, 10], [100, 200]]


def test_cells_of_centres_stay_on_the_map():
    boxes = torch.tensor([[0., 0., 15., 15.], [-90., -90., -10., -10.], [200., 10., 300., 20.], [4., 4., 12., 12.]])
    rows, columns = centre_cells(boxes, 8, (3, 5))
    assert rows.tolist() == [0, 0, 1, 1] and columns.tolist() == [0, 0, 4, 1]
    assert centre_cells(boxes[:1], 8, (3, 5), torch.round)[0].tolist() == [1]


@pytest.mark.parametrize('size', [1, 3])
def test_convolution_at_single_cells(size):
    torch.manual_seed(0)
    conv, x = nn.Conv2d(6, 4, size, padding=size // 2), torch.randn(6, 5, 7)
    rows, columns = torch.tensor([0, 4, 2, 0]), torch.tensor([0, 6, 3, 6])
    torch.testing.assert_close(conv_at(conv, x, rows, columns), conv(x[None])[0][:, rows, columns].T)
    assert conv_at(conv, x, rows[:0], columns[:0]).shape == (0, 4)


def test_tower_and_fusion():
    tower = conv_tower(2, 8, 16, num_groups=4, last_relu=False)
    assert [block.with_activation for block in tower] == [True, False]
    assert run_tower(tower, torch.randn(1, 8, 4, 4)).min() < 0
    maps = [torch.randn(1, 2, 8, 12), torch.ones(1, 2, 4, 6), 2 * torch.ones(1, 2, 2, 3)]
    fused = fuse_levels(maps)
    assert torch.equal(fused[:, :2], maps[0]) and (fused[:, 2:4] == 1).all() and (fused[:, 4:] == 2).all()


@pytest.mark.parametrize('factor, size', [(4., (96, 128)), (2 / .47, (99, 140)), (2 / .749, (63, 88)), (1.3, (50, 60))])
@pytest.mark.parametrize('ratio_of_sizes', [True, False])
def test_run_lengths_are_those_of_the_whole_resized_frame(factor, size, ratio_of_sizes):
    masks = F.interpolate(torch.randn(6, 1, 6, 8, generator=torch.Generator().manual_seed(0)), (24, 32), mode='bicubic')
    masks = masks[:, 0].sigmoid()
    masks[0] = 0
    masks[1, :, 3:] = 0
    masks[2, :20] = 0
    masks[3, 10, 10], masks[3, 12:] = 1, 0
    masks[4] = 1
    large = F.interpolate(masks[:, None], scale_factor=factor, mode='bilinear', align_corners=False,
                          recompute_scale_factor=ratio_of_sizes)[:, 0] > 0.5
    for rle, mask in zip(encode_masks(masks.numpy(), factor, size, 0.5, ratio_of_sizes), large.numpy()):
        whole = np.zeros(size, np.uint8)
        mask = mask[:size[0], :size[1]]
        whole[:mask.shape[0], :mask.shape[1]] = mask
        assert (decode_rle(rle) != whole).sum() <= 1
