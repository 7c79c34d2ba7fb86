"""How often a frame with ten objects waits for a GPU, and how much it sends back, at published sizes; no GPU is needed.

    python tests/virtual_cuda/waits.py [--systems ifc sipmask] [--size 360 640]

The models are those of the published configs with random weights that see ten objects, in a still video whose frames are
given one at a time and four at a time; originals have twice the size. A model takes its time on a CPU.
"""
import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests'), str(ROOT / 'tools')]

from benchmark_weights import see_ten_objects  # noqa: E402
from gpu.systems import CONFIGS, build, frames, video  # noqa: E402

from mmvis.engine.loops import Mode, VideoRun  # noqa: E402
from virtual_cuda import VirtualCuda  # noqa: E402


class FrameCounts(NamedTuple):
    """Of a frame in the middle of a video: waits for the device, copies to it that wait, copies that do not, bytes to the
    host; and how many objects there were in the last frame."""
    waits: float
    uploads: float
    sent: float
    num_bytes: float
    objects: int


def count_frames(device: VirtualCuda, model: torch.nn.Module, height: int, width: int, chunk: int) -> FrameCounts:
    """Eight frames of a still video, of which the last four are counted."""
    run = VideoRun(model, video(8, height, width), mode=Mode(gradients=torch.inference_mode))
    images = frames(1, height, width).expand(8, -1, -1, -1)
    seen = [*run.step(images[:4]).frames]
    device.events.clear()
    for part in images[4:].split(chunk):
        seen += run.step(part).frames
    counts = [device.total(kind) / 4 for kind in ('sync', 'upload', 'sent', 'bytes')]
    seen += run.finish().frames
    assert [frame.frame_idx for frame in seen] == list(range(8))
    return FrameCounts(*counts, len(seen[-1]))


def main(systems, size) -> None:
    print('| system | waits + blocking uploads a frame, one at a time | in chunks of four | KB to the host an object and frame | '
          'objects |\n|---|---|---|---|---|', flush=True)
    for system in systems:
        with VirtualCuda() as device:
            model = build(system)
            with torch.no_grad():
                see_ten_objects(model)
            one, four = (count_frames(device, model.to('cuda'), *size, chunk) for chunk in (1, 4))
        print(f'| {system} | {one.waits:g} + {one.uploads:g} | {four.waits:g} + {four.uploads:g} | '
              f'{max(x.num_bytes / max(x.objects, 1) for x in (one, four)) / 1024:.1f} | {one.objects} |', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Waits and bytes of a frame with ten objects, without a GPU.')
    parser.add_argument('--systems', nargs='+', choices=sorted(CONFIGS), default=sorted(CONFIGS), metavar='SYSTEM',
                        help=f'some of {", ".join(sorted(CONFIGS))}')
    parser.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('H', 'W'), help='of the frames (360 640)')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    main(arguments.systems, arguments.size)
