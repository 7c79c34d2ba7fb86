"""Mask2Former: masked-attention mask transformer (arXiv 2112.01527), as segmenter of images and of a video's frames."""
from .model import Mask2Former
from .segmenter import MaskedAttentionSegmenter

__all__ = ['Mask2Former', 'MaskedAttentionSegmenter']
