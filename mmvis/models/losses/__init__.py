"""Losses that several systems share and mmdet lacks."""
from .mask_losses import dice_loss, dice_similarity, soft_focal_loss

__all__ = ['dice_loss', 'dice_similarity', 'soft_focal_loss']
