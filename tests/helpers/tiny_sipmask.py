"""A SipMask-VIS of a few thousand parameters; ``tiny_masktrack.tiny_batch`` has training pairs for it."""
from typing import Any

import torch

from mmvis.registry import MODELS

from .tiny_masktrack import NUM_CLASSES


def tiny_config(head: Any = None, **changes: Any) -> dict:
    """``head``: changes of the head; the others are of the model."""
    config = dict(
        type='SipMaskVIS',
        backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                      out_indices=(0, 1, 2, 3), norm_eval=True),
        neck=dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=16, start_level=1, num_outs=5,
                  add_extra_convs='on_output', relu_before_extra_convs=True),
        bbox_head=dict(dict(type='SipMaskHead', num_classes=NUM_CLASSES, in_channels=16, feat_channels=16, num_groups=4,
                            num_basis=8, mask_channels=16, track_channels=16), **head or {}))
    return {**config, **changes}


def tiny_model(seed: int = 0, head: Any = None, **changes: Any) -> torch.nn.Module:
    """Random weights, large enough in the last layers that there are detections to speak of."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(head, **changes))
    parts = model.bbox_head
    for layer, scale in ((parts.fcos_cls, 1.), (parts.fcos_reg, .3), (parts.sip_cof, 1.), (parts.sip_mask_lat, 1.),
                         (parts.sip_mask_lat0, 1.)):
        torch.nn.init.normal_(layer.weight, std=scale / layer.weight[0].numel() ** .5)
    torch.nn.init.constant_(parts.fcos_cls.bias, -1.)
    torch.nn.init.constant_(parts.fcos_reg.bias, 1.5)
    return model.eval()
