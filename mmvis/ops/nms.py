"""Box suppression as ``mmcv.ops`` calls it. Boxes are x1 y1 x2 y2; ``offset`` 1 means inclusive corners, so a side is
x2 - x1 + 1. Zero boxes give empty results."""
import numpy as np
import torch
import torchvision
from torch import Tensor


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Greedy suppression: a box goes when its IoU with a kept box of higher score is over the threshold.

    Args:
        boxes: [N, 4]; scores: [N]. Equal scores keep the order of the input.

    Returns:
        int64 [kept], indices by falling score.
    """
    if boxes.dtype in (torch.float16, torch.bfloat16):
        boxes, scores = boxes.float(), scores.float()
    if offset:
        # In float64, x2 + 1 is exact: the IoU is that of the given boxes, even far from the origin.
        boxes = boxes.double() + boxes.new_tensor([0, 0, offset, offset], dtype=torch.float64)
        scores = scores.double()
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float, sigma: float, min_score: float,
            method: int, offset: int) -> Tensor:
    """Soft-NMS (Bodla et al., ICCV 2017): the scores of overlapping boxes fall instead of the boxes going.

    Sequential by nature, on the CPU. The order of equal scores follows the compiled operator of mmcv, which keeps
    the boxes in one array: the chosen box swaps places with the first of the rest, a box that falls below
    ``min_score`` is overwritten by the last one.

    Args:
        boxes: [N, 4]; scores: [N].
        dets: [N, 5], filled in place: box and final score of the kept ones, in the order of choice.
        method: 0 drops a box whose IoU reaches the threshold, 1 multiplies its score by 1 - IoU, 2 every score
            by exp(-IoU^2 / sigma).

    Returns:
        int64 [kept], indices into the input.
    """
    boxes_np = boxes.detach().numpy()
    areas = (boxes_np[:, 2] - boxes_np[:, 0] + offset) * (boxes_np[:, 3] - boxes_np[:, 1] + offset)
    order = np.arange(len(boxes_np))
    score = scores.detach().numpy().copy()  # in the places of order
    i = 0
    while i < len(order):
        best = i + int(np.argmax(score[i:]))
        order[[i, best]], score[[i, best]] = order[[best, i]], score[[best, i]]
        rest = order[i + 1:]
        iou = _iou_one_to_many(boxes_np[order[i]], areas[order[i]], boxes_np[rest], areas[rest], offset)
        score[i + 1:] *= _decay(iou, iou_threshold, sigma, method)
        kept = _close_gaps(score[i + 1:] < min_score)
        order, score = np.append(order[:i + 1], rest[kept]), np.append(score[:i + 1], score[i + 1:][kept])
        i += 1
    kept = torch.from_numpy(order)
    dets[:len(order), :4] = boxes[kept]
    dets[:len(order), 4] = torch.from_numpy(score)
    return kept


def _decay(iou: np.ndarray, iou_threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == 2:
        return np.exp(-(iou * iou) / iou.dtype.type(sigma))
    low = 1 - iou if method == 1 else np.zeros_like(iou)
    return np.where(iou >= iou_threshold, low, iou.dtype.type(1))


def _close_gaps(dropped: np.ndarray) -> np.ndarray:
    """Places of the kept ones after every gap, from the left, was filled with the last kept one."""
    count = int((~dropped).sum())
    places = np.arange(count)
    places[dropped[:count]] = (count + np.flatnonzero(~dropped[count:]))[::-1]
    return places


def _iou_one_to_many(box: np.ndarray, area: float, boxes: np.ndarray, areas: np.ndarray,
                     offset: int) -> np.ndarray:
    width = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]) + offset
    height = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]) + offset
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    with np.errstate(divide='ignore', invalid='ignore'):  # two boxes without area: NaN, over no threshold
        return inter / (area + areas - inter)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of boxes: each kept box with those it suppressed (IoU at or over the threshold), by falling score.

    Args:
        dets: [N, 5], boxes and scores, on the CPU.
    """
    array = dets.detach().numpy()
    boxes, areas = array[:, :4], (array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1])
    order = torch.sort(dets[:, 4], descending=True, stable=True).indices.numpy()
    groups = []
    while len(order):
        first, rest = order[0], order[1:]
        matched = _iou_one_to_many(boxes[first], areas[first], boxes[rest], areas[rest], 0) >= iou_threshold
        groups.append([int(first), *rest[matched].tolist()])
        order = rest[~matched]
    return groups


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Fills ``ious``, [M, N] (or [N] of pairs if ``aligned``): intersection over union (mode 0) or over the first."""
    first, second = (bboxes1, bboxes2) if aligned else (bboxes1[:, None], bboxes2[None])
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:4], second[..., 2:4])
    inter = (high - low + offset).clamp(min=0).prod(-1)
    area1, area2 = ((boxes[..., 2:4] - boxes[..., :2] + offset).prod(-1) for boxes in (first, second))
    base = area1 + area2 - inter if mode == 0 else area1.expand_as(inter)
    ious.copy_(inter / base.clamp(min=offset))
