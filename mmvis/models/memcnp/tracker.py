"""Association by cosine."""
from torch import Tensor

from mmvis.registry import MODELS

from ..trackers import AssociationTracker
from .losses import cosine_logits


@MODELS.register_module()
class CosineTracker(AssociationTracker):
    """``AssociationTracker`` that compares embeddings by their cosine, divided by the temperature of the training."""

    def similarity(self, embeddings: Tensor, known: Tensor) -> Tensor:
        return cosine_logits(embeddings, known)
