#!/usr/bin/env python3
"""AP and AR of a results file, by the rules of YouTube-VIS or OVIS.

    python tools/eval_results.py results.json data/ytvis_2021/valid.json --json stats.json --html report.html
    python tools/eval_results.py results.json annotations.json --benchmark ovis --tracking --errors
    python tools/eval_results.py results.json annotations.json --single-frames --oracle-identity
    python tools/eval_results.py results.json validGT.json --benchmark ovis                 OVIS
    python tools/eval_results.py results.json gt_short.json gt_long.json --long-ids gt_long.json       YouTube-VIS 2022

docs/evaluation.md has the definitions.
"""
import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.annotations import no_garbage_collection  # noqa: E402
from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.evaluation import Evaluator, Rules  # noqa: E402
from mmvis.evaluation.output import as_csv, as_dict, write_json  # noqa: E402
from mmvis.evaluation.rules import BENCHMARKS  # noqa: E402
from mmvis.evaluation.subsets import evaluate_short_long, find_long  # noqa: E402
from mmvis.evaluation.tracking import TRACKING_SCORES  # noqa: E402
from mmvis.evaluation.vis_eval import DIAGNOSTICS, in_columns, side_by_side  # noqa: E402
from mmvis.structures.output_file import check_outputs, write_output  # noqa: E402
from mmvis.visualization.report import make_report  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='AP and AR of a results file by the rules of YouTube-VIS or OVIS.')
    parser.add_argument('results', help='results.json: a list of video_id, category_id, score, segmentations')
    parser.add_argument('annotations', nargs='+',
                        help='annotation file with ground truth, in the YouTube-VIS format; several are read as one')
    parser.add_argument('--benchmark', choices=BENCHMARKS, default='ytvis',
                        help='whose rules; ovis adds AP and AR by occlusion and asks for lists of full length (ytvis)')
    parser.add_argument('--strict', action='store_true',
                        help='do as the official code does also where that is a slip (docs/evaluation.md lists them)')
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--long-ids', metavar='FILE',
                        help='short and long videos apart; this annotation file or list of ids names the long ones')
    length.add_argument('--long-frames', type=number_in(0), metavar='N',
                        help='the same; the long ones have more than N frames')
    parser.add_argument('--single-frames', action='store_true',
                        help='also AP as if every frame were a video of its own, and the number of identity switches')
    parser.add_argument('--oracle-identity', action='store_true',
                        help='also AP with the masks of an object joined to one track, and the number of switches')
    parser.add_argument('--tracking', action='store_true', help='also HOTA, IDF1, MOTA and their parts')
    parser.add_argument('--min-score', type=number_in(-math.inf, kind=float), default=-math.inf, metavar='F',
                        help='results with a lower score do not count for --tracking and switches (all do)')
    parser.add_argument('--errors', action='store_true', help='also what is wrong, by kind of error')
    parser.add_argument('--per-video', action='store_true', help='also print the AP of every video')
    parser.add_argument('--workers', type=number_in(1), default=1, metavar='N', help='processes (1)')
    parser.add_argument('--json', metavar='FILE', help='write all numbers to this file')
    parser.add_argument('--csv', metavar='FILE', help='write all numbers to this file, one a line')
    parser.add_argument('--html', metavar='FILE', help='write a report with charts to this file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with no_garbage_collection():
        evaluate(args)


def evaluate(args: argparse.Namespace) -> None:
    check_outputs([args.json, args.csv, args.html], [args.results, *args.annotations, args.long_ids])
    rules = Rules(args.benchmark, args.strict)
    evaluator = Evaluator(args.results, args.annotations, rules, args.workers)
    to_file = bool(args.json or args.csv or args.html)
    evaluation = evaluator.evaluate(per_video=to_file or args.per_video)
    print(evaluation.table())
    parts = None
    if args.long_ids or args.long_frames is not None:
        parts = evaluate_short_long(evaluator, find_long(evaluator.truth, args.long_ids, args.long_frames))
        print(f'\nShort and long videos\n{parts.table()}')
    if args.per_video:
        print('\nAP by video', *in_columns({str(key): ap for key, ap in evaluation.per_video.items()}), sep='\n')
    diagnostics = {name: evaluator.diagnose(name) for name in DIAGNOSTICS if getattr(args, name)}
    tracking = evaluator.tracking(args.min_score) if args.tracking or args.html or diagnostics else None
    if diagnostics:
        columns = {name.replace('_', ' '): part.stats for name, part in diagnostics.items()}
        print('\nMasks and classes, or identities', side_by_side({'as it is': evaluation.stats, **columns}),
              f'IDSW  {tracking.detection_averaged["IDSW"]:>8.0f}  {TRACKING_SCORES["IDSW"]}', sep='\n')
    if args.tracking:
        print(f'\nTracking\n{tracking.table()}')
    errors = evaluator.errors() if args.errors or args.html else None
    if args.errors:
        print(f'\nErrors at IoU 0.50, and the AP50 that mending them would add\n{errors.table()}')
    numbers = as_dict(evaluation, rules, parts, tracking, errors, diagnostics) if to_file else {}
    if args.json:
        write_json(args.json, numbers)
    if args.csv:
        write_output(args.csv, as_csv(numbers))
    if args.html:
        page = make_report(args.results, evaluator, evaluation, tracking, errors, args.min_score, parts)
        write_output(args.html, page)


if __name__ == '__main__':
    run_tool(main)
