"""MemCNP-VIS (Neurocomputing 655, 2025, 131439): see the README beside this file."""
from .head import MemCNPHead
from .memory import SlotMemory
from .model import MemCNP
from .tracker import CosineTracker

__all__ = ['CosineTracker', 'MemCNP', 'MemCNPHead', 'SlotMemory']
