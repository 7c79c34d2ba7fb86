"""A CUDA device that does not exist: see device.py."""
from .device import VirtualCuda
from .tensor import CUDA, VirtualTensor

__all__ = ['CUDA', 'VirtualCuda', 'VirtualTensor']
