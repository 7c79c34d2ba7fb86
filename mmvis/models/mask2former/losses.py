"""The losses of the segmenter on images, or on the frames of clips taken as images."""
from typing import Dict, List, Sequence, Tuple

import numpy as np
from torch import Tensor

from mmvis.ops.transfer import on_device

from ..layers.clip_targets import ClipTargets
from ..layers.query_matching import Pairs, match_tubes
from ..losses import QueryCriterion, mean_over_processes
from .decoder import Prediction


def segmentation_losses(criterion: QueryCriterion, predictions: Sequence[Prediction], images: List[ClipTargets]
                        ) -> Tuple[Dict[str, Tensor], List[Pairs]]:
    """Weighted losses of all predictions of N images, the last one first (see ``QueryCriterion``), and which query of the
    last prediction has which object, for every image.

    Args:
        images: the objects of each image (T = 1); all of them are matched, those without a pixel too.
    """
    layers = [(prediction.logits, prediction.masks) for prediction in predictions]
    num_masks = mean_over_processes(sum(map(len, images)), layers[0][0].device)
    found: List[List[Pairs]] = []

    def match(*layer: Tensor) -> List[Pairs]:
        found.append(match_images(criterion, *layer, images))
        return found[-1]

    losses = criterion(layers, match, [x.labels for x in images], [x.masks[:, 0] for x in images], num_masks)
    return losses, found[0]


def match_images(criterion: QueryCriterion, logits: Tensor, masks: Tensor, images: List[ClipTargets]) -> List[Pairs]:
    """Queries and objects of every image; logits [N, Q, K + 1] and [N, Q, h, w]."""
    return match_tubes(criterion.cost, logits, masks[:, None], images)


def frames_as_images(clip: ClipTargets, present_only: bool) -> List[ClipTargets]:
    """The T frames of a clip, each with the objects of the whole clip, or with those that are present in it."""
    frames = []
    for t, present in enumerate(clip.presence.T):
        rows = on_device(np.flatnonzero(present), clip.labels.device) if present_only else slice(None)
        frames.append(ClipTargets(clip.labels[rows], clip.instance_ids[rows], clip.present[rows, t:t + 1],
                                  clip.masks[rows, t:t + 1]))
    return frames
