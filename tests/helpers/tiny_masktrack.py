"""A MaskTrackRCNN of a few thousand parameters, and training pairs for it."""
from typing import Any, List

import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS

NUM_CLASSES = 5


def tiny_config(**changes: Any) -> dict:
    config = dict(
        type='MaskTrackRCNN',
        backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                      out_indices=(0, 1, 2, 3), norm_eval=True),
        neck=dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
        rpn_head=dict(type='MaskTrackRPNHead', in_channels=16, feat_channels=16, anchor_scales=[4]),
        bbox_head=dict(type='MaskTrackBBoxHead', num_classes=NUM_CLASSES, in_channels=16, fc_channels=32),
        mask_head=dict(type='MaskTrackMaskHead', num_classes=NUM_CLASSES, in_channels=16, conv_channels=16,
                       num_convs=2),
        track_head=dict(type='MaskTrackEmbeddingHead', in_channels=16, fc_channels=32))
    return {**config, **changes}


def tiny_model(seed: int = 0, **changes: Any) -> torch.nn.Module:
    """Random weights, large enough in the last layers that there are detections to speak of."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(**changes))
    for layer, scale in ((model.rpn_head.rpn_cls, 1.), (model.rpn_head.rpn_reg, .3), (model.bbox_head.fc_cls, 1.),
                         (model.bbox_head.fc_reg, .3)):
        torch.nn.init.normal_(layer.weight, std=scale / layer.weight[0].numel() ** .5)
    return model.eval()


def tiny_sample(num: int, seed: int = 0, size=(64, 96), crowd: int = 0) -> FrameSample:
    """``num`` objects (and ``crowd`` regions) at random places; instance ids 0, 1, ..."""
    draw = torch.Generator().manual_seed(seed)

    def instances(count: int) -> InstanceData:
        corner = torch.rand(count, 2, generator=draw) * torch.tensor([size[1] * .6, size[0] * .6])
        boxes = torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=draw) * 15], dim=1)
        masks = torch.zeros(count, *size, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            mask[y1:y2 + 1, x1:x2 + 1] = 1
        return InstanceData(bboxes=boxes, labels=torch.randint(NUM_CLASSES, (count,), generator=draw), masks=masks,
                            instance_ids=torch.arange(count))

    return FrameSample(metainfo=dict(img_shape=size), gt_instances=instances(num), ignored_instances=instances(crowd))


def tiny_batch(counts=((3, 2), (2, 3)), size=(64, 96)) -> dict:
    """Raw batch of pairs with so many objects in the key and in the reference frame."""
    draw = torch.Generator().manual_seed(9)
    samples: List[List[FrameSample]] = [[tiny_sample(key, 10 + i, size), tiny_sample(reference, 20 + i, size)]
                                        for i, (key, reference) in enumerate(counts)]
    inputs = [torch.randint(256, (2, 3, *size), generator=draw, dtype=torch.uint8) for _ in counts]
    return dict(inputs=inputs, data_samples=samples)
