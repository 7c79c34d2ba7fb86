"""EoMT: an encoder-only transformer for image segmentation (arXiv 2503.19108)."""
from .model import EoMT

__all__ = ['EoMT']
