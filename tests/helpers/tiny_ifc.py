"""An IFC of some ten thousand parameters, and clips for it."""
from typing import Any, List, Sequence, Tuple

import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

NUM_CLASSES = 5


def tiny_config(**changes: Any) -> dict:
    config = dict(
        type='IFC', data_preprocessor=dict(type='ClipPreprocessor', pad_size_divisor=1),
        backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                      out_indices=(1, 2, 3), norm_eval=True),
        in_channels=[16, 32, 64], num_classes=NUM_CLASSES, num_frames=3, num_queries=8, num_memory=2, embed_dims=16,
        num_heads=2, ffn_dims=32, num_groups=4)
    return {**config, **changes}


@torch.no_grad()
def tiny_model(seed: int = 0, **changes: Any) -> torch.nn.Module:
    """Random weights that tell queries and frames apart: about half of the queries are objects, in masks of any size."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(**changes))
    model.query_embed.weight *= 4
    model.class_embed.layers[-1].weight *= 8
    model.class_embed.layers[-1].bias[-1] += 2
    model.mask_head.kernels.layers[-1].weight *= 8
    return model.eval()


def tiny_frames(num: int, size: Tuple[int, int] = (48, 64), seed: int = 0) -> torch.Tensor:
    """uint8 [num, 3, height, width]: a coarse pattern that changes slowly."""
    draw = torch.Generator().manual_seed(seed)
    ends = torch.rand(2, 3, 4, 5, generator=draw)
    steps = torch.linspace(0, 1, max(num, 2))[:num, None, None, None]
    return (torch.nn.functional.interpolate(ends[0] * (1 - steps) + ends[1] * steps, size) * 255).to(torch.uint8)


def run_video(model: torch.nn.Module, frames: torch.Tensor, chunk: int = 1, ori_shape: Tuple[int, int] = (90, 130)
              ) -> Tuple[List[FrameInstances], List[TrackScore], Any]:
    """Frames, verdicts and the final state of uint8 frames given ``chunk`` at a time."""
    state = model.start(VideoInfo(1, ori_shape, tuple(frames.shape[-2:]), 0.5, None))
    results: List[FrameInstances] = []
    with torch.no_grad():
        for part in frames.split(chunk):
            results += model.step(state, model.data_preprocessor({'inputs': [part]}, False)['inputs'])
        rest, verdicts = model.finish(state)
    return [*results, *rest], verdicts, state


def sample(ids: Sequence[int], size: Tuple[int, int], shift: int = 0) -> FrameSample:
    """One frame with a square for every id, its label id % NUM_CLASSES."""
    masks = torch.zeros(len(ids), *size, dtype=torch.uint8)
    for mask, number in zip(masks, ids):
        top, left = 4 * number + shift, 8 * number + shift
        mask[top:top + 16, left:left + 16] = 1
    instances = InstanceData(labels=torch.tensor([i % NUM_CLASSES for i in ids], dtype=torch.int64), masks=masks,
                             instance_ids=torch.tensor(ids, dtype=torch.int64))
    return FrameSample(metainfo=dict(img_shape=size), gt_instances=instances)


def batch(*clips: Tuple[Sequence[Sequence[int]], Tuple[int, int]]) -> dict:
    """Raw batch of clips, each given by the ids in its frames and its size."""
    return dict(inputs=[tiny_frames(len(ids), size, seed) for seed, (ids, size) in enumerate(clips)],
                data_samples=[[sample(present, size, t) for t, present in enumerate(ids)] for ids, size in clips])
