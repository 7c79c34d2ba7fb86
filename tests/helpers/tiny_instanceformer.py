"""An InstanceFormer of a few thousand parameters, and training clips for it."""
from typing import Any, List, Sequence

import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo

NUM_CLASSES = 5
MEMORY = dict(num_tokens=4, num_frames=3)
SIZE = (64, 96)


def tiny_config(**changes: Any) -> dict:
    config = dict(
        type='InstanceFormer', num_classes=NUM_CLASSES, num_queries=12, embed_dims=32, num_heads=4, num_levels=3,
        num_points=2, feedforward_dims=32, encoder_layers=2, decoder_layers=2, num_candidates=6,
        backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                      out_indices=(1, 2, 3), norm_eval=True),
        neck=dict(type='mmdet.ChannelMapper', in_channels=[16, 32, 64], kernel_size=1, out_channels=32,
                  norm_cfg=dict(type='GN', num_groups=8), act_cfg=None, bias=True, num_outs=3))
    return {**config, **changes}


def tiny_model(seed: int = 0, **changes: Any) -> torch.nn.Module:
    """Random weights, large enough in the last layers that boxes and masks differ."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(**changes))
    for branch in model.decoder.box_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.2)
    return model.eval()


def tiny_video(num_frames: int = 5, ori_shape: Sequence[int] = SIZE) -> VideoInfo:
    return VideoInfo(3, tuple(ori_shape), SIZE, 1., num_frames)


def tiny_frames(num: int, seed: int = 1) -> torch.Tensor:
    """float32 [num, 3, 64, 96]."""
    return torch.randn(num, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def tiny_sample(objects: Sequence[int], seed: int, size: Sequence[int] = SIZE) -> FrameSample:
    """A frame that shows the objects of the given ids somewhere; the label of object i is i mod 5."""
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(len(objects), 2, generator=draw) * torch.tensor([size[1] * .6, size[0] * .6])
    boxes = torch.cat([corner, corner + 10 + torch.rand(len(objects), 2, generator=draw) * 15], dim=1)
    masks = torch.zeros(len(objects), *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2, x1:x2] = 1
    ids = torch.tensor(objects, dtype=torch.int64)
    instances = InstanceData(bboxes=boxes, labels=ids % NUM_CLASSES, masks=masks, instance_ids=ids)
    return FrameSample(metainfo=dict(img_shape=tuple(size)), gt_instances=instances)


def tiny_batch(*clips: Sequence[Sequence[int]], sizes: Sequence[Sequence[int]] = ()) -> dict:
    """Raw batch of clips; each is given by the ids of the objects in each of its frames.

        tiny_batch([[7, 9], [7]])     one clip of two frames, object 9 is absent from the second one
    """
    draw = torch.Generator().manual_seed(9)
    sizes = list(sizes) or [SIZE] * len(clips)
    samples: List[List[FrameSample]] = [[tiny_sample(objects, 100 * number + t, size) for t, objects in enumerate(clip)]
                                        for number, (clip, size) in enumerate(zip(clips, sizes))]
    inputs = [torch.randint(256, (len(clip), 3, *size), generator=draw, dtype=torch.uint8)
              for clip, size in zip(clips, sizes)]
    return dict(inputs=inputs, data_samples=samples)
