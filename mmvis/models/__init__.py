"""The systems, their parts, and the data preprocessor."""
import mmdet.models  # noqa: F401  (registers mmdet.ResNet, mmdet.FPN and the like)

from .base import VISModel
from .builder import build_part
from .condinst_iai import CondInstIAI
from .data_preprocessor import ClipPreprocessor
from .eomt import EoMT
from .ifc import IFC
from .instanceformer import InstanceFormer
from .masktrack_rcnn import MaskTrackRCNN
from .memcnp import MemCNP
from .sipmask import SipMaskVIS
from .videomt import VidEoMT

__all__ = ['ClipPreprocessor', 'CondInstIAI', 'EoMT', 'IFC', 'InstanceFormer', 'MaskTrackRCNN', 'MemCNP', 'SipMaskVIS',
           'VISModel', 'VidEoMT', 'build_part']
