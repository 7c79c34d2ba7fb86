import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, bbox_overlaps, nms, nms_match, soft_nms

from mmvis.ops.nms import nms as own_nms


def make_boxes(count, seed, size=60):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, size, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, size / 2, (count, 2))], 1).astype(np.float32)


def iou(a, b, offset):
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    inter = max(width, 0.0) * max(height, 0.0)
    union = sum((box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)) - inter
    return inter / union


def nms_reference(boxes, scores, threshold, offset):
    boxes, kept = boxes.astype(np.float64), []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):  # sorted is stable
        if all(iou(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('seed', range(3))
def test_nms(offset, seed):
    boxes = make_boxes(60, seed)
    scores = np.random.default_rng(seed).integers(0, 20, 60).astype(np.float32) / 20  # many ties
    dets, inds = nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.4, offset=offset)
    expected = nms_reference(boxes, scores, 0.4, offset)
    assert inds.tolist() == expected and 5 < len(expected) < 60
    assert torch.equal(dets, torch.from_numpy(np.concatenate([boxes, scores[:, None]], 1)[expected]))


def test_nms_offset_decides():
    # Inclusive corners: 4 of 6 pixels in common, IoU 2/3; half-open: 3 of 5, IoU 3/5.
    boxes = torch.tensor([[0., 0, 4, 0], [1, 0, 5, 0]]) + torch.tensor([0., 0, 0, 1e-3])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.63, offset=1)[1].tolist() == [0]
    assert nms(boxes, scores, 0.63, offset=0)[1].tolist() == [0, 1]


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_at_the_threshold_keeps(offset):
    boxes = torch.tensor([[0., 0, 4 - offset, 1 - offset], [0, 0, 2 - offset, 1 - offset]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5, offset=offset)[1].tolist() == [0, 1]
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.499, offset=offset)[1].tolist() == [0]


def test_empty():
    boxes, scores = torch.zeros(0, 4), torch.zeros(0)
    for offset in (0, 1):
        dets, inds = nms(boxes, scores, 0.5, offset=offset)
        assert dets.shape == (0, 5) and inds.shape == (0,) and inds.dtype == torch.int64
    dets, inds = soft_nms(boxes, scores)
    assert dets.shape == (0, 5) and inds.shape == (0,) and inds.dtype == torch.int64
    assert nms_match(torch.zeros(0, 5), 0.5) == []
    assert bbox_overlaps(boxes, torch.zeros(3, 4)).shape == (0, 3)


def test_nms_options_of_mmcv():
    boxes, scores = torch.from_numpy(make_boxes(40, 5)), torch.rand(40, generator=torch.Generator().manual_seed(0))
    dets, inds = nms(boxes, scores, 0.5, score_threshold=0.3, max_num=7)
    kept = [i for i in nms_reference(boxes.numpy(), scores.numpy(), 0.5, 0) if scores[i] > 0.3][:7]
    assert inds.tolist() == kept
    as_numpy = nms(boxes.numpy(), scores.numpy(), 0.5)
    assert as_numpy[1].tolist() == nms_reference(boxes.numpy(), scores.numpy(), 0.5, 0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_dtypes(dtype):
    boxes = torch.from_numpy(make_boxes(30, 1)).to(dtype)
    scores = torch.arange(30, 0, -1).to(dtype) / 32
    expected = nms_reference(boxes.double().numpy(), scores.double().numpy(), 0.5, 0)
    assert own_nms(boxes, scores, 0.5).tolist() == expected


@pytest.mark.parametrize('split_thr', [10000, 10])
def test_batched_nms(split_thr):
    boxes = make_boxes(80, 2)
    scores = np.random.default_rng(2).permutation(80).astype(np.float32) / 80
    labels = np.random.default_rng(3).integers(0, 3, 80)
    expected = []
    for label in range(3):
        rows = np.flatnonzero(labels == label)
        expected += rows[nms_reference(boxes[rows], scores[rows], 0.5, 0)].tolist()
    expected.sort(key=lambda i: -scores[i])
    dets, kept = batched_nms(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels),
                             dict(type='nms', iou_threshold=0.5, split_thr=split_thr))
    assert kept.tolist() == expected
    assert torch.equal(dets[:, :4], torch.from_numpy(boxes[expected]))


