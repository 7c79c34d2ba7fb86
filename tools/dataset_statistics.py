#!/usr/bin/env python3
"""What an annotation file holds: videos, lengths, sizes, tracks by class, overlap, entries and exits, small objects.

    python tools/dataset_statistics.py data/custom/train.json
    python tools/dataset_statistics.py data/custom/train.json --json statistics.json --plot statistics.png

Overlap is the box overlap rate of OVIS; small, medium and large are the ranges of AP (below 128 x 128 and 256 x 256).
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.annotations import load_annotations  # noqa: E402
from mmvis.annotations.statistics import MEDIUM, SMALL, as_table, dataset_statistics  # noqa: E402
from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.structures.output_file import check_outputs, write_output  # noqa: E402

_MOST_CLASSES = 30


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = ToolParser(description='What an annotation file holds, in numbers and pictures.')
    parser.add_argument('annotations', help='annotation file')
    parser.add_argument('--json', metavar='FILE', help='write all numbers to this file')
    parser.add_argument('--plot', metavar='FILE', help='write four charts to this picture')
    parser.add_argument('--rows', type=number_in(1), default=30, metavar='N',
                        help='classes and videos in the table (%(default)d)')
    return parser.parse_args(argv)


def plot(statistics: Dict[str, Any], path: Path) -> None:
    """Lengths of videos, tracks by class, sizes of tracks, and how much of its video a track is seen."""
    from mmvis.visualization.figures import new_figure  # noqa: PLC0415  (drawing is asked for seldom)
    tracks = statistics['tracks']
    classes = sorted(statistics['classes'], key=lambda row: row['tracks'])[-_MOST_CLASSES:]
    height = max(8., 3 + 0.22 * len(classes))
    with new_figure(path, 2, 2, (12, height)) as axes:
        axes[0, 0].hist([row['frames'] for row in statistics['videos']], bins=20)
        axes[0, 0].set(title='length of videos', xlabel='frames', ylabel='videos')
        axes[0, 1].barh([row['class'] for row in classes], [row['tracks'] for row in classes])
        axes[0, 1].set(title='tracks by class', xlabel='tracks')
        axes[1, 0].hist([area ** 0.5 for area in tracks['area']], bins=30)
        for limit in (SMALL, MEDIUM):
            axes[1, 0].axvline(limit ** 0.5, color='0.4', linestyle=':')
        axes[1, 0].set(title='size of tracks', xlabel='square root of the mean area, pixels', ylabel='tracks')
        axes[1, 1].hist(tracks['share'], bins=20, range=(0, 1))
        axes[1, 1].set(title='how long a track is seen', xlabel='share of its video', ylabel='tracks')


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    check_outputs([args.json, args.plot], [args.annotations])
    statistics = dataset_statistics(load_annotations(args.annotations))
    print(as_table(statistics, args.rows))
    if args.json:
        write_output(args.json, json.dumps(statistics, indent=1))
    if args.plot:
        plot(statistics, Path(args.plot))


if __name__ == '__main__':
    run_tool(main)
