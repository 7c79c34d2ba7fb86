"""The re-identification head and its losses."""
from typing import Dict, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from ..layers.clip_targets import ClipTargets
from ..layers.deformable_encoder import mlp
from ..layers.query_matching import Pairs
from ..losses.contrastive_items import ContrastiveItems, Found, mean_contrastive_losses


def reid_head(embed_dims: int) -> nn.Sequential:
    """From a normed query to its embedding: three linear layers."""
    head = mlp(embed_dims, embed_dims, embed_dims)
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
    return head


def identity_losses(embeddings: Tensor, clips: Sequence[List[Found]], targets: Sequence[ClipTargets],
                    items: ContrastiveItems, weights: Tuple[float, float]) -> Dict[str, Tensor]:
    """``loss_reid`` and ``loss_aux_reid``: means over the items of all clips (of this process), weighted.

    Args:
        embeddings: [B * T, Q, C]; clips: which query has which object, of B clips of T frames.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        frames = embeddings.float().unflatten(0, (len(clips), -1))
        found = [frame for own, clip, target in zip(frames, clips, targets)
                 for frame in items(own, clip, len(target))]
        losses = mean_contrastive_losses(found, frames)
    return {name: weight * loss for name, weight, loss in zip(('loss_reid', 'loss_aux_reid'), weights, losses)}


def queries_of(pairs: Sequence[Pairs], slots: Sequence[Tensor]) -> List[Found]:
    """Which query has which object of a clip, frame by frame.

    Args:
        pairs: queries and objects; slots: of each frame the numbers in the clip of the objects that were matched.
    """
    found = []
    for (queries, objects), own in zip(pairs, slots):
        found.append(dict(zip(own[objects].tolist(), queries.tolist())))
    return found


def by_clip(frames: List, num_frames: int) -> List[List]:
    """A list of B * T as B lists of T."""
    return [frames[start:start + num_frames] for start in range(0, len(frames), num_frames)]
