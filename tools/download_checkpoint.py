#!/usr/bin/env python3
"""Fetch a published checkpoint into models/.

    python tools/download_checkpoint.py --list
    python tools/download_checkpoint.py iai_condinst_r50

The table is models/checkpoints.json, shown in models/README.md. What lies on Google Drive is fetched with gdown (`pip install
gdown`). A download that was stopped goes on; a file gets its name when it is whole and is what it should be.
"""
import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.download import download  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.model_zoo import find_entry, name_of, read_table  # noqa: E402
from mmvis.shipped import models_folder  # noqa: E402


def markdown() -> str:
    """The table of models/README.md."""
    lines = ['| name | system | what it is | size in bytes, checksum | where |', '|---|---|---|---|---|']
    for entry in read_table():
        if 'shipped' in entry:
            continue
        known = [f'{entry["size"]:,}'] if 'size' in entry else []
        known += [f'{kind} {entry[kind]}...' for kind in ('sha256', 'md5') if kind in entry]
        where = f'[page]({entry["page"]})' + (f', [file]({entry["url"]})' if entry['url'] else '')
        what = entry['what'] + (f'. Licence: {entry["licence"]}' if 'licence' in entry else '')
        lines.append(f'| `{name_of(entry)}` | {entry["system"]} | {what} | {", ".join(known)} | {where} |')
    return '\n'.join(lines) + '\n'


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Fetch a published checkpoint into models/.')
    parser.add_argument('names', nargs='*', metavar='NAME', help='names of --list')
    parser.add_argument('--list', action='store_true', help='show what there is')
    parser.add_argument('--markdown', action='store_true', help='print the table of models/README.md')
    parser.add_argument('--out', default=str(models_folder()), metavar='DIR', help='where to put it (models/)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if not (args.names or args.list or args.markdown):
        raise InputError('Which checkpoint? --list shows the names.')
    if args.markdown:
        print(markdown(), end='')
    if args.list:
        for entry in read_table():
            licence = f'\n    licence: {entry["licence"]}' if 'licence' in entry else ''
            print(f'{name_of(entry)}\n    {entry["system"]}: {entry["what"]}{licence}')
    for entry in [find_entry(name) for name in args.names]:
        download(entry, Path(args.out))


if __name__ == '__main__':
    run_tool(main)
