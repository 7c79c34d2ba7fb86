"""CondInst + IAI ("Instance As Identity", ECCV 2022): see the README beside this file."""
from .head import IAIHead
from .lstt import LSTT
from .model import CondInstIAI

__all__ = ['CondInstIAI', 'IAIHead', 'LSTT']
