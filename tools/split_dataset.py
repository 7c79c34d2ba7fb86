#!/usr/bin/env python3
"""Cut a training set into train and val by video, so that there is an AP without the server.

    python tools/split_dataset.py data/ytvis2021/train.json --val-ratio 0.1 --out data/ytvis2021

Every category gets its share of videos in both parts. Written are OUT/annotations/instances_train_sub.json and
OUT/annotations/instances_val_sub.json, the names that published code bases have for a hold-out: with OUT the folder of
the set, every config finds them before the files of the set, and the val frames in the train folder. From then on train
and test run on the hold-out; delete the two files to go back to the whole set.
"""
import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.datasets.hold_out import cut_annotations, split_videos  # noqa: E402
from mmvis.errors import InputError, InputMissingError  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Cut a training set into train and val by video, stratified by category.')
    parser.add_argument('annotations', help='annotation file of the training set')
    parser.add_argument('--val-ratio', type=float, default=0.1, metavar='F',
                        help='share of the val videos (%(default)g)')
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another cut (%(default)d)')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the set, as data/ytvis2021')
    return parser.parse_args()


def read(path: str) -> Dict[str, Any]:
    try:
        data = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputMissingError(f'{path}: there is no such file.') from None
    except ValueError as error:
        raise InputError(f'{path}: not a JSON file ({error}).') from None
    for key in ('videos', 'annotations', 'categories'):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise InputError(f'{path}: the list {key} is missing; the annotation file of a training set is needed.')
    return data


def write(path: Path, data: Dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.tmp')
    temporary.write_text(json.dumps(data))
    temporary.replace(path)


def table(data: Dict[str, Any], parts: Dict[str, List[Dict[str, Any]]]) -> str:
    """How many videos of every category each part has."""
    found = {part: defaultdict(set) for part in parts}
    part_of = {video['id']: part for part, videos in parts.items() for video in videos}
    for annotation in data['annotations']:
        found[part_of[annotation['video_id']]][annotation['category_id']].add(annotation['video_id'])
    width = max(len(str(category['name'])) for category in data['categories'])
    rows = [f'{category["name"]:<{width}}' + ''.join(f'{len(found[part][category["id"]]):>7}' for part in parts)
            for category in data['categories']]
    return '\n'.join([' ' * width + ''.join(f'{part:>7}' for part in parts), *rows])


def main() -> None:
    args = parse_args()
    data = read(args.annotations)
    by_video = {video['id']: set() for video in data['videos']}
    for annotation in data['annotations']:
        if annotation['video_id'] not in by_video:
            raise InputError(f'{args.annotations}: annotation {annotation.get("id")!r} is of video '
                             f'{annotation["video_id"]!r}, which is not in the list of videos.')
        by_video[annotation['video_id']].add(annotation['category_id'])
    positions = dict(zip(('train', 'val'), split_videos(list(by_video.values()), args.val_ratio, args.seed)))
    parts = {}
    for part, videos in positions.items():
        cut = cut_annotations(data, videos)
        parts[part] = cut['videos']
        path = Path(args.out) / 'annotations' / f'instances_{part}_sub.json'
        write(path, cut)
        print(f'{path}: {len(videos)} videos, {len(cut["annotations"])} objects')
    print(table(data, parts))
    print(f'seed {args.seed}, video ids')
    for part, videos in parts.items():
        print(f'{part}: {" ".join(str(video["id"]) for video in videos)}')


if __name__ == '__main__':
    run_tool(main)
