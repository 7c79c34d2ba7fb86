#!/usr/bin/env python3
"""Draw a results file, whichever tool wrote it, over its videos: mp4 files, frames, or contact sheets.

    python tools/visualize_results.py results.json data/ytvis2021/valid.json data/ytvis2021/valid/JPEGImages --out vis
    python tools/visualize_results.py results.json data/sample/valid.json data/sample/valid --gt --format sheet \\
        --videos 3 7 --out sheet.jpg

A track has one colour in all frames. --gt draws the annotations beside it (sheets: in the row below); an object has the
colour of the track that covers it, if one does. Files are named after the folders of the frames: OUT/<video>.mp4,
OUT/<video>/<frame>.jpg, OUT/<video>.jpg; --format sheet with a picture as --out puts all videos into that one picture.
"""
import argparse
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.annotations import VideoRecord, load_annotations  # noqa: E402
from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.datasets.images import DamagedFrames  # noqa: E402
from mmvis.datasets.trees import frame_below  # noqa: E402
from mmvis.errors import InputError, shown  # noqa: E402
from mmvis.structures.output_file import check_output, check_output_folder  # noqa: E402
from mmvis.visualization import VideoFile, write_image  # noqa: E402
from mmvis.visualization.chosen import choose_videos, frame_folder  # noqa: E402
from mmvis.visualization.names import check_apart, frame_names  # noqa: E402
from mmvis.visualization.results import draw_sheet, draw_video  # noqa: E402
from mmvis.visualization.tracks import Drawing, match_colours, read_ground_truth, read_results  # noqa: E402

_PICTURES = ('.jpg', '.jpeg', '.png')


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Draw a results file over its videos.')
    parser.add_argument('results', help='results file')
    parser.add_argument('annotations', help='annotation file of the split (valid.json)')
    parser.add_argument('frames', help='folder of the frames')
    parser.add_argument('--out', default='vis', metavar='X', help='folder, or a picture for one sheet (%(default)s)')
    parser.add_argument('--format', choices=('mp4', 'frames', 'sheet'), default='mp4', help='%(default)s')
    parser.add_argument('--gt', action='store_true', help='draw the annotations beside the results')
    parser.add_argument('--thresh', type=number_in(0, kind=float), default=0.3, metavar='F',
                        help='tracks with a lower score are left out '
                        '(%(default)g)')
    parser.add_argument('--videos', nargs='+', metavar='V', help='ids or folder names; default: all')
    parser.add_argument('--fps', type=number_in(0.01, 1000, float), default=10., help='of an mp4 (%(default)g)')
    parser.add_argument('--columns', type=number_in(1), default=5, help='frames of a video in a sheet (%(default)d)')
    parser.add_argument('--use-damaged-frames', '--use_damaged_frames', action='store_true',
                        help='draw on damaged frames, as far as they can be decoded, and count them at the end; by '
                             'default the first one ends the run')
    parser.add_argument('--width', type=number_in(1, 8192), default=320,
                        help='of a frame in a sheet, pixels (%(default)d)')
    return parser.parse_args()


def write_video(args: argparse.Namespace, video: VideoRecord, name: str, drawings: List[Drawing],
                damaged: Optional[DamagedFrames]) -> Path:
    """An mp4 or a folder of frames."""
    folder = frame_folder(args.frames, video)
    if args.format == 'frames':
        stems = frame_names(video.file_names)
        for frame_idx, picture in draw_video(video, folder, drawings, on_damage=damaged):
            write_image(Path(args.out) / name / f'{stems[frame_idx]}.jpg', picture)
        return Path(args.out) / name
    path = Path(args.out) / f'{name}.mp4'
    with VideoFile(path, args.fps, [args.results, args.annotations]) as file:
        for _, picture in draw_video(video, folder, drawings, on_damage=damaged):
            file.add(picture)
    return path


def check_out(args: argparse.Namespace, chosen: Sequence[tuple], one_sheet: bool) -> None:
    """Refuse frames that lie elsewhere than in their folder, and an --out that cannot be written, or among whose files
    are those that are read."""
    for video, _ in chosen:
        folder = frame_folder(args.frames, video)
        for name in video.file_names:
            if (os.path.isabs(name) or '..' in name) and frame_below(folder, name) is None:
                raise InputError(f'{args.annotations}: video {shown(video.video_id)}: file_names: {shown(name)} is not '
                                 f'in the folder {args.frames}.')
    frames = [str(Path(frame_folder(args.frames, video)) / name) for video, _ in chosen for name in video.file_names]
    if one_sheet:
        check_output(args.out, [args.results, args.annotations, *frames])
        return
    check_output_folder(args.out)
    if args.format != 'mp4':
        names = [f'{name}/0' if args.format == 'frames' else name for _, name in chosen]
        check_apart((Path(args.out, name).parent for name in names), frames)


def main() -> None:
    args = parse_args()
    one_sheet = Path(args.out).suffix.lower() in _PICTURES
    if one_sheet and args.format != 'sheet':
        raise InputError(f'--out {args.out} is one picture: this needs --format sheet.')
    index = load_annotations(args.annotations)
    chosen = choose_videos([index.video(position) for position in range(len(index))], args.videos, args.annotations)
    check_out(args, chosen, one_sheet)
    ids = {video.video_id for video, _ in chosen}
    drawings = [read_results(args.results, index, ids, args.thresh)]
    if args.gt and not index.meta['has_annotations']:
        raise InputError(f'{args.annotations} has no annotations to be drawn by --gt.')
    if args.gt:
        drawings.append(read_ground_truth(index, ids))
        match_colours(drawings[1], drawings[0])
    damaged = DamagedFrames() if args.use_damaged_frames else None
    sheets = []
    for video, name in chosen:
        tracks = len(drawings[0].tracks.get(video.video_id, []))
        if args.format == 'sheet':
            sheet = draw_sheet(video, frame_folder(args.frames, video), drawings, args.columns, args.width,
                               damaged, name)
            path = Path(args.out) / f'{name}.jpg'
            sheets.append(sheet) if one_sheet else write_image(path, sheet)
        else:
            path = write_video(args, video, name, drawings, damaged)
        if not one_sheet:
            print(f'{path}: video {video.video_id}, {video.num_frames} frames, {tracks} tracks', flush=True)
    if one_sheet:
        write_image(Path(args.out), stack(sheets))
        print(f'{args.out}: {len(sheets)} videos')
    if damaged:
        print(damaged)


def stack(sheets: List[np.ndarray], gap: int = 12) -> np.ndarray:
    """Sheets below each other, the narrower ones filled up with white."""
    width = max(sheet.shape[1] for sheet in sheets)
    rows = [np.pad(sheet, ((0, gap), (0, width - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets]
    return np.vstack(rows)[:-gap]


if __name__ == '__main__':
    run_tool(main)
