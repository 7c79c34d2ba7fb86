"""Instances of single images from queries (Mask2Former, arXiv 2112.01527; EoMT): the best pairs of query and class."""
from dataclasses import dataclass
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: So many masks are enlarged at a time.
_AT_ONCE = 10


@dataclass
class QueryInstances:
    """Instances of one image at its original size h x w, by falling score.

    Attributes:
        scores: float32 [n]; labels: int64 [n], 0-based; queries: int64 [n], of which some may come several times.
        masks: bool [n, h, w], some may be empty.
    """
    scores: Tensor
    labels: Tensor
    queries: Tensor
    masks: Tensor


def query_instances(logits: Tensor, masks: Tensor, network: Tuple[int, int], cut: Tuple[int, int],
                    size: Tuple[int, int], num: int = 100) -> QueryInstances:
    """The ``num`` pairs of query and class with the highest probability.

    The score is the probability times the mean of the sigmoid inside the mask at original size; an empty mask has 0.
    Masks are enlarged to the padded size, cut, resized to the original size and positive above 0.

    Args:
        logits: [Q, K + 1] ("no object" last); masks: [Q, h4, w4], logits.
        network: (H, W), padded; cut: (height, width) without padding; size: (h, w), original.
    """
    probs = logits.float().softmax(-1)[:, :-1]
    scores, flat = probs.flatten().topk(min(num, probs.numel()))
    queries, labels = flat // probs.shape[1], flat % probs.shape[1]
    rows, inverse = queries.unique(return_inverse=True)
    inside, quality = [], []
    for part in masks[rows].float().split(_AT_ONCE):
        part = F.interpolate(part[None], network, mode='bilinear', align_corners=False)[..., :cut[0], :cut[1]]
        part = F.interpolate(part, size, mode='bilinear', align_corners=False)[0]
        inside.append(part > 0)
        quality.append((part.sigmoid() * inside[-1]).flatten(1).sum(1) / (inside[-1].flatten(1).sum(1) + 1e-6))
    scores = scores * torch.cat(quality)[inverse]
    order = scores.argsort(descending=True, stable=True)
    return QueryInstances(scores[order], labels[order], queries[order], torch.cat(inside)[inverse[order]])
