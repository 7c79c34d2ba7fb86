"""VidEoMT beside the same network written plainly, and the speed protocol of its paper."""
import argparse
import copy
import statistics
import time
from typing import Callable, Dict, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmvis.annotations import load_annotations
from mmvis.errors import InputError
from mmvis.models import VidEoMT
from mmvis.models.layers.stages import stage

#: (height, width, frames) of the videos that are timed without an annotation file: short side 448 of 720p.
DEFAULT_VIDEOS = [(720, 1280, 36)]


class PlainVidEoMT(nn.Module):
    """VidEoMT as one would write it with timm: its blocks, called one after the other; our heads, with our weights."""

    def __init__(self, model: VidEoMT) -> None:
        super().__init__()
        try:
            import timm
        except ImportError:
            raise InputError('--peer timm: the package timm is not installed (pip install timm).') from None
        ours = model.backbone
        if ours.position_rule != 'learned' or ours.grid[0] != ours.grid[1]:
            raise InputError('--peer timm: the transformer of DINOv2 alone is compared, with a square position table.')
        self.vit = timm.models.vision_transformer.VisionTransformer(
            img_size=ours.grid[0] * ours.patch_size, patch_size=ours.patch_size, embed_dim=ours.embed_dims,
            depth=len(ours.blocks), num_heads=ours.num_heads, init_values=1e-5, reg_tokens=ours.num_prefix - 1,
            no_embed_class=True, num_classes=0, dynamic_img_size=True)
        self.vit.patch_embed.strict_img_size = False
        self.vit.load_state_dict(ours.state_dict())
        self.first, self.patch_size = model.first_query_block, ours.patch_size
        self.q, self.updater = copy.deepcopy(model.q.weight), copy.deepcopy(model.query_updater)
        self.predictor = copy.deepcopy(model.predictor)
        self.eval()

    def forward(self, frame: Tensor, queries: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Queries of the next frame and the logits of this one, float32 [1, 3, H, W]."""
        height, width = (side // self.patch_size for side in frame.shape[-2:])
        x = self.vit._pos_embed(self.vit.patch_embed(frame))
        for block in self.vit.blocks[:self.first]:
            x = block(x)
        x = torch.cat([queries, x], dim=1)
        for block in self.vit.blocks[self.first:]:
            x = block(x)
        num = queries.shape[1]
        carried = self.updater(x[:, :num]) + self.q
        x = self.vit.norm(x)
        return carried, *self.predictor(x[:, :num], x[:, num + self.vit.num_prefix_tokens:], (height, width))


class PlainFrames:
    """So many frames of a dataset through the plain network alone, from the frame that it takes to logits."""

    def __init__(self, model: VidEoMT, dataset, frames: int) -> None:
        if not isinstance(model, VidEoMT):
            raise InputError(f'--peer timm is VidEoMT written plainly; this is {type(model).__name__}.')
        self.network, self.frames = PlainVidEoMT(model), frames
        with torch.inference_mode():
            self.input = model.data_preprocessor(dict(inputs=[dataset[0]['inputs']]))['inputs']

    def __call__(self) -> None:
        with stage('network'):
            queries = self.network.q[None]
            for _ in range(self.frames):
                queries, _, _ = self.network(self.input, queries)


def print_plain(ours: Dict[str, float], plain: float) -> None:
    """Ratios of our stages (seconds a frame, by name) to the plain network."""
    advance = sum(ours[name] for name in ('network', 'association', 'masks'))
    everything = advance + ours['encode']
    print(f'  {"timm, the same network":28}{plain:8.4f}; encode and advance of ours take {advance / plain:.2f} times as '
          f'long, all but load {everything / plain:.2f} times')


def add_network_arguments(network: argparse.ArgumentParser) -> None:
    network.add_argument('config', help='config file of VidEoMT, or its name under configs/')
    network.add_argument('--annotations', metavar='FILE', help='its videos give the sizes and lengths (36 frames of 720p)')
    network.add_argument('--videos', type=int, default=10, metavar='N', help='videos that are timed (10)')
    network.add_argument('--warm-up', type=int, default=2, metavar='N', help='videos before them (2; in the paper 100)')
    network.add_argument('--precision', choices=('fp32', 'bf16', 'fp16'), default='fp32', help='autocast (fp32)')
    network.add_argument('--compile', action='store_true', help='by torch.compile, as in the paper')
    network.add_argument('--threads', type=int, default=1, metavar='N', help='number of threads (1)')
    network.add_argument('--device', default='cpu', metavar='DEVICE', help='cpu (default), cuda')


def videos_of(path: str) -> List[Tuple[int, int, int]]:
    """(height, width, frames) of the videos of an annotation file."""
    index = load_annotations(path)
    videos = (index.video(i) for i in range(len(index)))
    return [(video.height, video.width, len(video.frames)) for video in videos]


@torch.inference_mode()
def time_network(model: VidEoMT, sizes: Sequence[Tuple[int, int, int]], num_videos: int, warm_up: int,
                 device: str) -> float:
    """Mean seconds a frame by the protocol of the paper: one frame at a time, of noise; from the padded frame on the
    device to the logits on the device. No reading, resizing, normalising, copies, masks or run lengths.

    Args:
        sizes: (H, W) of the padded network input and number of frames of each video; they are taken in turn.
    """
    clock = _cuda_seconds if device != 'cpu' else _seconds
    times: List[float] = []
    for number in range(warm_up + num_videos):
        height, width, frames = sizes[number % len(sizes)]
        queries, frame = model.q.weight[None], torch.randn(1, 3, height, width, device=device)

        def one(queries: Tensor) -> Tensor:
            tokens = model.encode(frame)
            return model.frame_outputs(queries, tokens.x, tokens.rotation, tokens.size)[0]
        for _ in range(frames):
            seconds, queries = clock(one, queries)
            if number >= warm_up:
                times.append(seconds)
    return statistics.fmean(times)


def _seconds(function: Callable, queries: Tensor) -> Tuple[float, Tensor]:
    begin = time.perf_counter()
    out = function(queries)
    return time.perf_counter() - begin, out


def _cuda_seconds(function: Callable, queries: Tensor) -> Tuple[float, Tensor]:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    out = function(queries)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000, out
