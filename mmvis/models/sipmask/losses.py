"""The losses of SipMask-VIS; all of them in float32."""
from typing import List, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from mmvis.ops.crop_split import crop

from ..layers.legacy_boxes import paired_iou


def mean_over_ranks(*sums: Tensor) -> List[Tensor]:
    """Each number averaged over the processes of a distributed training.

    A sum over the own images divided by this gives, after the gradients have been averaged over the processes, the
    gradient of the loss of the whole batch, however the objects are spread.
    """
    stacked = torch.stack([torch.as_tensor(x, dtype=torch.float32) for x in sums]).detach()
    all_reduce(stacked, op='mean')
    return list(stacked)


def focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2., alpha: float = 0.25) -> Tensor:
    """Sum of the sigmoid focal loss (arXiv 1708.02002) of logits [N, K]; labels int64 [N], K is the background."""
    target = F.one_hot(labels, logits.shape[1] + 1)[:, :-1].to(logits.dtype)
    return sigmoid_focal_loss(logits, target, alpha, gamma, reduction='sum')


def iou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """-log IoU [N] of inclusive boxes [N, 4] with their targets (UnitBox, arXiv 1608.01471)."""
    return -paired_iou(boxes, targets).clamp(min=1e-6).log()


@torch.no_grad()
def mask_weights(scores: Tensor, boxes: Tensor, targets: Tensor) -> Tensor:
    """How much each of the n masks of an image counts: score of the true class times IoU [n], about 1 in the mean."""
    weights = scores * paired_iou(boxes, targets)
    return weights / (weights.sum() + 1e-4) * len(weights)


def mask_loss(probabilities: Tensor, masks: Tensor, boxes: Tensor, weights: Tensor) -> Tensor:
    """Binary cross entropy of n masks inside their boxes, by area of the box, mean over the masks.

    Args:
        probabilities: float32 [n, h, w], 0 outside the boxes; masks: [n, h, w] of 0 and 1.
        boxes: [n, 4] in pixels of the map; weights: [n].
    """
    with torch.autocast(probabilities.device.type, enabled=False):
        entropy = F.binary_cross_entropy(probabilities, crop(masks.float(), boxes), reduction='none').sum((1, 2))
        size = boxes[:, 2:] - boxes[:, :2]
        return (entropy * weights / size[:, 0] / size[:, 1]).sum() / max(len(boxes), 1)


@torch.no_grad()
def masks_at(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks uint8 [G, H, W] at a smaller ``size`` (h, w): bool, what covers more than half of a pixel."""
    if tuple(masks.shape[1:]) == tuple(size):
        return masks > 0
    return F.interpolate(masks[None].float(), tuple(size), mode='bilinear', align_corners=False)[0] > 0.5
