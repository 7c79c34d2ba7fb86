"""Backbones that mmdet lacks."""
from .vit import MAEViT, ViT

__all__ = ['MAEViT', 'ViT']
