"""What goes from chunk to chunk of a clip in training."""
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from torch import Tensor

from ..layers.clip_targets import ClipTargets
from ..layers.query_matching import MatchingCost, Pairs
from ..losses.clip_losses import match_clips


@dataclass
class ChunkState:
    """B clips on their way.

    Attributes:
        queries: float32 [B, Q, C] that enter the next chunk, without a graph; None: the learned ones.
        hold_pairs: whether objects keep, layer by layer, the query that a chunk before has matched them with; else every
            chunk is matched anew.
        held: by layer and clip, instance id -> query.
    """
    queries: Optional[Tensor] = None
    hold_pairs: bool = False
    held: List[List[Dict[int, int]]] = field(default_factory=list)
    _layer: int = 0

    def start_chunk(self) -> None:
        """The next ``match`` is that of the first layer."""
        self._layer = 0

    def match(self, cost: MatchingCost, logits: Tensor, masks: Tensor, targets: List[ClipTargets]) -> List[Pairs]:
        """``match_clips`` of the next layer of the chunk."""
        if not self.hold_pairs:
            return match_clips(cost, logits, masks, targets)
        if self._layer == len(self.held):
            self.held.append([{} for _ in targets])
        held = self.held[self._layer]
        self._layer += 1
        pairs = match_clips(cost, logits, masks, targets, held)
        num_frames = targets[0].present.shape[1]
        for known, (queries, objects), own in zip(held, pairs[::num_frames], targets):
            known.update(zip(own.instance_ids[objects].tolist(), queries.tolist()))
        return pairs
