#!/usr/bin/env python3
"""Is this checkout as fast as another one?

    git worktree add ../before COMMIT
    python tools/benchmark_pairs.py ../before CONFIG [--pairs 30] [--what inference training] [--size 180 320]

Each checkout runs in a process of its own, which starts anew after six turns, with one thread, the same random weights
that see ten objects and the same frames. They take turns; what is compared is the CPU time (user and system) of a turn,
which other work on the machine disturbs little. Printed is the mean of the ratios of the pairs, this checkout to the
other one, with a 95% interval (Student's t of their logarithms).
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 3
PAIRS_OF_A_PROCESS = 6          # where a process lies in memory makes a percent or two


def parse_args() -> argparse.Namespace:
    from mmvis.cli import number_in
    from mmvis.engine import ToolParser
    parser = ToolParser(description='CPU time of this checkout and of another one, in pairs.')
    parser.add_argument('other', type=Path, metavar='FOLDER', help='the other checkout')
    parser.add_argument('config', help='name of a config that both have under configs/')
    parser.add_argument('--what', nargs='+', choices=('inference', 'training'), default=['inference', 'training'],
                        help='frames of a video, steps of a training (both)')
    parser.add_argument('--pairs', type=number_in(2), default=30, metavar='N', help='of turns (30)')
    parser.add_argument('--size', type=number_in(32), nargs=2, default=(180, 320), metavar=('H', 'W'),
                        help='of the frames (180 320)')
    parser.add_argument('--frames', type=number_in(1), default=2, metavar='N', help='of a turn of inference (2)')
    parser.add_argument('--clip', type=number_in(1), default=2, metavar='T', help='frames of the training clip (2)')
    return parser.parse_args()


def main() -> None:
    from mmvis.errors import InputError
    args = parse_args()
    if not (args.other / 'mmvis' / '__init__.py').is_file():
        raise InputError(f'{args.other} is no checkout of mmvis: it has no mmvis/__init__.py.')
    for what in args.what:
        options = [what, args.config, *map(str, (*args.size, args.frames, args.clip))]
        seconds = []
        while len(seconds) < args.pairs:
            workers = [Worker(checkout, options) for checkout in (ROOT, args.other.resolve())]
            try:
                seconds += take_turns(workers, min(PAIRS_OF_A_PROCESS, args.pairs - len(seconds)))
            finally:
                for worker in workers:
                    worker.close()
        mean, low, high = interval([ours / theirs for ours, theirs in seconds])
        ours, theirs = (statistics.median(x) for x in zip(*seconds))
        print(f'{Path(args.config).stem}, {what}, {args.size[0]}x{args.size[1]}: {ours:.3f} and {theirs:.3f} CPU seconds a turn '
              f'(medians), ratio {mean:.3f}, 95% interval {low:.3f} to {high:.3f}, {args.pairs} pairs', flush=True)


def take_turns(workers: Sequence[Callable[[], float]], pairs: int) -> List[Tuple[float, float]]:
    """CPU seconds of both workers in every pair after the warm-up; who goes first changes from pair to pair."""
    seconds = []
    for pair in range(WARM_UP + pairs):
        first = pair % 2
        own = {i: workers[i]() for i in (first, 1 - first)}
        if pair >= WARM_UP:
            seconds.append((own[0], own[1]))
    return seconds


def interval(ratios: Sequence[float]) -> Tuple[float, float, float]:
    """Geometric mean and the ends of its 95% interval."""
    from scipy.stats import t
    logs = [math.log(ratio) for ratio in ratios]
    mean, half = statistics.fmean(logs), t.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


class Worker:
    """A process that has one checkout; a call runs a turn there and gives its CPU seconds."""

    def __init__(self, checkout: Path, options: Sequence[str]) -> None:
        one = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS'), '1')
        env = {**os.environ, **one, 'PYTHONPATH': f'{checkout}{os.pathsep}{checkout / "tools"}', 'PYTHONSAFEPATH': '1'}
        self.checkout = checkout
        self.process = subprocess.Popen([sys.executable, __file__, '--worker', *options], cwd=checkout, env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self) -> float:
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):
                return json.loads(line)['seconds']
        raise RuntimeError(f'The process of {self.checkout} has ended with {self.process.wait()}.')

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def work(what: str, config: str, *numbers: str) -> None:
    """The other side of a Worker: turns as long as lines come. It uses what both checkouts have."""
    height, width, frames, clip = map(int, numbers)
    import mmvis
    assert Path(mmvis.__file__).resolve().parents[1] == Path.cwd(), mmvis.__file__
    import torch
    from benchmark_weights import see_ten_objects
    from mmengine.registry import init_default_scope

    from mmvis.engine import load_config
    from mmvis.registry import MODELS
    torch.set_num_threads(1)
    torch.manual_seed(0)
    init_default_scope('mmvis')
    model = MODELS.build(load_config(config).model)
    turn = (training if what == 'training' else inference)(model, (height, width), frames, clip, see_ten_objects)
    for _ in sys.stdin:
        begin = time.process_time()
        turn()
        print(json.dumps({'seconds': time.process_time() - begin}), flush=True)


def inference(model, size: Tuple[int, int], frames: int, clip: int, see_ten_objects: Callable) -> Callable[[], None]:
    """Frames of one still video that goes on and on."""
    import torch

    from mmvis.engine.loops import VideoRun
    from mmvis.models.layers.inference import optimize_for_inference
    from mmvis.structures import VideoInfo
    see_ten_objects(model)
    optimize_for_inference(model.eval())
    run = VideoRun(model, VideoInfo(1, (2 * size[0], 2 * size[1]), size, 0.5, None))
    image = torch.nn.functional.interpolate(255 * torch.rand(1, 3, 9, 16), size, mode='bicubic').clamp(0, 255).byte()

    def turn() -> None:
        with torch.inference_mode():
            for _ in range(frames):
                run.step(image)
    return turn


def training(model, size: Tuple[int, int], frames: int, clip: int, see_ten_objects: Callable) -> Callable[[], None]:
    """Steps on one clip of two objects."""
    import copy

    import torch
    from mmengine.optim import OptimWrapper
    from mmengine.structures import InstanceData

    from mmvis.datasets.clip import FrameSample
    model.train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-5))
    images = (255 * torch.rand(clip, 3, *size)).byte()
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.6], [0.5, 0.3, 0.9, 0.8]]) * torch.tensor([size[1], size[0]] * 2)
    masks = torch.zeros(2, *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2 + 1, x1:x2 + 1] = 1
    samples = []
    for index in range(clip):
        sample = FrameSample(metainfo=dict(video_id=1, frame_idx=index, num_frames=clip, ori_shape=size, img_shape=size,
                                           scale_factor=1., flip=False))
        sample.gt_instances = InstanceData(bboxes=boxes.clone(), labels=torch.tensor([1, 2]), masks=masks.clone(),
                                           instance_ids=torch.tensor([5, 6]))
        sample.ignored_instances = sample.gt_instances[:0].clone()
        samples.append(sample)

    def turn() -> None:
        torch.manual_seed(0)                    # the same draws of anchors and points
        model.train_step(dict(inputs=[images.clone()], data_samples=[copy.deepcopy(samples)]), optimizer)
    return turn


if __name__ == '__main__':
    if sys.argv[1:2] == ['--worker']:
        work(*sys.argv[2:])
    else:
        sys.path.insert(0, str(ROOT))
        from mmvis.engine import run_tool
        run_tool(main)
