"""The terms of InstanceFormer's training loss, each over a batch of clips."""
from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou, sigmoid_focal_loss

from mmvis.models.layers.precision import at_least_float32

from .matching import ClipTargets, Match


def class_loss(logits: Tensor, matches: Sequence[Match], targets: Sequence[ClipTargets]) -> Tensor:
    """Focal loss of one layer and frame, summed over slots and classes; logits [B, Q, C]."""
    wanted = torch.zeros_like(logits)
    for row, (slots, objects), target in zip(wanted, matches, targets):
        row[slots, target.classes[objects]] = 1.
    return sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2., reduction='sum')


def box_losses(boxes: Tensor, wanted: Tensor) -> List[Tensor]:
    """L1 and 1 - GIoU, each summed over the objects; cx cy w h [N, 4]."""
    overlap = generalized_box_iou(box_convert(boxes, 'cxcywh', 'xyxy'), box_convert(wanted, 'cxcywh', 'xyxy'))
    return [(boxes - wanted).abs().sum(), (1 - overlap.diagonal()).sum()]


def mask_losses(logits: Tensor, wanted: Tensor) -> List[Tensor]:
    """Focal loss (mean over the pixels) and dice loss, each summed over the objects; [N, h, w] both."""
    logits, wanted = logits.flatten(1), wanted.flatten(1).to(logits)
    focal = sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2.).mean(1).sum()
    probabilities = logits.sigmoid()
    inner = (probabilities * wanted).sum(1)
    dice = 1 - (2 * inner + 1) / (probabilities.sum(1) + wanted.sum(1) + 1)
    return [focal, dice.sum()]


def contrastive_loss(features: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """Supervised contrastive loss of one clip (Khosla et al., NeurIPS 2020, L_out): slots stay alike over the frames.

    Args:
        features: [R, d] of the tokens of all frames, before normalisation.
        labels: [R]; vectors of one label attract each other. A vector that is alone with its label has no part.
    """
    with torch.autocast(features.device.type, enabled=False):           # a product in half precision is too coarse
        features = F.normalize(at_least_float32(features), dim=-1)
        similarity = features @ features.T / temperature
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    log_prob = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    positive = (labels[:, None] == labels) & ~itself
    counts = positive.sum(1)
    mean = (log_prob * positive).sum(1) / counts.clamp(min=1)
    return -mean.sum() / (counts > 0).sum().clamp(min=1)


def looks_loss(features: Tensor, matches: Sequence[Match], targets: Sequence[ClipTargets],
               clip_of: Sequence[int]) -> Tensor:
    """What slots hold of one object in different images attracts each other, whichever slots they are.

    The labels of InstanceFormer's own contrastive term are the slots, which a code of the slot tells. These want colour
    and shape.

    Args:
        features: [N, Q, d] of N images; matches, targets: of each; clip_of: the clip that each is from.
    """
    vectors = torch.cat([one[slots] for one, (slots, _) in zip(features, matches)])
    ids = torch.cat([torch.stack([torch.full_like(objects, clip), target.ids[objects]], dim=1)
                     for clip, target, (_, objects) in zip(clip_of, targets, matches)])
    return contrastive_loss(vectors, ids.unique(dim=0, return_inverse=True)[1])
