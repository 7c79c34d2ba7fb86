"""SipMask-VIS (arXiv 2007.14772): see the README beside this file."""
from .head import SipMaskHead
from .model import SipMaskVIS

__all__ = ['SipMaskHead', 'SipMaskVIS']
