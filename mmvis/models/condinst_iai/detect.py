"""From the maps of the head to the detections of a frame."""
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import torch
from torch import Tensor
from torchvision.ops import nms

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
    found: List[List[Tensor]] = []
    for level, stride in enumerate(strides):
        cls, identity, distances, centerness, kernels = (
            x[level][0].flatten(1).T for x in (outputs.cls_logits, outputs.id_logits, outputs.distances,
                                               outputs.centerness_logits, outputs.kernels))
        best_cls, centerness = cls.amax(1).sigmoid(), centerness[:, 0].sigmoid()
        kept = best_cls > cfg['cls_score_thr']
        if len(cls) > cfg['nms_pre']:
            rows = (best_cls * centerness).topk(cfg['nms_pre']).indices
            rows = rows[kept[rows]]
        else:
            rows = kept.nonzero()[:, 0]
        rows = rows[identity[rows].amax(1).sigmoid() > cfg['id_score_thr']]
        found.append([points[level][rows], cls[rows].sigmoid(), identity[rows].sigmoid(), distances[rows],
                      centerness[rows], kernels[rows], centerness.new_full((len(rows),), stride)])
    points, cls, identity, distances, centerness, kernels, strides = (torch.cat(x) for x in zip(*found))
    boxes = torch.cat([points - distances[:, :2], points + distances[:, 2:]], dim=1)
    limit = boxes.new_tensor([img_shape[1], img_shape[0]] * 2)
    boxes = torch.minimum(boxes.clamp(min=0), limit) / (limit / boxes.new_tensor([ori_shape[1], ori_shape[0]] * 2))
    weights = (1., 0.5) if is_first else (0.5, 1.)
    scores = (weights[0] * cls.amax(1) + weights[1] * identity.amax(1)) * centerness
    kept = nms(boxes, scores, cfg['nms_iou_thr'])[:cfg['max_per_img']]
    return Detections(boxes[kept], scores[kept], cls[kept] * centerness[kept, None], identity[kept], kernels[kept],
                      points[kept], strides[kept])
