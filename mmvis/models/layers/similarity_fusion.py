"""The memory of one track in CTVIS (arXiv 2307.12616) and DVIS-DAQ: what is new counts as much as it resembles the old."""
from typing import List, Optional

from torch import Tensor
from torch.nn import functional as F


class SimilarityFusion:
    """One vector a track, with which every new observation is fused.

    The weight of an observation is its mean cosine similarity with the earlier ones, at least 0; of the first it is 1. The
    gradient flows through vectors and weight.

    Args:
        limit: so many earlier observations are compared with, the latest ones; None: all.

    Attributes:
        fused: [C], None before the first observation; kept: [C] each; weight: of the last one.
    """

    def __init__(self, limit: Optional[int] = None) -> None:
        self.limit = limit
        self.fused: Optional[Tensor] = None
        self.kept: List[Tensor] = []
        self.weight: Optional[Tensor] = None

    def add(self, embedding: Tensor) -> Tensor:
        """Take an observation [C]; returns ``fused``."""
        if self.fused is None:
            self.fused, self.weight = embedding, embedding.new_ones(())
        else:
            alike = [F.cosine_similarity(earlier, embedding, dim=0) for earlier in self.kept]
            self.weight = (sum(alike) / len(alike)).clamp(min=0)
            self.fused = (1 - self.weight) * self.fused + self.weight * embedding
        self.kept.append(embedding)
        if self.limit is not None:
            del self.kept[:-self.limit]
        return self.fused
