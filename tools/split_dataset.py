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
from pathlib import Path
from typing import Any, Dict, List, Set, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.annotations import Content, read_content, read_json  # noqa: E402
from mmvis.annotations.reader import VIDEOS  # noqa: E402
from mmvis.cli import ToolParser, number_in, printable, run_tool, seed_number  # noqa: E402
from mmvis.datasets.hold_out import cut_annotations, split_videos  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.structures.output_file import check_output, write_output  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Cut a training set into train and val by video, stratified by category.')
    parser.add_argument('annotations', help='annotation file of the training set')
    parser.add_argument('--val-ratio', type=number_in(0, 1, float), default=0.1, metavar='F',
                        help='share of the val videos (%(default)g)')
    parser.add_argument('--seed', type=seed_number, default=0, help='another seed gives another cut (%(default)d)')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the set, as data/ytvis2021')
    return parser.parse_args()


def read(path: str) -> Tuple[Dict[str, Any], Content]:
    """The annotation file as it is, and what it holds, checked."""
    data = read_json(path)
    content = read_content(data, path)
    if content.format is not VIDEOS or not content.object_ids:
        raise InputError(f'{path}: the annotation file of a training set of videos is needed; this one has no '
                         f'{"annotations" if content.format is VIDEOS else "videos"}.')
    return data, content


def categories_of_videos(content: Content) -> List[Set]:
    """For each video the ids of the categories that occur in it."""
    found: List[Set] = [set() for _ in content.videos]
    for video, category in zip(content.object_videos.tolist(), content.object_categories.tolist()):
        found[video].add(content.categories[category][0])
    return found


def table(content: Content, found: List[Set], parts: Dict[str, List[int]]) -> str:
    """How many videos of every category each part has."""
    names = [printable(name) for _, name in content.categories]
    width = max(map(len, names))
    rows = [f'{name:<{width}}' + ''.join(f'{sum(category_id in found[v] for v in videos):>7}'
                                         for videos in parts.values())
            for name, (category_id, _) in zip(names, content.categories)]
    return '\n'.join([' ' * width + ''.join(f'{part:>7}' for part in parts), *rows])


def main() -> None:
    args = parse_args()
    data, content = read(args.annotations)
    found = categories_of_videos(content)
    parts = dict(zip(('train', 'val'), split_videos(found, args.val_ratio, args.seed)))
    paths = {part: Path(args.out) / 'annotations' / f'instances_{part}_sub.json' for part in parts}
    for path in paths.values():  # before one of the two is written
        check_output(path, [args.annotations])
    for part, videos in parts.items():
        cut = cut_annotations(data, videos)
        write_output(paths[part], json.dumps(cut), [args.annotations])
        print(f'{paths[part]}: {len(videos)} videos, {len(cut["annotations"])} objects')
    print(table(content, found, parts))
    print(f'seed {args.seed}, video ids')
    for part, videos in parts.items():
        print(f'{part}: {" ".join(printable(str(content.videos[v].video_id)) for v in videos)}')


if __name__ == '__main__':
    run_tool(main)
