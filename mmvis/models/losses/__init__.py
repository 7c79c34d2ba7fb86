"""Losses that several systems share and mmdet lacks."""
from .mask_losses import dice_loss, dice_similarity, soft_focal_loss
from .query_criterion import QueryCriterion, mean_over_processes

__all__ = ['QueryCriterion', 'dice_loss', 'dice_similarity', 'mean_over_processes', 'soft_focal_loss']
