"""InstanceFormer (arXiv 2208.10547): see the README beside this file."""
from .model import InstanceFormer

__all__ = ['InstanceFormer']
