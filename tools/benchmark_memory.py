"""What a step of training keeps for its backward pass, counted in tensors, and what a long video keeps."""
import argparse
import copy
import os
from pathlib import Path
from typing import Callable, Dict, Iterator, Tuple
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis.errors import InputError
from mmvis.evaluation.output import write_json
from mmvis.frame_sample import FrameSample
from mmvis.models import InstanceFormer, Mask2Former, MinVIS, VISModel
from mmvis.models.backbones import ViT
from mmvis.ops import deform_attn
from mmvis.structures import VideoInfo


def add_memory_arguments(memory: argparse.ArgumentParser) -> None:
    memory.add_argument('config', help='config file, or its name under configs/')
    memory.add_argument('--checkpoint', metavar='FILE', help='weights; by default random ones that see 10 objects a frame')
    memory.add_argument('--video-frames', type=int, default=2000, metavar='N',
                        help='of one video of noise, for systems that keep masks until its end (2000)')
    memory.add_argument('--clip', type=int, nargs=3, default=(5, 320, 576), metavar=('T', 'H', 'W'),
                        help='frames and size of the training clip (5 320 576)')


def benchmark_memory(args: argparse.Namespace, cfg: Config, build: Callable[[Config], VISModel]) -> None:
    """Print the figures of a config; ``build`` makes its model on the CPU."""
    num_frames, *size = args.clip
    record = dict(config=Path(args.config).stem, clip=args.clip, kept={})
    model = build(cfg)
    for name, options in {'as it is': {}, **savings(model)}.items():
        variant = copy.deepcopy(cfg)
        variant.merge_from_dict({f'model.{key}': value for key, value in options.items()})
        record['kept'][name] = kept_for_backward(build(variant), num_frames, tuple(size))
        print(f'a clip of {num_frames} frames of {size[0]}x{size[1]}, {name}: {record["kept"][name] / 2**20:.0f} MiB are '
              'kept for the backward pass', flush=True)
    video = []
    if hasattr(model.start(VideoInfo(1, (128, 224), (128, 224), 1., 1)), 'masks'):
        video = list(memory_of_a_video(model, args.video_frames, (128, 224)))
    for number, resident, masks in video:
        print(f'after {number:5} frames: {resident / 2**20:7.1f} MiB resident, masks {masks / number:7.0f} bytes a frame')
    if args.json:
        write_json(args.json, dict(record, video=video))


def savings(model: VISModel) -> Dict[str, dict]:
    """Options that make a step of training keep less, by what they are called."""
    if isinstance(model, InstanceFormer):
        return {'with_cp': dict(with_cp=True)}
    if isinstance(model, (Mask2Former, MinVIS)):
        return {'segmenter.pixel_decoder.with_cp': {'segmenter.pixel_decoder': dict(with_cp=True)}}
    if isinstance(getattr(model, 'backbone', None), ViT):
        half = len(model.backbone.blocks) // 2
        return {'with_cp': {'backbone.with_cp': True}, 'half of the blocks frozen': {'backbone.frozen_blocks': half}}
    raise InputError(f'memory: {type(model).__name__} has no option that makes a step of training keep less.')


def kept_for_backward(model: VISModel, num_frames: int, size: Tuple[int, int]) -> int:
    """Bytes of the tensors, each storage once, that a step of training with one clip keeps for the backward pass on a GPU
    (deformable attention has a gradient of its own on a CPU, which keeps less)."""
    model.train()
    box = torch.tensor([[0., 0., size[1], size[0]]])
    frames = [FrameSample(metainfo=dict(img_shape=size), gt_instances=InstanceData(
        labels=torch.zeros(2, dtype=torch.int64), instance_ids=torch.arange(2), bboxes=box.repeat(2, 1),
        masks=torch.ones(2, *size, dtype=torch.uint8))) for _ in range(num_frames)]
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: Dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in parameters:
            kept[x.untyped_storage().data_ptr()] = x
        return x
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), \
            mock.patch.object(deform_attn._Attend, 'apply', deform_attn._attend):
        sum(model.loss(torch.randn(1, num_frames, 3, *size), [frames]).values())
    return sum(x.untyped_storage().nbytes() for x in kept.values())


@torch.inference_mode()
def memory_of_a_video(model: VISModel, num_frames: int, size: Tuple[int, int]) -> Iterator[Tuple[int, int, int]]:
    """(frames so far, resident bytes, bytes that the masks take) ten times on the way through a video of noise."""
    model.eval()
    draw = torch.Generator().manual_seed(0)
    state = model.start(VideoInfo(1, size, size, 1., num_frames))
    for number in range(1, num_frames + 1):
        model.step(state, torch.randn(1, 3, *size, generator=draw))
        if number % max(1, num_frames // 10) == 0:
            yield number, resident_bytes(), state.masks.num_bytes


def resident_bytes() -> int:
    pages = Path('/proc/self/statm').read_text().split()[1]
    return int(pages) * os.sysconf('SC_PAGE_SIZE')
