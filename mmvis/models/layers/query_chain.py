"""Queries of one frame in the order of the frame before: the rule of MinVIS (arXiv 2208.02245), DVIS++ and DVIS-DAQ."""
from dataclasses import dataclass
from typing import List, Optional

import torch
from torch import Tensor
from torch.nn import functional as F

from mmvis.structures import FrameInstances

from .end_results import RowsState
from .query_matching import assign
from .stages import stage


@dataclass
class ChainState(RowsState):
    """One video on its way; row s of its ranking and masks is slot s.

    Attributes:
        embeddings: [Q, C] of the last frame, by slot; None before the first.
    """
    embeddings: Optional[Tensor] = None

    def follow(self, logits: Tensor, masks: Tensor, embeddings: Tensor) -> List[FrameInstances]:
        """Take the queries of the next frame, in their own order (see ``add``): embeddings [Q, C] say which slots they
        continue."""
        with stage('association'):
            order = next_in_chain(self.embeddings, embeddings)
            self.embeddings = embeddings[order]
            logits, masks = logits[order], masks[order]
        return self.add(logits, masks)


def next_in_chain(previous: Optional[Tensor], embeddings: Tensor) -> Tensor:
    """Which query of this frame continues each slot: the assignment of the largest total cosine similarity.

    Args:
        previous: [Q, C] of the frame before, in the order of the slots; None in the first frame.
        embeddings: [Q, C] of this frame, in its own order.

    Returns:
        int64 [Q]: query of slot s; in the first frame the slots are the queries.
    """
    if previous is None:
        return torch.arange(len(embeddings), device=embeddings.device)
    with torch.autocast(embeddings.device.type, enabled=False):          # 16 bits are too coarse to tell queries apart
        cosine = F.normalize(previous.float(), dim=1) @ F.normalize(embeddings.float(), dim=1).T
    return assign(1 - cosine)[1]
