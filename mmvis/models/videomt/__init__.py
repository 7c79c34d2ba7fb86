"""VidEoMT: an encoder-only transformer for video instance segmentation (arXiv 2602.17807)."""
from .model import VidEoMT

__all__ = ['VidEoMT']
