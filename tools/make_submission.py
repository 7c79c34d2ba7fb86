#!/usr/bin/env python3
"""Pack a results file for the servers of YouTube-VIS 2019, 2021, 2022 and OVIS.

    python tools/make_submission.py results.json data/ytvis2021/valid.json --out submission.zip
    python tools/make_submission.py results.json --benchmark ovis --out submission.zip

The file is checked first, and a zip is made only when the server will take it. The zip holds results.json at its top
level, whatever the file was called.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.apis import BENCHMARKS, find_target, pack_results  # noqa: E402
from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.structures.output_file import check_output  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Check a results file and pack it for a server.')
    parser.add_argument('results', help='results file')
    parser.add_argument('annotations', nargs='?', help='annotation file of the split (valid.json); without it the one '
                        'of --benchmark in data/ is looked for')
    parser.add_argument('--benchmark', choices=tuple(BENCHMARKS), help='also check the category table by name')
    parser.add_argument('--out', default='submission.zip', metavar='ZIP', help='the zip (%(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    target = find_target(args.annotations, args.benchmark)
    check_output(args.out, [args.results, None if target.videos is None else target.source])
    pack_results(args.results, target, args.out)


if __name__ == '__main__':
    run_tool(main)
