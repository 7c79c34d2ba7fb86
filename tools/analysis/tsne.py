#!/usr/bin/env python3
"""Do the embeddings of a track stay together over the frames? t-SNE of InstanceFormer's slots, one colour a track.

    python tools/analysis/tsne.py analysis/12.npz --out tsne.png
    python tools/analysis/tsne.py without/12.npz with/12.npz --titles "no contrastive loss" "contrastive loss"

Files are those of tools/test_video.py --analysis; every file is a panel of the picture, every dot a frame.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.structures.output_file import check_output  # noqa: E402
from mmvis.visualization.analysis import VideoAnalysis, plot_embeddings  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description="t-SNE of InstanceFormer's slots.")
    parser.add_argument('files', nargs='+', help='files of tools/test_video.py --analysis')
    parser.add_argument('--titles', nargs='+', help='a title for every file; default: the files')
    parser.add_argument('--tracks', type=number_in(1), default=6, metavar='N',
                        help='the first so many tracks (%(default)d)')
    parser.add_argument('--out', default='tsne.png', metavar='FILE', help='picture (%(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    titles = args.titles or args.files
    if len(titles) != len(args.files):
        raise InputError(f'--titles: {len(titles)} titles for {len(args.files)} files.')
    if len(set(titles)) < len(titles):
        raise InputError(f'Every panel needs a title of its own (--titles), not {", ".join(titles)}.')
    check_output(args.out, args.files)
    panels = {title: VideoAnalysis.load(file).features[:, :args.tracks] for title, file in zip(titles, args.files)}
    plot_embeddings(panels, Path(args.out))
    print(args.out)


if __name__ == '__main__':
    run_tool(main)
