"""The systems, their parts, and the data preprocessor."""
import mmdet.models  # noqa: F401  (registers mmdet.ResNet, mmdet.FPN and the like)

from .base import VISModel
from .builder import build_part
from .data_preprocessor import ClipPreprocessor
from .masktrack_rcnn import MaskTrackRCNN

__all__ = ['ClipPreprocessor', 'MaskTrackRCNN', 'VISModel', 'build_part']
