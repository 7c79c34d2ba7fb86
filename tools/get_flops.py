#!/usr/bin/env python3
"""What a frame costs: floating point operations by part, parameters, memory.

    python tools/get_flops.py masktrack_rcnn_r50_fpn_1x_youtubevos.py
    python tools/get_flops.py CONFIG --frame-size 1920 1080 --frames 8 --json flops.json

Runs the first frames of a video of noise through the test pipeline and the model, from ``start`` to ``finish``, on a
CPU, and counts with PyTorch's own counter: convolutions, matrix products, attention. A multiplication with its addition
counts as two operations; papers that give MACs count one. What goes element by element (activations, norms, resizing,
the sampling of deformable attention) is not counted. Without ``--checkpoint`` the weights are random ones that find ten
objects. The memory is that of tensors, the most that were alive at once, without the weights.
"""
import argparse
import sys
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

import mmvis  # noqa: E402,F401  (first: it supplies the operators that mmcv asks for)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from benchmark_weights import see_ten_objects  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_flop_count  # noqa: E402

from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.converters import load_checkpoint  # noqa: E402
from mmvis.datasets.clip import Clip, ClipFrame, pack_chunk  # noqa: E402
from mmvis.datasets.transforms import ClipCompose  # noqa: E402
from mmvis.engine import CfgOptions, find_config, load_config  # noqa: E402
from mmvis.engine.class_numbers import fill_class_number  # noqa: E402
from mmvis.engine.loops import VideoRun  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.evaluation.output import write_json  # noqa: E402
from mmvis.models import VISModel  # noqa: E402
from mmvis.registry import MODELS  # noqa: E402
from mmvis.shipped import find_checkpoint  # noqa: E402
from mmvis.structures.output_file import check_output  # noqa: E402

_REST = 'association, and outside of parts'


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = ToolParser(description='Operations, parameters and memory of a frame, part by part.')
    parser.add_argument('config', help='config file, or its name under configs/')
    parser.add_argument('--checkpoint', metavar='FILE', help='weights; by default random ones that find ten objects')
    parser.add_argument('--frame-size', type=number_in(1), nargs=2, default=(1280, 720), metavar=('WIDTH', 'HEIGHT'),
                        help='of the video, before the test pipeline (1280 720)')
    parser.add_argument('--frames', type=number_in(1), default=2, metavar='N', help='length of the video (2)')
    parser.add_argument('--json', metavar='FILE', help='write the numbers to this file, too')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='change keys of the config')
    return parser.parse_args(argv)


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that operators make and that are still alive.

    Attributes:
        peak: the most at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: Dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Tuple = (), kwargs: Optional[Dict] = None) -> Any:
        inputs = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, torch.Tensor)}
        made = func(*args, **kwargs or {})
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if id(storage) not in self._known and id(storage) not in inputs:
                    self._take(storage)
        return made

    def _take(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone(_: weakref.ref) -> None:
            self.now -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, gone)


def parts_of(model: nn.Module) -> Dict[str, nn.Module]:
    """Name -> part; of one that holds all others (a segmenter) its own parts."""
    parts = {name: part for name, part in model.named_children() if next(part.parameters(), None) is not None}
    if len(parts) == 1:
        [(name, only)] = parts.items()
        return {f'{name}.{inner}': part for inner, part in parts_of(only).items()} or parts
    return parts


class PartCounter:
    """Operations by part of a model, wherever in the part a module is called.

    Attributes:
        flops: part -> operations so far, those of the parts that it calls included.
    """

    def __init__(self, model: VISModel, counter: FlopCounterMode) -> None:
        self.flops = dict.fromkeys(parts_of(model), 0)
        self._counter, self._open, self._before = counter, [], 0
        for name, part in parts_of(model).items():
            for module in part.modules():
                module.register_forward_pre_hook(lambda *_, name=name: self._enter(name))
                module.register_forward_hook(lambda *_: self._leave(), always_call=True)

    def _enter(self, name: str) -> None:
        if not self._open:
            self._before = self._counter.get_total_flops()
        self._open.append(name)

    def _leave(self) -> None:
        name = self._open.pop()
        if not self._open:
            self.flops[name] += self._counter.get_total_flops() - self._before


