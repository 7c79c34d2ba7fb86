#!/usr/bin/env python3
"""Find what a server would reject, hang on, or silently count as nothing in a results file.

    python tools/check_results.py results.json data/ytvis2021/valid.json --benchmark ytvis2021
    python tools/check_results.py results.json data/ovis/annotations_valid.json --fix mended.json

One sentence a fault, with entry and field; exit code 1 when there are faults. Notes do not count: the server takes what
they name. --fix writes the file with everything mended that has one reading only: string and float ids and scores, runs
as a list, polygons, b'...' texts, empty frames behind the end of the video; empty masks become null (AP is the same,
HOTA, IDF1 and MOTA are not: to them an empty mask is a wrong detection). Nothing is guessed.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.apis import BENCHMARKS, find_target  # noqa: E402
from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.evaluation.results_check import Report, Target, check_results  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Check a results file before it is sent to a server.')
    parser.add_argument('results', help='results file')
    parser.add_argument('annotations', nargs='?', help='annotation file of the split (valid.json); without it the one '
                        'of --benchmark in data/ is looked for')
    parser.add_argument('--benchmark', choices=tuple(BENCHMARKS), help='also check the category table by name')
    parser.add_argument('--fix', metavar='OUT', help='write a file with everything mended that can be without guessing')
    parser.add_argument('--all', action='store_true', help='show every finding, not ten of a kind')
    return parser.parse_args()


def summary(report: Report, target: Target) -> str:
    against = target.source + (' (category ids only: no annotation file was found)' if target.videos is None else '')
    fate = f'{report.num_faults} faults' if report.num_faults else 'no fault'
    return f'{report.num_entries} entries with {report.num_masks} masks against {against}: {fate}'


def main() -> None:
    args = parse_args()
    target = find_target(args.annotations, args.benchmark)
    report = check_results(args.results, target, args.fix, None if args.all else 10)
    for line in report.lines():
        print(line)
    print(summary(report, target))
    if report.is_written:
        print(f'{args.fix}: {report.num_mended} values mended'
              + (f'; {report.num_faults} faults cannot be mended without guessing' if report.num_faults else ''))
    elif report.is_broken:
        print('Entries behind that place were not looked at; a broken file is not mended' +
              (f': {args.fix} was not written.' if args.fix else '.'))
    elif report.num_mendable:
        print(f'--fix OUT mends {report.num_mendable} of these')
    sys.exit(1 if report.num_faults else 0)


if __name__ == '__main__':
    run_tool(main)
