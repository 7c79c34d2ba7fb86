"""Targets of a clip, and which slot learns which object (Hungarian matching on the first frame)."""
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou

from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import constant_like, on_device, to_host

#: An absent object has a box of this size: it is a target all the same (DETR's log of 0 is thus avoided).
_ABSENT = 1e-6
#: Slots and objects that belong together, int64 [N] each, slots ascending.
Match = Tuple[Tensor, Tensor]


@dataclass
class ClipTargets:
    """Every object that is visible somewhere in the clip is a target in all of its T frames.

    Attributes:
        classes: int64 [N], class units of the model.
        boxes: [T, N, 4] cx cy w h in units of the image without padding; 1e-6 where the object is absent.
        masks: [T, N, H / 4, W / 4] float, empty where the object is absent.
        ids: int64 [N], of the objects in their video.
    """
    classes: Tensor
    boxes: Tensor
    masks: Tensor
    ids: Tensor


def clip_targets(samples: Sequence[FrameSample], class_units: Tensor, size: Tuple[int, int]) -> ClipTargets:
    """Targets of one clip.

    Args:
        samples: T samples; their masks are padded to ``size`` (H, W).
        class_units: int64 [K], the class unit of every label.
    """
    present = [sample.gt_instances for sample in samples]
    ids, where = torch.cat([x.instance_ids for x in present]).unique(return_inverse=True)
    rows = where.split([len(x.instance_ids) for x in present])
    classes = ids.new_zeros(len(ids))
    boxes = torch.zeros(len(samples), len(ids), 4, device=ids.device)
    masks = torch.zeros(len(samples), len(ids), size[0] // 4, size[1] // 4, device=ids.device)
    for t, (sample, instances, row) in enumerate(zip(samples, present, rows)):
        height, width = sample.img_shape[:2]
        centred = box_convert(instances.bboxes, 'xyxy', 'cxcywh')
        classes[row] = class_units[instances.labels]
        boxes[t, row] = centred / constant_like(centred, (width, height) * 2)
        masks[t, row] = instances.masks[:, 2::4, 2::4].to(masks)
    return ClipTargets(classes, boxes.clamp(min=_ABSENT), masks, ids)


@torch.no_grad()
def slot_costs(logits: Tensor, boxes: Tensor, targets: ClipTargets, class_cost: float = 1., box_cost: float = 5.,
               giou_cost: float = 2.) -> Tensor:
    """What each slot costs each object [Q, n], in the first frame of the clip.

    The box cost is the Euclidean distance of the four numbers (not L1), the class cost the focal one.

    Args:
        logits: [Q, C], boxes: [Q, 4] of the first frame.
    """
    wanted = targets.boxes[0].to(boxes)
    scores = logits.sigmoid()[:, targets.classes]
    positive = 0.25 * (1 - scores) ** 2 * -(scores + 1e-8).log()
    negative = 0.75 * scores ** 2 * -(1 - scores + 1e-8).log()
    overlap = generalized_box_iou(box_convert(boxes, 'cxcywh', 'xyxy'), box_convert(wanted, 'cxcywh', 'xyxy'))
    cost = box_cost * torch.cdist(boxes, wanted, p=2) + class_cost * (positive - negative) - giou_cost * overlap
    return cost


def match_layers(logits: Sequence[Tensor], boxes: Sequence[Tensor], targets: Sequence[ClipTargets],
                 **costs: float) -> List[List[Match]]:
    """One slot for every object, at the least cost, in every decoder layer and clip: D lists of B. All costs go to the
    host in one copy.

    Args:
        logits: [B, Q, C] and boxes [B, Q, 4], one a layer.
    """
    tables = [slot_costs(*clip, **costs) for layer in zip(logits, boxes) for clip in zip(*layer, targets)]
    pairs = (linear_sum_assignment(np.nan_to_num(table.numpy(), nan=1e6)) for table in to_host(*tables))
    matches = iter([tuple(on_device(np.stack(pair), logits[0].device).unbind()) for pair in pairs])
    return [[next(matches) for _ in targets] for _ in logits]
