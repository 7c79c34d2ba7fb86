#!/usr/bin/env python3
"""Join the pictures of a folder, in the order of their names, to a video.

    python tools/analysis/make_video.py points/12              writes points/12/video.mp4
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.datasets.images import read_image  # noqa: E402
from mmvis.errors import InputError, InputMissingError  # noqa: E402
from mmvis.visualization import VideoFile  # noqa: E402

_PICTURES = ('.png', '.jpg', '.jpeg')


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Join the pictures of a folder to a video.')
    parser.add_argument('folder', help='folder of pictures of one size')
    parser.add_argument('--out', metavar='FILE', help='video; default: FOLDER/video.mp4')
    parser.add_argument('--fps', type=number_in(0.01, 1000, float), default=5., help='frames per second (%(default)g)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folder = Path(args.folder)
    files = sorted(path for path in folder.glob('*') if path.suffix.lower() in _PICTURES)
    if not files:
        raise InputMissingError(f'{folder} holds no pictures ({", ".join(_PICTURES)}).')
    out = Path(args.out) if args.out else folder / 'video.mp4'
    with VideoFile(out, args.fps, files) as video:
        size = None
        for file in files:
            image = read_image(str(file))
            if size not in (None, image.shape):
                raise InputError(f'{file} has another size than the pictures before it.')
            size = image.shape
            video.add(image)
    print(f'{len(files)} pictures: {out}')


if __name__ == '__main__':
    run_tool(main)
