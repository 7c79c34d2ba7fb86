"""Losses of MemCNP-VIS beside those that it shares with SipMask."""
import math

import torch
from torch import Tensor

#: Weight of a cosine in the contrastive loss and in association: 1 / temperature.
TEMPERATURE = 0.1


def giou_loss(boxes: Tensor, targets: Tensor, eps: float = 1e-6) -> Tensor:
    """Mean of 1 - generalised IoU (arXiv 1902.09630) of boxes and targets [n, 4], corners not inclusive."""
    overlap = (torch.minimum(boxes[:, 2:], targets[:, 2:]) - torch.maximum(boxes[:, :2], targets[:, :2])).clamp(min=0)
    hull = torch.maximum(boxes[:, 2:], targets[:, 2:]) - torch.minimum(boxes[:, :2], targets[:, :2])
    overlap, hull = overlap.prod(1), hull.prod(1)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (boxes, targets)]
    union = areas[0] + areas[1] - overlap
    return (1 - (overlap / (union + eps) - (hull - union) / (hull + eps))).mean()


def box_mixture_loss(boxes: Tensor, sigmas: Tensor, weights: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of one object's box under the mixture of the n Gaussians that its points predict.

    Args:
        boxes, sigmas: mean and deviation [n, 4], as parts of the image; weights: [n], of any sum; target: [4].
    """
    log_density = -0.5 * ((target - boxes) / sigmas) ** 2 - sigmas.log() - 0.5 * math.log(2 * math.pi)
    return -((weights / weights.sum()).log() + log_density.sum(1)).logsumexp(0)


def cosine_logits(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of embeddings a [n, D] with b [m, D], divided by the temperature: float32 [n, m]."""
    with torch.autocast(a.device.type, enabled=False):
        a, b = (x.float() / x.float().norm(dim=1, keepdim=True).clamp(min=1e-8) for x in (a, b))
        return a @ b.T / TEMPERATURE


def contrastive_loss(current: Tensor, reference: Tensor, positive: Tensor, num_images: int,
                     num_negatives: int = 5) -> Tensor:
    """-log of the likeness of objects with themselves over their likeness with what they resemble most.

    Args:
        current: embeddings [n, D] of the objects of all key frames; reference: [m, D] of all reference frames.
        positive: [n]: the row of ``reference`` that shows the same object, -1 if it is absent there.
        num_images: stands for the number of positives where there are none.

    Returns:
        A scalar. One object alone, and none in the reference frames, has nothing to be compared with: 0.
    """
    across = cosine_logits(current, reference)
    among = cosine_logits(current, current)
    among = _off_diagonal(among)
    negatives = [x.topk(min(num_negatives, x.shape[1]), dim=1).values.flatten() for x in (among, across)]
    negatives = torch.cat(negatives)
    if not len(negatives):
        return current.sum() * 0.
    rows = torch.nonzero(positive >= 0)[:, 0]
    same = across[rows, positive[rows]]
    if not len(rows):
        same = across.new_full((num_images,), 1 / TEMPERATURE)
    return negatives.logsumexp(0) - same.logsumexp(0)


def _off_diagonal(square: Tensor) -> Tensor:
    """[n, n - 1] of a matrix [n, n]. Behind every entry of the diagonal but the last come n others."""
    num = len(square)
    return square.flatten()[1:].view(max(num - 1, 0), num + 1)[:, :-1].reshape(num, max(num - 1, 0)) if num else square
