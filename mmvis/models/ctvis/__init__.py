"""CTVIS: a segmenter of images with embeddings that are trained as they are compared (arXiv 2307.12616)."""
from .model import CTVIS

__all__ = ['CTVIS']
