"""CTVIS: a segmenter of images with embeddings that are trained as they are compared (arXiv 2307.12616)."""
from .ct_minvis import CTMinVIS
from .model import CTVIS

__all__ = ['CTMinVIS', 'CTVIS']
