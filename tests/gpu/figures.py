"""One table of what every system takes: seconds a frame at 640x360 in each precision, seconds a training step, memory.

    python tests/gpu/figures.py [--device cuda] [--systems ifc sipmask] [--precisions fp32 bf16 fp16]

Each figure comes from a run of ``tools/benchmark.py`` of its own; a run that fails leaves a dash and its last sentence.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Optional

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from gpu.systems import CONFIGS  # noqa: E402

#: Options that bring a system to frames of 640x360, and to the form in which it is timed.
OPTIONS: Dict[str, List[str]] = {
    'ifc': ['--whole-videos', '36', '--cfg-options', 'model.num_frames=36'],
    'mask2former': ['--cfg-options', 'test_dataloader.dataset.pipeline.0.scale=(640,360)'],
    'memcnp': ['--cfg-options', 'test_dataloader.dataset.pipeline.0.scale=(640,360)']}


def measure(*args: str) -> Optional[dict]:
    """What ``tools/benchmark.py`` with these arguments writes; ``None`` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'figures.json'
        done = subprocess.run([sys.executable, str(ROOT / 'tools' / 'benchmark.py'), *args, '--json', str(file)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            return json.loads(file.read_text())
    print(f"{' '.join(args)}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}", file=sys.stderr)
    return None


def inference_cell(record: Optional[dict]) -> str:
    if record is None:
        return '-'
    return f"{1 / record['runs'][0]['seconds']:.1f} / {record['memory_mib']:.0f}"


def training_cell(record: Optional[dict]) -> str:
    if record is None:
        return '-'
    height, width = record['size']
    return (f"{record['seconds']:.3f} / {record['memory_mib']:.0f} ({record['clips']} x {record['frames']} frames, "
            f'{width}x{height})')


def main(args: argparse.Namespace) -> int:
    titles = ([f'{precision}: frames a second / MiB' for precision in args.precisions]
              + ['training step: seconds / MiB', 'the same with --amp'])
    print('\n| system | ' + ' | '.join(titles) + ' |', flush=True)
    print('|---' * (len(titles) + 1) + '|', flush=True)
    failed = False
    for system in args.systems:
        common = ['--device', args.device]
        cells = [inference_cell(measure('inference', CONFIGS[system], *common, '--threads', '1', '--frames', args.frames,
                                        '--precision', precision, *OPTIONS.get(system, [])))
                 for precision in args.precisions]
        cells += [training_cell(measure('training', CONFIGS[system], *common, '--steps', args.steps, *amp))
                  for amp in ([], ['--amp'])]
        failed |= '-' in cells
        print(f'| {system} | ' + ' | '.join(cells) + ' |', flush=True)
    return int(failed)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Speed and memory of every system, one table.')
    parser.add_argument('--device', default='cuda', metavar='DEVICE', help='cuda (default), cpu')
    parser.add_argument('--systems', nargs='+', choices=sorted(CONFIGS), default=sorted(CONFIGS), metavar='SYSTEM',
                        help=f"some of {', '.join(sorted(CONFIGS))}")
    parser.add_argument('--precisions', nargs='+', choices=('fp32', 'bf16', 'fp16'), default=['fp32', 'bf16', 'fp16'],
                        help='of inference (all three)')
    parser.add_argument('--frames', default='10', metavar='N', help='measured frames, of IFC videos (10)')
    parser.add_argument('--steps', default='10', metavar='N', help='measured training steps (10)')
    sys.exit(main(parser.parse_args()))