def counter() -> FlopCounterMode:
    """PyTorch's, which does not know the attention of the CPU and torchvision's deformable convolution."""
    def attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def deformable(x: Any, weight: Any, *args: Any, out_shape: Any, **kwargs: Any) -> int:
        return conv_flop_count(x, weight, out_shape)

    return FlopCounterMode(display=False, custom_mapping={
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention, torch.ops.torchvision.deform_conv2d: deformable})


def count(model: VISModel, chunk: Dict[str, Any]) -> Dict[str, Any]:
    """What the frames of one video cost.

    Args:
        model: on the CPU, in eval mode; it is of no use afterwards (hooks count in it).
        chunk: all its frames, as of ``pack_chunk``.

    Returns:
        ``gflops`` and ``parts``: part -> (parameters, operations in 10^9), both a frame; ``parameters``; ``memory`` in bytes.
    """
    def run() -> None:
        video = VideoRun(model, chunk['video'])
        video.step(chunk['inputs'])
        for _ in video.finish().frames:
            pass

    model.requires_grad_(False)  # the counter asks what is to be derived
    flops, memory = counter(), LiveMemory()
    by_part = PartCounter(model, flops)
    with ExitStack() as stack:
        # the fused layers of PyTorch would hide what is in them
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(memory)
        stack.enter_context(flops)
        run()
    frames = len(chunk['inputs'])
    total = flops.get_total_flops() / frames / 1e9
    parts = {name: (sum(p.numel() for p in part.parameters()), by_part.flops[name] / frames / 1e9)
             for name, part in parts_of(model).items()}
    parameters = sum(p.numel() for p in model.parameters())
    parts[_REST] = (parameters - sum(number for number, _ in parts.values()),
                       max(0., total - sum(number for _, number in parts.values())))
    return dict(gflops=total, parameters=parameters, memory=memory.peak, parts=parts)


def noise_video(cfg: Any, size: Sequence[int], frames: int) -> Dict[str, Any]:
    """A chunk of frames of noise, WIDTH x HEIGHT, through the test pipeline of a config."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    if dataset is None:
        raise InputError(f'{cfg.filename} has no test_dataloader, whose pipeline says how large a frame gets.')
    rng = np.random.default_rng(0)
    width, height = size
    images = [ClipFrame(number, rng.integers(0, 255, (height, width, 3), np.uint8)) for number in range(frames)]
    clip = Clip(1, frames, (height, width), images, dataset.get('box_mode') == 'inclusive')
    return pack_chunk(ClipCompose(dataset.get('pipeline') or ())(clip, rng))


def as_table(config: str, chunk: Dict[str, Any], frame_size: Sequence[int], found: Dict[str, Any]) -> str:
    (height, width), weights = chunk['video'].img_shape, 4 * found['parameters'] / 2**20
    lines = [f'{config}: {len(chunk["inputs"])} frames of {frame_size[0]} x {frame_size[1]} at {width} x {height}, float32',
             f'{"part":40}{"parameters":>14}{"GFLOPs a frame":>16}{"share":>8}']
    rows = [*found['parts'].items(), ('all', (found['parameters'], found['gflops']))]
    for name, (parameters, gflops) in rows:
        lines.append(f'{name:40}{parameters / 1e6:12.2f} M{gflops:16.3f}{gflops / max(found["gflops"], 1e-12):8.1%}')
    return '\n'.join([*lines, f'weights {weights:.0f} MiB, other tensors at most {found["memory"] / 2**20:.0f} MiB at once'])


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    if args.json:
        check_output(args.json, [str(find_config(args.config)), args.checkpoint])
    cfg = load_config(args.config, args.cfg_options)
    if cfg.get('model') is None:
        raise InputError(f'{cfg.filename} has no model.')
    init_default_scope(cfg.get('default_scope', 'mmvis'))
    checkpoint = args.checkpoint and find_checkpoint(args.checkpoint)
    fill_class_number(cfg, checkpoint)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    if checkpoint:
        load_checkpoint(model, checkpoint)
    else:
        see_ten_objects(model)
    chunk = noise_video(cfg, args.frame_size, args.frames)
    found = count(model, chunk)
    name = Path(args.config).stem
    print(as_table(name, chunk, args.frame_size, found))
    if args.json:
        parts = {part: dict(parameters=number, gflops=flops) for part, (number, flops) in found['parts'].items()}
        write_json(args.json, dict(found, config=name, frames=args.frames, frame_size=list(args.frame_size),
                                   img_shape=list(chunk['video'].img_shape), parts=parts))


if __name__ == '__main__':
    run_tool(main)
