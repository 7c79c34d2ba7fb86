#!/usr/bin/env python3
"""Draw where the slots of InstanceFormer look: dots on the frames of a video, one colour a track.

    python tools/test_video.py CONFIG CHECKPOINT --out results.json --analysis analysis
    python tools/analysis/reference_points.py CONFIG analysis --out points
    python tools/analysis/make_video.py points/<video id>

Writes OUT/<video id>/<frame>.png. By default the dots are the places that all heads of the last decoder layer sample on
the finest level; --what references draws the point that a slot starts from, --what centres the mean of its places.
"""
import argparse
import sys
from pathlib import Path
from typing import List, Optional

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs in a checkout, installed or not

import mmvis  # noqa: E402,F401  (first: it supplies the operators that mmcv asks for)

# isort: split
from mmengine.registry import init_default_scope  # noqa: E402

from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.datasets import VISDataset  # noqa: E402
from mmvis.engine import CfgOptions, load_config  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.registry import DATASETS  # noqa: E402
from mmvis.structures.output_file import check_output_folder  # noqa: E402
from mmvis.visualization import write_image  # noqa: E402
from mmvis.visualization.analysis import VideoAnalysis, analysis_file, draw_locations  # noqa: E402
from mmvis.visualization.names import check_apart  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Draw where the slots of InstanceFormer look.')
    parser.add_argument('config', help='config whose test set the videos are of')
    parser.add_argument('folder', help='folder that tools/test_video.py --analysis has written')
    parser.add_argument('--out', default='analysis_points', metavar='DIR', help='(%(default)s)')
    parser.add_argument('--videos', nargs='+', metavar='ID', help='ids of the annotation file; default: all in FOLDER')
    parser.add_argument('--tracks', type=number_in(1), default=12, metavar='N',
                        help='the first so many tracks (%(default)d)')
    parser.add_argument('--what', choices=('locations', 'references', 'centres'), default='locations',
                        help='(%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                        help='change keys of the config')
    return parser.parse_args()


def dots(analysis: VideoAnalysis, frame: int, tracks: int, what: str) -> List[np.ndarray]:
    """Points [P, 2] of every track in a frame, in units of the image."""
    if what == 'references':
        return list(analysis.references[frame, :tracks, None])
    places = analysis.locations[frame, :tracks, :, 0].reshape(len(analysis.locations[frame, :tracks]), -1, 2)
    return list(places.mean(1, keepdims=True) if what == 'centres' else places)


def chosen_videos(dataset: VISDataset, folder: str, wanted: Optional[List[str]]) -> List[int]:
    """Positions in the dataset of the wanted videos, by default of those that have a file in the folder."""
    ids = [str(video_id) for video_id in dataset.video_ids]
    if wanted:
        unknown = [video_id for video_id in wanted if video_id not in ids]
        if unknown:
            raise InputError(f'--videos: {dataset.ann_file} has no video {unknown[0]}.')
        return [ids.index(video_id) for video_id in wanted]
    found = [index for index, video_id in enumerate(ids) if analysis_file(folder, video_id).is_file()]
    if not found:
        raise InputError(f'{folder} has no file of a video of {dataset.ann_file}.')
    return found


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope('mmvis')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    check_output_folder(args.out)
    videos = chosen_videos(dataset, args.folder, args.videos)
    check_apart((Path(args.out) / analysis_file(args.folder, dataset.video_ids[index]).stem for index in videos),
                (str(Path(dataset.img_prefix, name)) for index in videos for name in dataset.videos[index].file_names))
    for index in videos:
        path = analysis_file(args.folder, dataset.video_ids[index])
        analysis, folder = VideoAnalysis.load(path), Path(args.out) / path.stem
        if len(analysis.features) != dataset.video_lengths[index]:
            raise InputError(f'{path} has {len(analysis.features)} frames, the video in {dataset.ann_file} has '
                             f'{dataset.video_lengths[index]}: it is of another set.')
        for frame in range(len(analysis.features)):
            image = draw_locations(dataset.load_image(index, frame), dots(analysis, frame, args.tracks, args.what))
            write_image(folder / f'{frame:05d}.png', image)
        print(f'{len(analysis.features)} frames: {folder}', flush=True)


if __name__ == '__main__':
    run_tool(main)
