"""The sample set: a small synthetic video instance segmentation set, drawn on the spot from a seed."""
from .make import VERSION, make_sample
from .shapes import CATEGORIES

__all__ = ['CATEGORIES', 'VERSION', 'make_sample']
