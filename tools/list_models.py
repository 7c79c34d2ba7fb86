#!/usr/bin/env python3
"""The models that go by a name: what there is, what is on this machine, size, licence, published AP.

    python tools/list_models.py
    python tools/list_models.py videomt ovis                  those that have both words

A name stands for a config and a checkpoint: tools/demo.py SOURCE --model NAME, tools/test_video.py --model NAME,
VISPredictor.from_name(NAME). A checkpoint that is not here is fetched then, or its address is told.
"""
import argparse
import os
import sys
from pathlib import Path
from typing import List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.model_zoo import Entry, name_of, on_disk, read_models  # noqa: E402

HEAD = ('name', 'system', 'classes of', 'AP', 'MB', 'here', 'licence')


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='The models that go by a name.')
    parser.add_argument('words', nargs='*', metavar='WORD', help='show those only that have every one in name, system or '
                                                                 'data set')
    return parser.parse_args()


def row(entry: Entry) -> List[str]:
    """The cells of a model; what nobody tells is a dash."""
    path = on_disk(entry)
    size = entry.get('size') or (os.path.getsize(path) if path is not None and path.is_file() else None)
    here = '-' if path is None else 'with mmvis' if 'shipped' in entry else os.path.relpath(path)
    return [name_of(entry), entry['system'], entry['data'], str(entry.get('ap', '-')),
            f'{size / 1e6:.0f}' if size else '-', here, entry.get('licence', '-')]


def main() -> None:
    words = [word.lower() for word in parse_args().words]
    chosen = [entry for entry in read_models()
              if all(word in f'{name_of(entry)} {entry["system"]} {entry["data"]}'.lower() for word in words)]
    if not chosen:
        raise InputError(f'No model has {" and ".join(words)} in its name, system or data set.')
    rows = [list(HEAD), *map(row, chosen)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for cells in rows:
        print('  '.join(f'{cell:<{width}}' for cell, width in zip(cells, widths)).rstrip())
    print('AP: as published, in percent, on the validation set of those classes; - where nobody tells.')


if __name__ == '__main__':
    run_tool(main)
