"""MaskTrackRCNN (arXiv 1905.04804): see the README beside this file."""
from .heads import MaskTrackBBoxHead, MaskTrackEmbeddingHead, MaskTrackMaskHead
from .model import MaskTrackRCNN
from .rpn_head import MaskTrackRPNHead

__all__ = ['MaskTrackBBoxHead', 'MaskTrackEmbeddingHead', 'MaskTrackMaskHead', 'MaskTrackRCNN', 'MaskTrackRPNHead']
