"""Identity by products of embeddings: each object of the key frame is one of the reference frame, or new (MaskTrack
R-CNN, arXiv 1905.04804, section 3.2)."""
from typing import Dict, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def match_logits(embeddings: Tensor, references: Tensor) -> Tensor:
    """Products [N, 1 + M] of embeddings [N, D] with those of M known objects; column 0 (a new object) is 0."""
    with torch.autocast(embeddings.device.type, enabled=False):      # sums of a thousand products need float32
        return F.pad(embeddings.float() @ references.float().T, (1, 0))


def match_targets(ids: Tensor, reference_ids: Tensor) -> Tensor:
    """Column int64 [N] of each object among the M of the reference frame, counted from 1; 0 for one absent there.

    Args:
        ids: int64 [N], reference_ids: int64 [M]: one number an object, equal in all frames of the clip.
    """
    same = ids[:, None] == reference_ids
    return (same * torch.arange(1, same.shape[1] + 1, device=same.device)).sum(1)


def match_loss(logits: Sequence[Tensor], targets: Sequence[Tensor], min_positives: int = 1) -> Dict[str, Tensor]:
    """Cross entropy of the positives of each image, mean over the images.

    Args:
        logits: B tensors [P_b, 1 + M_b]; targets: B tensors int64 [P_b], 0 for an object absent from the reference.
        min_positives: images with fewer positives count 0.

    Returns:
        loss_match, and match_acc in percent.
    """
    total, right, count = sum(x.sum() * 0. for x in logits), 0., 0
    for scores, target in zip(logits, targets):
        right += (scores.argmax(1) == target).float().sum()
        count += len(target)
        if len(target) >= min_positives:
            total = total + F.cross_entropy(scores, target)
    accuracy = torch.as_tensor(right * (100. / max(count, 1)), device=total.device)
    return dict(loss_match=total / max(len(logits), 1), match_acc=accuracy)
