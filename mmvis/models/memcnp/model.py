"""MemCNP-VIS: a memory-based conditional neural process (Yuan et al., Neurocomputing 655, 2025, 131439).

Numbers follow the official code (github.com/SCoulY/MemCNP-VIS); so do the keys of the state dict.
"""
from typing import Any

from mmvis.registry import MODELS

from ..sipmask import SipMaskVIS


@MODELS.register_module()
class MemCNP(SipMaskVIS):
    """SipMask's way through a video with another head and another association: see SipMaskVIS, which holds the code.

    Args:
        bbox_head: MemCNPHead or the config of one; the other parts as those of SipMaskVIS.
    """

    def __init__(self, backbone: Any, neck: Any, bbox_head: Any, tracker: Any = dict(type='CosineTracker'),
                 **kwargs: Any) -> None:
        super().__init__(backbone, neck, bbox_head, tracker, **kwargs)
