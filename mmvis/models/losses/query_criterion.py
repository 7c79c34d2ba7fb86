"""Losses of queries that each are one object's class and mask, or none's (Mask2Former, arXiv 2112.01527, section 3)."""
from typing import Callable, Dict, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor

from mmvis.ops.transfer import on_device

from ..layers.point_sampling import sample_at_points, unsure_points
from ..layers.query_matching import MatchingCost, Pairs
from .mask_losses import dice_loss

#: Class logits [N, Q, K + 1] and mask logits [N, Q, h, w] of one layer for N images (or frames).
Layer = Tuple[Tensor, Tensor]


def mean_over_processes(number: float, device: torch.device) -> Tensor:
    """A number of objects averaged over the processes, at least 1, float32 []."""
    total = on_device(float(number), device)
    all_reduce(total, 'mean')
    return total.clamp(min=1)


class QueryCriterion:
    """Cross-entropy over classes, and cross-entropy and dice of masks at points, layer by layer.

    Args:
        num_classes: K; class K is "no object".
        class_weight, mask_weight, dice_weight: of the losses and of the matching.
        no_object_weight: weight of "no object" in the cross-entropy.
        num_points: a mask; oversample, importance: see ``unsure_points``.
    """

    def __init__(self, num_classes: int, class_weight: float = 2., mask_weight: float = 5., dice_weight: float = 5.,
                 no_object_weight: float = 0.1, num_points: int = 12544, oversample: float = 3.,
                 importance: float = 0.75) -> None:
        self.num_classes = num_classes
        self.weights = dict(loss_ce=class_weight, loss_mask=mask_weight, loss_dice=dice_weight)
        self.no_object_weight = no_object_weight
        self.num_points, self.oversample, self.importance = num_points, oversample, importance
        self.cost = MatchingCost(class_weight, mask_weight, dice_weight, num_points)

    def __call__(self, layers: Sequence[Layer], match: Callable[[Tensor, Tensor], List[Pairs]], labels: List[Tensor],
                 masks: List[Tensor], num_masks: float) -> Dict[str, Tensor]:
        """Weighted losses: ``loss_ce``, ``loss_mask``, ``loss_dice`` of the last layer, which comes first, then with
        the suffixes ``_0``, ``_1``, ... those of the layers before it.

        Args:
            layers: L pairs of logits.
            match: from the logits of a layer to the pairs of each of the N images.
            labels, masks: of the objects of each image, int64 [n] (K: "no object") and 0 or 1 [n, H, W].
            num_masks: what the sums over masks are divided by, see ``mean_over_processes``.
        """
        named = [('', layers[-1])] + [(f'_{i}', layer) for i, layer in enumerate(layers[:-1])]
        losses = {}
        for suffix, layer in named:
            found = self.layer_losses(layer, match(*layer), labels, masks, num_masks)
            losses.update({name + suffix: self.weights[name] * value for name, value in found.items()})
        return losses

    def layer_losses(self, layer: Layer, pairs: List[Pairs], labels: List[Tensor], masks: List[Tensor],
                     num_masks: float) -> Dict[str, Tensor]:
        """Losses of one layer, without weights; arguments as of ``__call__``."""
        with torch.autocast(layer[0].device.type, enabled=False):
            logits, mask_logits = layer[0].float(), layer[1].float()
            losses = dict(loss_ce=self._class_loss(logits, pairs, labels))
            losses['loss_mask'], losses['loss_dice'] = (
                x / num_masks for x in self._mask_losses(mask_logits, pairs, masks))
            return losses

    def _class_loss(self, logits: Tensor, pairs: List[Pairs], labels: List[Tensor]) -> Tensor:
        classes = torch.full(logits.shape[:2], self.num_classes, device=logits.device)
        for row, (queries, objects), own in zip(classes, pairs, labels):
            row[queries] = own[objects]
        weight = logits.new_ones(self.num_classes + 1)
        weight[-1] = self.no_object_weight
        return F.cross_entropy(logits.flatten(0, 1), classes.flatten(), weight)

    def _mask_losses(self, logits: Tensor, pairs: List[Pairs], masks: List[Tensor]) -> Tuple[Tensor, Tensor]:
        """Sums over all pairs of the mean cross-entropy of a mask and of 1 - dice."""
        ours = torch.cat([image[queries] for image, (queries, _) in zip(logits, pairs)])
        theirs = torch.cat([image[objects] for image, (_, objects) in zip(masks, pairs)])
        points = unsure_points(ours.detach(), self.num_points, self.oversample, self.importance)
        ours = sample_at_points(ours[:, None], points)[:, 0]
        with torch.no_grad():
            theirs = sample_at_points(theirs[:, None].float(), points)[:, 0]
        entropy = F.binary_cross_entropy_with_logits(ours, theirs, reduction='none')
        return entropy.mean(1).sum(), dice_loss(ours, theirs).sum()
