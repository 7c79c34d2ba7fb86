"""Inclusive-pixel boxes against definitions written out pixel by pixel."""
import math

import numpy as np
import pytest
import torch

from mmvis.models.layers.legacy_boxes import (
    InclusiveRoIExtractor,
    box_area,
    box_iou,
    clip,
    decode,
    encode,
    jitter,
    nms,
    roi_levels,
)


def random_boxes(num: int, seed: int = 0, size: float = 60.) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(num, 2, generator=draw) * size
    return torch.cat([corner, corner + torch.rand(num, 2, generator=draw) * size / 2], dim=1)


def test_iou_counts_pixels():
    boxes = torch.tensor([[0, 0, 3, 3], [2, 1, 5, 6], [3, 3, 3, 3], [10, 10, 12, 11]]).float()
    canvas = np.zeros((4, 16, 16), bool)
    for mask, (x1, y1, x2, y2) in zip(canvas, boxes.int().tolist()):
        mask[y1:y2 + 1, x1:x2 + 1] = True
    shared = (canvas[:, None] & canvas[None]).sum((2, 3))
    union = (canvas[:, None] | canvas[None]).sum((2, 3))
    assert box_area(boxes).tolist() == canvas.sum((1, 2)).tolist()
    torch.testing.assert_close(box_iou(boxes, boxes), torch.from_numpy(shared / union).float())


def test_decode_undoes_encode():
    boxes, goal = random_boxes(20, 1), random_boxes(20, 2)
    stds = (0.1, 0.1, 0.2, 0.2)
    torch.testing.assert_close(decode(boxes, encode(boxes, goal, stds), stds), goal, rtol=1e-4, atol=1e-3)


def test_decode_bounds_growth_and_clips_to_the_last_pixel():
    box = torch.tensor([[10., 10., 19., 19.]])
    grown = decode(box, torch.tensor([[0., 0., 99., 0.]]))
    assert (grown[0, 2] - grown[0, 0] + 1).item() == pytest.approx(10 * 1000 / 16, rel=1e-5)
    assert decode(box, torch.tensor([[0., 0., 99., 99.]]), img_shape=(30, 40)).tolist() == [[0, 0, 39, 29]]
    assert clip(torch.tensor([[-3., 5., 50., 50.]]), (30, 40)).tolist() == [[0, 5, 39, 29]]


def slow_nms(boxes, scores, thr, groups):
    order = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    for i in order:
        if all(groups[i] != groups[j] or box_iou(boxes[i:i + 1], boxes[j:j + 1]).item() <= thr for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize('num_groups', [1, 4])
def test_nms_is_greedy_within_groups(num_groups):
    boxes = random_boxes(80, 3) * 20
    draw = torch.Generator().manual_seed(4)
    scores = (torch.rand(80, generator=draw) * 20).round() / 20            # with ties
    groups = torch.randint(num_groups, (80,), generator=draw)
    found = nms(boxes, scores, 0.3, groups if num_groups > 1 else None).tolist()
    assert found == slow_nms(boxes, scores.tolist(), 0.3, groups.tolist())
    assert len(found) < 80


def test_nms_of_nothing():
    empty = torch.zeros(0, 4)
    assert len(nms(empty, torch.zeros(0), 0.5, torch.zeros(0, dtype=torch.long))) == 0


def test_levels_by_size():
    sizes = torch.tensor([1., 111., 112., 223., 224., 448., 5000.])
    boxes = torch.stack([sizes * 0, sizes * 0, sizes - 1, sizes - 1], dim=1)
    assert roi_levels(boxes, 4).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert roi_levels(torch.tensor([[5., 5., 3., 9.]]), 4).tolist() == [0]          # degenerate


def slow_roi_align(feature: np.ndarray, box, stride: int, bins: int) -> np.ndarray:
    """The kernel of mmdet 0.5: from x1 to x2 + 1 in cells, 2 x 2 points a bin, no smallest size, no half-cell shift."""
    channels, height, width = feature.shape
    out = np.zeros((channels, bins, bins))
    x1, y1, x2, y2 = box[0] / stride, box[1] / stride, (box[2] + 1) / stride, (box[3] + 1) / stride
    step_x, step_y = max(x2 - x1, 0) / bins, max(y2 - y1, 0) / bins
    for row in range(bins):
        for column in range(bins):
            for i in range(2):
                for j in range(2):
                    y, x = y1 + (row + (i + .5) / 2) * step_y, x1 + (column + (j + .5) / 2) * step_x
                    if -1 <= y <= height and -1 <= x <= width:
                        out[:, row, column] += bilinear(feature, y, x) / 4
    return out


def bilinear(feature, y, x):
    height, width = feature.shape[1:]
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    return ((feature[:, top, left] * (1 - dx) + feature[:, top, right] * dx) * (1 - dy)
            + (feature[:, bottom, left] * (1 - dx) + feature[:, bottom, right] * dx) * dy)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_roi_features_follow_the_old_kernel(memory_format):
    draw = torch.Generator().manual_seed(5)
    features = [torch.randn(2, 3, 128 // s, 160 // s, generator=draw).to(memory_format=memory_format) for s in (4, 8)]
    boxes = [torch.tensor([[3., 5., 40., 30.], [-6., -4., 20., 25.], [50.5, 60.2, 50.9, 60.3]]),
             torch.tensor([[0., 0., 159., 127.], [100., 90., 200., 180.]])]
    extractor = InclusiveRoIExtractor(strides=(4, 8), out_size=3)
    with torch.no_grad():
        found = extractor(features, boxes)
    flat = [(image, box) for image, group in enumerate(boxes) for box in group]
    for (image, box), value in zip(flat, found):
        level = roi_levels(box[None], 2).item()
        expected = slow_roi_align(features[level][image].double().numpy(), box.tolist(), (4, 8)[level], 3)
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_roi_features_carry_a_gradient_even_without_boxes():
    feature = torch.randn(1, 2, 8, 8, requires_grad=True)
    InclusiveRoIExtractor(strides=(4,))([feature], [torch.tensor([[2., 2., 20., 20.]])]).sum().backward()
    assert feature.grad.sum().item() == pytest.approx(2 * 7 * 7, rel=1e-4)
    out = InclusiveRoIExtractor(strides=(4,))([feature], [torch.zeros(0, 4)])
    assert out.shape == (0, 2, 7, 7) and out.requires_grad


def test_jitter_stays_near_and_repeats_with_the_seed():
    boxes = random_boxes(50, 6)
    size = boxes[:, 2:] - boxes[:, :2] + 1
    torch.manual_seed(0)
    first = jitter(boxes, (0.05, 0.1))
    torch.manual_seed(0)
    assert torch.equal(first, jitter(boxes, (0.05, 0.1)))
    shift = (first[:, :2] + first[:, 2:] - boxes[:, :2] - boxes[:, 2:]).abs() / 2 / size
    grown = (first[:, 2:] - first[:, :2] + 1) / size
    assert 0.02 < shift.max() <= 0.0501 and 0.05 < (grown - 1).abs().max() <= 0.1001
    torch.testing.assert_close(jitter(boxes, (0., 0.)), boxes, rtol=1e-5, atol=1e-4)
