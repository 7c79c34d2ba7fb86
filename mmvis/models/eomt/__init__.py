"""EoMT: an encoder-only transformer for image segmentation (arXiv 2503.19108)."""
from .model import EoMT
from .patch_classifier import PatchClassifier

__all__ = ['EoMT', 'PatchClassifier']
