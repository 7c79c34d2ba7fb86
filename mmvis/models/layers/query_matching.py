"""One-to-one matching of queries with the objects of a frame or a clip (DETR, arXiv 2005.12872; on points as in
Mask2Former, arXiv 2112.01527)."""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmvis.ops.transfer import on_device, to_host

from .clip_targets import ClipTargets
from .point_sampling import sample_at_points, uniform_points

#: Queries and objects of the pairs, int64 [n] each.
Pairs = Tuple[Tensor, Tensor]
#: What a query costs that another object has already.
_TAKEN = 1e6


@dataclass(frozen=True)
class MatchingCost:
    """Cost of every query with every object, [Q, n].

    ``mask_weight`` * cross-entropy - ``class_weight`` * probability of the class + ``dice_weight`` * (1 - dice), masks
    compared at ``num_points`` uniform points, the same ones for all queries, objects and frames of a call.
    """
    class_weight: float = 2.
    mask_weight: float = 5.
    dice_weight: float = 5.
    num_points: int = 12544

    @torch.no_grad()
    def __call__(self, logits: Tensor, masks: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Float32 [Q, n] of a tube of T frames (T = 1: of a frame).

        Args:
            logits: [Q, K + 1]; masks: [T, Q, h, w], logits; labels: int64 [n], a label above K counts as K ("no
                object"); targets: [T, n, H, W], 0 or 1.
        """
        with torch.autocast(masks.device.type, enabled=False):
            points = uniform_points(1, self.num_points, masks.device).expand(len(masks), -1, -1)
            ours = sample_at_points(masks, points).transpose(0, 1).flatten(1)             # [Q, T P]
            theirs = sample_at_points(targets.float(), points).transpose(0, 1).flatten(1)
            positive, negative = F.softplus(-ours), F.softplus(ours)
            entropy = (positive @ theirs.T + negative @ (1 - theirs).T) / ours.shape[1]
            found = ours.sigmoid()
            dice = 1 - (2 * found @ theirs.T + 1) / (found.sum(1)[:, None] + theirs.sum(1) + 1)
            probs = logits.float().softmax(-1)[:, labels.clamp(max=logits.shape[-1] - 1)]
            return self.mask_weight * entropy - self.class_weight * probs + self.dice_weight * dice


def assign(cost: Tensor) -> Pairs:
    """The pairs of least total cost [Q, n], queries rising. Costs that are not finite are worth any other: the losses
    are not finite then, too, and say so."""
    return assign_each([cost])[0]


def assign_each(costs: Sequence[Tensor]) -> List[Pairs]:
    """``assign`` of several tables, [Q, n] each; they go to the host in one copy, and the pairs come back in one."""
    if not costs:
        return []
    found = [np.stack(_assign(table.numpy())) for table in to_host(*costs)]
    pairs = on_device(np.concatenate(found, axis=1), costs[0].device)
    return [tuple(own.unbind()) for own in pairs.split([own.shape[1] for own in found], dim=1)]


def _assign(cost: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    return linear_sum_assignment(np.nan_to_num(cost, nan=_TAKEN))


def match_tubes(cost: MatchingCost, logits: Sequence[Tensor], masks: Sequence[Tensor], targets: Sequence[ClipTargets]
                ) -> List[Pairs]:
    """Pairs of each of B clips whose queries have one class for all frames: a query's masks are compared as one tube (an
    image is a clip of one frame).

    Args:
        logits: B times [Q, K + 1]; masks: B times [T, Q, h, w], logits.
    """
    tables = [cost(of_clip, own_masks, own.labels, own.masks.transpose(0, 1))
              for of_clip, own_masks, own in zip(logits, masks, targets) if len(own)]
    found = iter(assign_each(tables))
    return [next(found) if len(own) else (own.labels, own.labels) for own in targets]


def match_frames(cost: MatchingCost, logits: Tensor, masks: Tensor, targets: ClipTargets) -> List[Pairs]:
    """Pairs of every frame of a clip by itself, with the objects present in it.

    Args:
        logits: [T, Q, K + 1]; masks: [T, Q, h, w], logits.
    """
    frames = [on_device(np.flatnonzero(present), logits.device) for present in targets.presence.T]
    tables = [cost(logits[t], masks[t:t + 1], targets.labels[rows], targets.masks[None, rows, t])
              for t, rows in enumerate(frames) if len(rows)]
    found = iter(assign_each(tables))
    pairs = []
    for rows in frames:
        queries, chosen = next(found) if len(rows) else (rows, rows)
        pairs.append((queries, rows[chosen]))
    return pairs


def match_consistent(cost: MatchingCost, logits: Sequence[Tensor], masks: Sequence[Tensor],
                     targets: Sequence[ClipTargets], held: Optional[Sequence[Dict[int, int]]] = None) -> List[Pairs]:
    """Pairs of each of B clips that hold in all its frames: an object is matched in the first frame in which it is
    present, with the queries that no earlier frame has given away (DVIS, arXiv 2306.03413).

    Queries rise within the objects of one frame, which come frame by frame. The costs of all clips go to the host in one
    copy.

    Args:
        logits: B times [T, Q, K + 1]; masks: B times [T, Q, h, w], logits.
        held: of each clip, instance id -> query of the objects that have been matched before; they keep it, here or not.
    """
    places, tables = [], []
    held = held or [{} for _ in targets]
    pairs: List[Tuple[List[np.ndarray], List[np.ndarray]]] = []
    for b, (clip, of_clip, own, known) in enumerate(zip(logits, masks, targets, held)):
        first = own.presence.argmax(1) if len(own) else np.zeros(0, np.int64)
        query = np.array([known.get(i, -1) for i in own.instance_ids.tolist()] if known else [-1] * len(own), np.int64)
        kept = np.flatnonzero(query >= 0)
        pairs.append(([query[kept]], [kept]) if len(kept) else ([], []))
        for t in np.unique(first[query < 0]).tolist():
            rows = np.flatnonzero((first == t) & (query < 0))
            index = on_device(rows, clip.device)
            places.append((b, rows))
            tables.append(cost(clip[t], of_clip[t:t + 1], own.labels[index], own.masks[None, index, t]))
    for (b, rows), table in zip(places, to_host(*tables)):
        table = table.detach().numpy().copy()
        for taken in [list(held[b].values()), *pairs[b][0]]:
            table[taken] = _TAKEN
        queries, chosen = _assign(table)
        pairs[b][0].append(queries)
        pairs[b][1].append(rows[chosen])
    return [tuple(on_device(np.stack([np.concatenate(x) for x in pair]), own.labels.device).unbind()) if pair[0]
            else (own.labels, own.labels) for pair, own in zip(pairs, targets)]
