"""PMT (arXiv 2603.25398) and LVMT: a frozen vision transformer, a light decoder, queries that go from frame to frame."""
from .model import LVMT

__all__ = ['LVMT']
