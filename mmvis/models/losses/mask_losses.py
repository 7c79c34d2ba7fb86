"""Focal and dice loss of whole masks (or tubes) against soft targets, one number a mask, as in DETR's segmentation.

Sources: Lin et al., ICCV 2017 (focal loss); Milletari et al., 3DV 2016 (dice); Carion et al., ECCV 2020, section 4.4.
"""
import torch.nn.functional as F
from torch import Tensor


def soft_focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Mean focal loss over the pixels of each mask, [N].

    Args:
        logits: float [N, P].
        targets: float [N, P] in 0 .. 1; values in between are mixed linearly.
    """
    p = logits.sigmoid()
    p_target = p * targets + (1 - p) * (1 - targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    return (weight * (1 - p_target) ** gamma * entropy).mean(1)


def dice_similarity(logits: Tensor, targets: Tensor) -> Tensor:
    """Dice coefficient of every prediction with every target, [Q, N].

    Args:
        logits: float [Q, P]; targets: float [N, P] in 0 .. 1.
    """
    p = logits.sigmoid()
    return (2 * p @ targets.T + 1) / (p.sum(1)[:, None] + targets.sum(1)[None] + 1)


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - dice coefficient of each pair, [N]; arguments as of ``soft_focal_loss``."""
    p = logits.sigmoid()
    return 1 - (2 * (p * targets).sum(1) + 1) / (p.sum(1) + targets.sum(1) + 1)
