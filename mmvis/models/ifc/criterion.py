"""Targets, matching and losses of whole clips (Hwang et al., NeurIPS 2021, section 3.3)."""
from dataclasses import replace
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import on_device, to_host

from ..layers.clip_targets import ClipTargets, clip_targets
from ..losses import dice_loss, dice_similarity, soft_focal_loss


def reduced_targets(samples: Sequence[FrameSample], stride: int = 4) -> ClipTargets:
    """The objects of the T frames of a clip, see ``clip_targets``, with masks float32 [n, T, ceil(H / stride),
    ceil(W / stride)] in 0 .. 1: reduced bilinearly, soft at the borders."""
    targets = clip_targets(samples)
    size = tuple(-(-side // stride) for side in targets.masks.shape[-2:])
    masks = targets.masks.new_zeros(*targets.masks.shape[:2], *size, dtype=torch.float32)
    if len(targets):
        for t, full in enumerate(targets.masks.unbind(1)):
            masks[:, t] = F.interpolate(full[None].float(), size, mode='bilinear', align_corners=False)[0]
    return replace(targets, masks=masks)


class ClipCriterion:
    """Matching of queries with the objects of a clip, layer by layer, and the losses.

    Args:
        num_classes: K; class K is "no object".
        class_weight, mask_weight, dice_weight: of the losses; ``dice_weight`` also of the matching.
        no_object_weight: weight of "no object" in the cross-entropy.
    """

    def __init__(self, num_classes: int, class_weight: float = 1., mask_weight: float = 3., dice_weight: float = 3.,
                 no_object_weight: float = 0.1) -> None:
        self.num_classes = num_classes
        self.weights = dict(loss_ce=class_weight, loss_mask=mask_weight, loss_dice=dice_weight)
        self.no_object_weight = no_object_weight

    def __call__(self, logits: Tensor, masks: Tensor, targets: List[ClipTargets]) -> Dict[str, Tensor]:
        """Weighted losses of all decoder layers: ``loss_ce``, ``loss_mask``, ``loss_dice`` of the last one, with the
        suffix ``_0``, ``_1``, ... of those before; ``class_error`` (percent, last layer) and ``cardinality_error*``
        (objects too many or too few a clip) are for the eye.

        Args:
            logits: float [L, B, Q, K + 1].
            masks: float [L, B, Q, T, h8, w8], logits.
            targets: B clips.
        """
        with torch.autocast(logits.device.type, enabled=False):      # sums over whole tubes need float32
            return self._all_layers(logits.float(), masks.float(), targets)

    def _all_layers(self, logits: Tensor, masks: Tensor, targets: List[ClipTargets]) -> Dict[str, Tensor]:
        num = on_device(float(sum(len(x.labels) for x in targets)), logits.device)
        all_reduce(num, 'mean')
        num = num.clamp(min=1)
        matches = iter(self.match([clip for layer in zip(logits, masks) for clip in zip(*layer, targets)]))
        matches = [[next(matches) for _ in targets] for _ in logits]
        losses = {}
        for layer in reversed(range(len(logits))):
            is_last = layer == len(logits) - 1
            suffix = '' if is_last else f'_{layer}'
            found = self._layer(logits[layer], masks[layer], targets, matches[layer], num)
            if not is_last:
                found.pop('class_error')
            losses.update({name + suffix: value * self.weights.get(name, 1) for name, value in found.items()})
        return losses

    @torch.no_grad()
    def match(self, clips: Sequence[Tuple[Tensor, Tensor, ClipTargets]]) -> List[Tuple[Tensor, Tensor]]:
        """Queries (rising) and the objects they are matched with, int64 [n] each, in every clip.

        The assignment maximises dice_weight * dice + probability of the class. All go to the host in one copy.

        Args:
            clips: logits [Q, K + 1]; masks [Q, T, h8, w8], logits; targets.
        """
        profits = to_host(*(self._profit(*clip) for clip in clips))
        # with NaN there is no assignment; the losses are NaN then, too, and say so
        return [tuple(on_device(np.stack(linear_sum_assignment(np.nan_to_num(profit.numpy()), maximize=True)),
                                logits.device).unbind()) for profit, (logits, *_) in zip(profits, clips)]

    def _profit(self, logits: Tensor, masks: Tensor, targets: ClipTargets) -> Tensor:
        """[Q, n] of one clip."""
        if not len(targets.labels):
            return logits.new_zeros(len(logits), 0)
        dice = dice_similarity(self._upsample(masks, targets).flatten(1), targets.masks.flatten(1))
        return self.weights['loss_dice'] * dice + logits.softmax(-1)[:, targets.labels]

    def _layer(self, logits: Tensor, masks: Tensor, targets: List[ClipTargets], matches: List[Tuple[Tensor, Tensor]],
               num: Tensor) -> Dict[str, Tensor]:
        """Losses of one decoder layer, not weighted."""
        classes = torch.full(logits.shape[:2], self.num_classes, device=logits.device)
        for row, target, (queries, objects) in zip(classes, targets, matches):
            row[queries] = target.labels[objects]
        weight = logits.new_ones(self.num_classes + 1)
        weight[-1] = self.no_object_weight
        matched = classes < self.num_classes
        counts = on_device([len(x.labels) for x in targets], logits.device)
        found = (logits.argmax(-1) < self.num_classes).sum(1)
        pairs = [(self._upsample(mask[queries], target).flatten(1), target.masks[objects].flatten(1))
                 for mask, target, (queries, objects) in zip(masks, targets, matches) if len(queries)]
        focal = sum((soft_focal_loss(*pair).sum() for pair in pairs), masks.sum() * 0)
        dice = sum((dice_loss(*pair).sum() for pair in pairs), masks.sum() * 0)
        right = ((logits.argmax(-1) == classes) & matched).float()
        return dict(loss_ce=F.cross_entropy(logits.flatten(0, 1), classes.flatten(), weight),
                    loss_mask=focal / num, loss_dice=dice / num,
                    class_error=100 - 100 * right.sum() / max(sum(len(queries) for queries, _ in matches), 1),
                    cardinality_error=(found - counts).abs().float().mean())

    @staticmethod
    def _upsample(masks: Tensor, targets: ClipTargets) -> Tensor:
        """Logits [q, T, h8, w8] at the size of the targets."""
        return F.interpolate(masks, targets.masks.shape[-2:], mode='bilinear', align_corners=False)
