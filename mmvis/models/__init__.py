"""The systems, their parts, and the data preprocessor."""
import mmdet.models  # noqa: F401  (registers mmdet.ResNet, mmdet.FPN and the like)

from .base import VISModel
from .builder import build_part
from .condinst_iai import CondInstIAI
from .ctvis import CTVIS, CTMinVIS
from .data_preprocessor import ClipPreprocessor
from .eomt import EoMT
from .ifc import IFC
from .instanceformer import InstanceFormer
from .lvmt import LVMT
from .mask2former import Mask2Former, MaskedAttentionSegmenter
from .masktrack_rcnn import MaskTrackRCNN
from .memcnp import MemCNP
from .minvis import MinVIS
from .sipmask import SipMaskVIS
from .videomt import VidEoMT

__all__ = ['CTMinVIS', 'CTVIS', 'ClipPreprocessor', 'CondInstIAI', 'EoMT', 'IFC', 'InstanceFormer', 'LVMT', 'Mask2Former',
           'MaskTrackRCNN', 'MaskedAttentionSegmenter', 'MemCNP', 'MinVIS', 'SipMaskVIS', 'VISModel', 'VidEoMT',
           'build_part']
