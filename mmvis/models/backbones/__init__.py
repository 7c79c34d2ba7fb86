"""Backbones that mmdet lacks."""
from .vit import MAEViT

__all__ = ['MAEViT']
