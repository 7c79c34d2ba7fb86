"""From the queries of a frame to its detections."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmvis.ops.transfer import on_device, to_host

from ..layers.stages import stage


@dataclass
class Detections:
    """Detections of a frame by falling score, on the CPU.

    Attributes:
        queries: int64 [D]; scores: float32 [D], best probability of a class; labels: int64 [D].
        logits: float32 [D, K + 1]; masks: float32 [D, h4, w4], logits; embeddings: float32 [D, C].
    """
    queries: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    masks: np.ndarray
    embeddings: Tensor


def detect(logits: Tensor, masks: Tensor, embeddings: Tensor, min_score: float, iou: float) -> Detections:
    """Queries whose score is above ``min_score``, or else the best one, without those whose mask a better one has.

    Args:
        logits: [Q, K + 1]; masks: [Q, h4, w4], logits; embeddings: [Q, C].
    """
    with stage('association'):
        probs = logits.float().softmax(-1)[:, :-1].max(1)
        # One copy of what decides, one of the masks that stay.
        scores, labels, logits, embeddings, overlaps = to_host(
            probs.values, probs.indices, logits.float(), embeddings.float(), mask_overlaps(masks > 0))
        scores = scores.numpy()
        order = np.argsort(-scores, kind='stable')
        order = order[:max(1, int((scores > min_score).sum()))]
        chosen = order[mask_nms(overlaps.numpy()[np.ix_(order, order)], iou)]
        masks, = to_host(masks[on_device(chosen, masks.device)].float())
    return Detections(chosen, scores[chosen], labels.numpy()[chosen], logits.numpy()[chosen], masks.numpy(),
                      embeddings[torch.from_numpy(chosen)])


def mask_overlaps(inside: Tensor) -> Tensor:
    """Intersection over union of all pairs of masks bool [D, h, w], float32 [D, D]; of two empty ones it is 1."""
    flat = inside.flatten(1).float()
    common = flat @ flat.T
    areas = flat.sum(1)
    return (common + 1e-6) / (areas[:, None] + areas - common + 1e-6)


def mask_nms(overlaps: np.ndarray, iou: float) -> np.ndarray:
    """Which masks stay, bool [D]: going through them in order, one that stays takes with it all later ones whose overlap
    [D, D] with it is larger than ``iou``."""
    kept = np.ones(len(overlaps), bool)
    for i, row in enumerate(overlaps):
        if kept[i]:
            kept[i + 1:] &= row[i + 1:] <= iou
    return kept
