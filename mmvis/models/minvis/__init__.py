"""MinVIS: a segmenter of images whose queries are linked from frame to frame (arXiv 2208.02245)."""
from .model import MinVIS

__all__ = ['MinVIS']
