#!/usr/bin/env python3
"""Shows results, or a data set alone, in a browser: videos, masks, errors, and where results files differ.

    python tools/view.py results.json data/ytvis_2021/valid.json data/ytvis_2021/valid/JPEGImages
    python tools/view.py first.json second.json data/sample/valid.json data/sample/valid
    python tools/view.py data/sample/train.json data/sample/train                    a data set without results
    python tools/view.py results.json annotations.json FRAMES --export page          a folder to be passed on

It serves on this machine alone unless --host says otherwise; docs/viewer.md shows the page and its keys.
"""
import argparse
import importlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.errors import InputError  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Show results, or a data set alone, in a browser.')
    parser.add_argument('files', nargs='+', metavar='FILE',
                        help='results files (none or several), the annotation file, and last the folder of the frames')
    parser.add_argument('--host', default='127.0.0.1', metavar='H',
                        help="address to serve on; any but this machine's own asks for a token (%(default)s)")
    parser.add_argument('--port', type=number_in(0, 65535), default=0, metavar='N', help='default: a free one')
    parser.add_argument('--no-browser', action='store_true', help='print the address and open nothing')
    parser.add_argument('--videos', nargs='+', metavar='V', help='ids or folder names; default: all')
    parser.add_argument('--export', metavar='DIR', help='write the page into a folder instead: it works from a file '
                                                        'server, or by opening its index.html')
    args = parser.parse_args()
    if len(args.files) < 2:
        parser.error('an annotation file and the folder of the frames are needed')
    return args


def main() -> None:
    args = parse_args()
    *results, ann_file, frames = args.files
    part = 'export' if args.export else 'server'
    try:
        module = importlib.import_module(f'mmvis.view.{part}')
    except ModuleNotFoundError as error:
        package = (error.name or '').split('.')[0]
        if package not in ('starlette', 'uvicorn'):
            raise
        raise InputError(f"mmvis view needs the package {package}: pip install 'mmvis[view]', or pip install "
                         'starlette uvicorn.') from None
    session = importlib.import_module('mmvis.view.session').Session(ann_file, results, frames, args.videos)
    if args.export:
        module.export(session, args.export)
    else:
        has_display = sys.platform != 'linux' or any(os.environ.get(name) for name in ('DISPLAY', 'WAYLAND_DISPLAY'))
        module.serve(session, args.host, args.port, has_display and not args.no_browser)


if __name__ == '__main__':
    run_tool(main)
