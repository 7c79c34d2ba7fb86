"""Draws the sample set.

    python tools/make_sample.py [--out data/sample] [--seed 0]
"""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, run_tool, seed_number  # noqa: E402
from mmvis.datasets.sample_set import make_sample  # noqa: E402


def main() -> None:
    parser = ToolParser(description='Draw the sample set: short videos of shapes of 8 kinds, with masks.')
    parser.add_argument('--out', default='data/sample', help='folder to write (default: %(default)s)')
    parser.add_argument('--seed', type=seed_number, default=0,
                        help='another seed gives another set (default: %(default)s)')
    args = parser.parse_args()
    start = time.perf_counter()
    manifest = make_sample(args.out, args.seed)
    counts = ', '.join(f'{count} {split}' for split, count in manifest['num_videos'].items())
    print(f'{args.out}: {counts} videos, seed {manifest["seed"]}, version {manifest["version"]} '
          f'({time.perf_counter() - start:.1f} s)')


if __name__ == '__main__':
    run_tool(main)