def soft_nms_reference(boxes, scores, threshold, sigma, min_score, method, offset):
    """One list of [box, score, index], changed as the paper's loop does, mmcv's order of ties."""
    rows = [[box, float(score), i] for i, (box, score) in enumerate(zip(boxes.astype(np.float64), scores))]
    i = 0
    while i < len(rows):
        best = max(range(i, len(rows)), key=lambda j: rows[j][1])  # the first of equal ones
        rows[i], rows[best] = rows[best], rows[i]
        j = i + 1
        while j < len(rows):
            overlap = iou(rows[i][0], rows[j][0], offset)
            if method == 'gaussian':
                rows[j][1] *= np.exp(-overlap ** 2 / sigma)
            elif overlap >= threshold:
                rows[j][1] *= 1 - overlap if method == 'linear' else 0
            if rows[j][1] < min_score:
                last = rows.pop()
                if j < len(rows):
                    rows[j] = last
            else:
                j += 1
        i += 1
    return rows


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('seed', range(3))
def test_soft_nms(method, offset, seed):
    boxes = make_boxes(50, seed)
    scores = np.random.default_rng(seed).integers(1, 10, 50).astype(np.float32) / 16  # ties, exact in float32
    dets, inds = soft_nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.3, 0.5, 0.05, method, offset)
    expected = soft_nms_reference(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    assert inds.tolist() == [row[2] for row in expected] and 3 < len(expected) < 50
    final = torch.tensor([row[1] for row in expected], dtype=torch.float64)
    torch.testing.assert_close(dets[:, 4].double(), final, rtol=1e-5, atol=0)
    assert torch.equal(dets[:, :4], torch.from_numpy(boxes)[inds])


def test_soft_nms_of_boxes_without_area():
    """The example of mmcv's documentation."""
    boxes = np.array([[4, 3, 5, 3], [4, 3, 5, 4], [3, 1, 3, 1], [3, 1, 3, 1], [3, 1, 3, 1], [3, 1, 3, 1]], np.float32)
    dets, inds = soft_nms(boxes, np.array([0.9, 0.9, 0.5, 0.5, 0.4, 0.0], np.float32), 0.6, sigma=0.5)
    assert len(inds) == len(dets) == 5


def test_nms_match():
    boxes, scores = make_boxes(50, 4), np.random.default_rng(4).permutation(50).astype(np.float32)
    groups = nms_match(np.concatenate([boxes, scores[:, None]], 1), 0.4)
    order, expected = sorted(range(50), key=lambda i: -scores[i]), []
    while order:
        group = [i for i in order[1:] if iou(boxes[order[0]], boxes[i], 0) >= 0.4]
        expected.append([order[0], *group])
        order = [i for i in order[1:] if i not in group]
    assert [group.tolist() for group in groups] == expected


@pytest.mark.parametrize('offset', [0, 1])
def test_bbox_overlaps(offset):
    a, b = make_boxes(6, 0), make_boxes(5, 1)
    expected = [[iou(x, y, offset) for y in b] for x in a.astype(np.float64)]
    result = bbox_overlaps(torch.from_numpy(a), torch.from_numpy(b), offset=offset)
    torch.testing.assert_close(result.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)
    pairs = bbox_overlaps(torch.from_numpy(a[:5]), torch.from_numpy(b), aligned=True, offset=offset)
    torch.testing.assert_close(pairs, result[:5].diagonal())
    over_first = bbox_overlaps(torch.from_numpy(a), torch.from_numpy(a[:1] + [0, 0, 100, 100]).float(), mode='iof')
    assert over_first[0, 0] == 1
