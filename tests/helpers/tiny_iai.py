"""A CondInst+IAI of some ten thousand parameters, and clips for it."""
from typing import Any

import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS

NUM_CLASSES, MAX_OBJ_NUM = 5, 8


def tiny_config(max_obj_num: int = MAX_OBJ_NUM, **changes: Any) -> dict:
    norm = dict(type='GN', num_groups=4)
    config = dict(
        type='CondInstIAI',
        backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                      out_indices=(0, 1, 2, 3), norm_eval=True),
        neck=dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=16, start_level=1, num_outs=5,
                  add_extra_convs='on_output', relu_before_extra_convs=True),
        bbox_head=dict(type='IAIHead', num_classes=NUM_CLASSES, max_obj_num=max_obj_num, in_channels=16,
                       feat_channels=16, stacked_convs=1, mask_branch_channels=16, mask_branch_convs=1, norm_cfg=norm),
        lstt=dict(type='LSTT', max_obj_num=max_obj_num, channels=16, feedforward=32, ffn_groups=4),
        in_channels=64, fused_channels=64)
    return {**config, **changes}


def tiny_model(seed: int = 0, **changes: Any) -> torch.nn.Module:
    """Random weights, large enough in the last layers that there are detections, identities and masks to speak of."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(**changes))
    head = model.bbox_head
    for tower in (head.cls_convs, head.reg_convs, head.id_convs):
        for layer in tower:
            torch.nn.init.kaiming_normal_(layer.conv.weight)
    for layer, scale in ((head.conv_cls, 2), (head.conv_id, 2), (head.conv_centerness, 2), (head.controller, .2)):
        torch.nn.init.normal_(layer.weight, std=scale / layer.weight[0].numel() ** .5)
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.constant_(head.conv_reg.bias, 1.5)
    with torch.no_grad():                       # masks are diamonds: logit = 1 - 8 (|dx| + |dy|) in units of 8 strides
        kernel = head.controller.bias
        for row, (axis, sign) in enumerate(((0, 1), (0, -1), (1, 1), (1, -1))):
            kernel[:80].reshape(8, 10)[row, axis] = 8. * sign
            kernel[80:144].reshape(8, 8)[row, row] = 1.
            kernel[144 + row] = -1.
        kernel[168] = 1.
    return model.eval()


def tiny_sample(ids, frame: int = 0, size=(64, 96)) -> FrameSample:
    """Objects of the given ids: squares that move to the right, one below the other."""
    boxes = torch.tensor([[8. + 4 * frame + 12 * i, 6. + 14 * i, 34. + 4 * frame + 12 * i, 24. + 14 * i] for i in ids])
    boxes = boxes.reshape(-1, 4).clamp(max=min(size))
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2, x1:x2] = 1
    instances = InstanceData(bboxes=boxes, labels=torch.tensor([i % NUM_CLASSES for i in ids], dtype=torch.long),
                             masks=masks, instance_ids=torch.tensor(ids, dtype=torch.long))
    return FrameSample(metainfo=dict(img_shape=size, pad_shape=size), gt_instances=instances)
