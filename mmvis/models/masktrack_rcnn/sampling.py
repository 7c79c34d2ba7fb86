"""Which boxes train the heads: assignment by IoU, then a random subset (Faster R-CNN, arXiv 1506.01497)."""
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

import torch
from torch import Tensor

from mmvis.ops.transfer import each_to_device, to_device, to_host

from ..layers.legacy_boxes import box_area, box_iou, box_overlap

Choose = Callable[[Tensor, int], Tensor]


def random_choice(indices: Tensor, num: int) -> Tensor:
    """``num`` of the indices [N], without replacement.

    Drawn from torch's global CPU generator, whose state a checkpoint keeps.
    """
    return indices[to_device(torch.randperm(len(indices))[:num], indices.device)]


@dataclass(frozen=True)
class IoUAssigner:
    """Each box gets the ground truth of its largest IoU, or the background, or neither.

    Attributes:
        pos_iou_thr: object from this IoU on; neg_iou_thr: background below it.
        min_pos_iou: all boxes that share a ground truth's best IoU are given to it if that IoU is at least this.
        ignore_iof_thr: boxes with more than this fraction inside one crowd region take no part; negative: they do.
    """
    pos_iou_thr: float
    neg_iou_thr: float
    min_pos_iou: float
    ignore_iof_thr: float = -1.

    def __call__(self, boxes: Tensor, gt_boxes: Tensor, crowd_boxes: Optional[Tensor] = None) -> Tensor:
        """int64 [N] for boxes [N, 4] and gt_boxes [G, 4]: 1 + index of the ground truth, 0 background, -1 no part."""
        assigned = torch.full((len(boxes),), -1, dtype=torch.long, device=boxes.device)
        if len(boxes) == 0:
            return assigned
        crowd = torch.zeros_like(assigned, dtype=torch.bool)
        if self.ignore_iof_thr >= 0 and crowd_boxes is not None and len(crowd_boxes):
            inside = box_overlap(boxes, crowd_boxes) / box_area(boxes)[:, None]
            crowd = inside.max(1).values > self.ignore_iof_thr
        if len(gt_boxes) == 0:
            return assigned.masked_fill(~crowd, 0)
        iou = box_iou(gt_boxes, boxes)
        iou[:, crowd] = -1
        best, best_gt = iou.max(0)
        assigned = assigned.masked_fill((best >= 0) & (best < self.neg_iou_thr), 0)
        assigned = torch.where(best >= self.pos_iou_thr, best_gt + 1, assigned)
        for i, (own, top) in enumerate(zip(iou, iou.max(1).values)):
            assigned = assigned.masked_fill((own == top) & (top >= self.min_pos_iou), i + 1)
        return assigned


@dataclass(frozen=True)
class BoxSampler:
    """A random subset.

    Attributes:
        num: at most so many boxes; pos_fraction: at most this part of them objects.
        neg_pos_ub: at most so many negatives a positive; negative: no limit.
    """
    num: int
    pos_fraction: float
    neg_pos_ub: float = -1.

    def __call__(self, assigned: Tensor, choose: Choose = random_choice) -> tuple:
        """(positive, negative) indices int64, sorted, for ``assigned`` [N] as IoUAssigner gives it; on the host it costs a
        GPU no wait."""
        positive = self._pick(torch.nonzero(assigned > 0)[:, 0], int(self.num * self.pos_fraction), choose)
        wanted = self.num - len(positive)
        if self.neg_pos_ub >= 0:
            wanted = min(wanted, int(self.neg_pos_ub * max(1, len(positive))))
        return positive, self._pick(torch.nonzero(assigned == 0)[:, 0], wanted, choose)

    @staticmethod
    def _pick(indices: Tensor, num: int, choose: Choose) -> Tensor:
        return indices if len(indices) <= num else choose(indices, num).sort().values


@dataclass
class SampledBoxes:
    """The P positive and N negative boxes of one image; positives first.

    Attributes:
        boxes: float32 [P + N, 4]; gt_index: int64 [P], the ground truth of each positive.
        positive, negative: indices into the list they were drawn from (the ground truths, then the proposals).
    """
    boxes: Tensor
    gt_index: Tensor
    positive: Tensor
    negative: Tensor

    @property
    def num_pos(self) -> int:
        return len(self.gt_index)

    @property
    def pos_boxes(self) -> Tensor:
        return self.boxes[:self.num_pos]


def sample_proposals(proposals: Sequence[Tensor], gt_boxes: Sequence[Tensor], crowd_boxes: Sequence[Optional[Tensor]],
                     assigner: IoUAssigner, sampler: BoxSampler, add_gt: bool = True,
                     choose: Choose = random_choice) -> List[SampledBoxes]:
    """Boxes of B images that train the second stage: proposals [N, 4], with the ground truths [G, 4] in front."""
    assigned = [assigner(*image) for image in zip(proposals, gt_boxes, crowd_boxes)]
    if add_gt:
        assigned = [torch.cat([torch.arange(1, len(boxes) + 1, device=own.device), own])
                    for own, boxes in zip(assigned, gt_boxes)]
        proposals = [torch.cat(pair) for pair in zip(gt_boxes, proposals)]
    chosen = []
    for own in to_host(*assigned):
        positive, negative = sampler(own, choose)
        chosen += [positive, negative, own[positive] - 1]
    chosen = each_to_device(chosen, proposals[0].device)
    return [SampledBoxes(boxes[torch.cat([positive, negative])], gt_index, positive, negative)
            for boxes, positive, negative, gt_index in zip(proposals, chosen[::3], chosen[1::3], chosen[2::3])]


def pos_places(sampled: Sequence[SampledBoxes], device: torch.device) -> Tensor:
    """Where the positives of B images are among all their boxes, int64 [P]."""
    places, start = [], 0
    for image in sampled:
        places.append(torch.arange(start, start + image.num_pos, device=device))
        start += len(image.boxes)
    return torch.cat(places)
