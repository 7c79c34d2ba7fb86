"""From the maps of the head to the detections of a frame."""
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import torch
from torch import Tensor
from torchvision.ops import nms

from mmvis.ops.transfer import constant_like, to_device, to_host

from .head import HeadOutputs, level_points


@dataclass
class Detections:
    """The n detections of one frame, best first.

    Attributes:
        boxes: [n, 4] in pixels of the original frame. scores: [n], by which they are ranked; may exceed 1.
        cls_scores: [n, K], times centerness. id_scores: [n, M], not times centerness.
        kernels, points, strides: [n, 169], [n, 2], [n], as ``dynamic_masks`` takes them.
    """
    boxes: Tensor
    scores: Tensor
    cls_scores: Tensor
    id_scores: Tensor
    kernels: Tensor
    points: Tensor
    strides: Tensor

    def __len__(self) -> int:
        return len(self.boxes)


def detect(outputs: HeadOutputs, strides: Sequence[int], img_shape: Tuple[int, int], ori_shape: Tuple[int, int],
           is_first: bool, cfg: Dict[str, float]) -> Detections:
    """Detections of the one frame in ``outputs``.

    A location counts if its best class and its best identity are both probable. What matters most for its rank is the
    class in the first frame of a video, the identity in all others. Suppression is between all classes.

    Args:
        strides: of the levels. img_shape: (height, width) of the network input before padding, ori_shape: (h, w).
        cfg: nms_pre (at most so many locations of a level), cls_score_thr, id_score_thr, nms_iou_thr, max_per_img.
    """
    points = level_points([x.shape[2:] for x in outputs.cls_logits], strides, outputs.kernels[0].device)
    levels, candidates = [], []
    for level in range(len(strides)):
        maps = [x[level][0].flatten(1).T for x in (outputs.cls_logits, outputs.id_logits, outputs.distances,
                                                   outputs.centerness_logits, outputs.kernels)]
        best_cls, centerness = maps[0].amax(1).sigmoid(), maps[3][:, 0].sigmoid()
        if len(best_cls) > cfg['nms_pre']:
            rows = (best_cls * centerness).topk(cfg['nms_pre']).indices
        else:
            rows = torch.arange(len(best_cls), device=best_cls.device)
        probable = (best_cls[rows] > cfg['cls_score_thr']) & (maps[1][rows].amax(1).sigmoid() > cfg['id_score_thr'])
        levels.append((*maps[:3], centerness, maps[4], rows))
        candidates.append(probable)
    found: List[List[Tensor]] = []
    # One wait for all levels.
    for level, (probable, stride) in enumerate(zip(to_host(*candidates), strides)):
        cls, identity, distances, centerness, kernels, rows = levels[level]
        rows = rows[to_device(torch.nonzero(probable)[:, 0], rows.device)]
        found.append([points[level][rows], cls[rows].sigmoid(), identity[rows].sigmoid(), distances[rows],
                      centerness[rows], kernels[rows], centerness.new_full((len(rows),), stride)])
    points, cls, identity, distances, centerness, kernels, strides = (torch.cat(x) for x in zip(*found))
    boxes = torch.cat([points - distances[:, :2], points + distances[:, 2:]], dim=1)
    limit = constant_like(boxes, (img_shape[1], img_shape[0]) * 2)
    boxes = torch.minimum(boxes.clamp(min=0), limit) / (limit / constant_like(boxes, (ori_shape[1], ori_shape[0]) * 2))
    weights = (1., 0.5) if is_first else (0.5, 1.)
    scores = (weights[0] * cls.amax(1) + weights[1] * identity.amax(1)) * centerness
    kept = nms(boxes, scores, cfg['nms_iou_thr'])[:cfg['max_per_img']]
    return Detections(boxes[kept], scores[kept], cls[kept] * centerness[kept, None], identity[kept], kernels[kept],
                      points[kept], strides[kept])
