"""Matching and losses of clips in which a query keeps its object (VidEoMT, arXiv 2602.17807; PMT and LVMT alike)."""
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from torch import Tensor

from mmvis.errors import InputError

from ..layers.clip_targets import ClipTargets
from ..layers.query_matching import MatchingCost, Pairs, match_consistent
from .query_criterion import QueryCriterion, mean_over_processes

#: The class that the official data path gives to an object that the clip's last frame lacks.
OFFICIAL_DUMMY = 54


def check_label_rule(system: str, rule: str) -> None:
    """Raise InputError where ``rule`` is none of ``apply_label_rule``."""
    if rule not in ('annotated', 'official'):
        raise InputError(f"{system}: label_rule is 'annotated' or 'official', not {rule!r}.")


def apply_label_rule(rule: str, targets: Sequence[ClipTargets]) -> None:
    """'annotated': the class of an object is that of its annotation; 'official': an object that the last frame of a clip
    lacks is taught the last class and matched without one, as in the published code."""
    if rule == 'official':
        for target in targets:
            target.labels = target.labels.where(target.present[:, -1], OFFICIAL_DUMMY)


def clip_losses(criterion: QueryCriterion, outputs: List[Tuple[Tensor, Tensor]], targets: List[ClipTargets],
                match: Callable[[Tensor, Tensor], List[Pairs]]) -> Dict[str, Tensor]:
    """Weighted losses of layers of B clips: class logits [B * T, Q, K + 1], mask logits [B * T, Q, h4, w4].

    A query keeps its object and class in all frames of the clip; where the object is absent the mask is empty.

    Args:
        match: pairs of the B * T frames, from the logits of a layer.
    """
    num_frames = targets[0].present.shape[1]
    # a label above all classes (``OFFICIAL_DUMMY``) is matched as "no object" and taught as the last class
    labels = [target.labels.clamp(max=criterion.num_classes - 1) for target in targets for _ in range(num_frames)]
    masks = [mask for target in targets for mask in target.masks.unbind(1)]
    num_masks = mean_over_processes(sum(map(len, labels)), outputs[-1][0].device)
    return criterion(outputs, match, labels, masks, num_masks)


def match_clips(cost: MatchingCost, logits: Tensor, masks: Tensor, targets: List[ClipTargets],
                held: Optional[Sequence[Dict[int, int]]] = None) -> List[Pairs]:
    """Pairs of each of the B * T frames, the same in all frames of a clip; logits as of ``clip_losses``, ``held`` as of
    ``match_consistent``."""
    clips = (x.unflatten(0, (len(targets), -1)) for x in (logits, masks))
    return [pairs for pairs, clip in zip(match_consistent(cost, *clips, targets, held), targets)
            for _ in range(clip.present.shape[1])]
