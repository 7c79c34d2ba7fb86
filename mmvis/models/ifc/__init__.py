"""IFC (Hwang et al., NeurIPS 2021). README.md says where things are."""
from .model import IFC

__all__ = ['IFC']
