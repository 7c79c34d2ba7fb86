"""From the maps of the head to the detections of a frame: candidates of every level, fast NMS."""
from dataclasses import dataclass
from typing import Sequence, Tuple

import torch
from torch import Tensor


@dataclass
class Detections:
    """The n detections of one frame, best score first.

    Attributes:
        boxes: float32 [n, 4] in pixels of the original frame; scores: float32 [n]; labels: int64 [n].
        embeddings: [n, D], for the association.
        coefficients: [n, cells, C], for the masks.
    """
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    embeddings: Tensor
    coefficients: Tensor


def select(boxes: Tensor, scores: Tensor, sizes: Sequence[int], cfg: dict) -> Tuple[Tensor, Tensor, Tensor]:
    """The detections among the P places of a frame's pyramid.

    Args:
        boxes: [P, 4]; scores: [P, K].
        sizes: how many places each level has; they sum to P.
        cfg: nms_pre, the limit of ``preselect``; score_thr, nms=dict(iou_thr) and max_per_img, those of ``fast_nms``.

    Returns:
        Places, scores, labels [n], best score first. A place may come back in several classes.
    """
    places = preselect(scores.split(sizes), cfg['nms_pre'])
    rows, best, labels = fast_nms(boxes[places], scores[places], cfg['score_thr'], cfg['nms']['iou_thr'],
                                  cfg['max_per_img'])
    return places[rows], best, labels


def preselect(scores: Sequence[Tensor], limit: int) -> Tensor:
    """Places that enter suppression, int64 [m]: of every level the ``limit`` ones whose best class scores highest.

    Args:
        scores: of each level [n_l, K]. Places count over the levels; a level of up to ``limit`` places keeps its order.
    """
    chosen, start = [], 0
    for level in scores:
        index = torch.arange(len(level), device=level.device)
        if len(level) > limit > 0:
            index = level.max(1).values.topk(limit).indices
        chosen.append(index + start)
        start += len(level)
    return torch.cat(chosen)


def half_open_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU [..., n, m] of boxes [..., n, 4] and [..., m, 4], a side being x2 - x1; NaN for two empty boxes."""
    low = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    high = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (a, b))
    return overlap / (area_a[..., :, None] + area_b[..., None, :] - overlap)


def fast_nms(boxes: Tensor, scores: Tensor, score_thr: float, iou_thr: float = 0.5, max_num: int = 10,
             top_k: int = 200) -> Tuple[Tensor, Tensor, Tensor]:
    """Class by class, drop every box that overlaps a better one, even one that is dropped itself (YOLACT's fast NMS,
    arXiv 1904.02689, section 5).

    Args:
        boxes: [m, 4], each with all classes; scores: [m, K].
        score_thr: only higher scores count; iou_thr: greater overlaps suppress.
        max_num: best of all classes that are returned; top_k: best boxes of a class that are looked at.

    Returns:
        rows, scores, labels [n], best score first. A box may come back in several classes.
    """
    # Whether a box stays hangs on better boxes alone, so those below the threshold need not be looked at.
    most = min(int((scores > score_thr).sum(0).max()), top_k) if len(boxes) else 0         # one wait of a GPU
    ranked, order = scores.T.sort(dim=1, descending=True, stable=True)
    ranked, order = ranked[:, :most], order[:, :most]                        # [K, most]
    in_class = boxes[order]
    overlap = half_open_iou(in_class, in_class).triu_(diagonal=1).amax(1) if most else ranked
    label, place = torch.nonzero((overlap <= iou_thr) & (ranked > score_thr)).unbind(1)
    kept_scores, best = ranked[label, place].sort(descending=True, stable=True)
    best = best[:max_num]
    return order[label, place][best], kept_scores[:max_num], label[best]
