#!/usr/bin/env python3
"""Convert annotations between the formats of other tools and YouTube-VIS.

    python tools/convert_annotations.py labelme my_labels --out data/custom/train.json
    python tools/convert_annotations.py cvat annotations.xml --frames frames --out data/custom/train.json
    python tools/convert_annotations.py ytvis data/custom/train.json --to cvat --out for_cvat
    python tools/convert_annotations.py results results.json --annotations valid.json --to labelme --out to_correct
    python tools/convert_annotations.py mots tracker_output --annotations valid.json --to results --out results.json

FORMAT is what SOURCE is: labelme (also X-AnyLabeling), cvat, coco (with a record a frame, also CocoVID), mots, davis
(also YouTube-VOS), ytvis, or results, a results file of this project. SOURCE is a file, or a folder with several
videos. --to says what is written: ytvis and coco are files, the others folders (cvat a file if its name ends in
.xml). --to results makes a results file of what another tool has found (mots, coco), to be evaluated. Boxes and areas
are those of the masks. docs/data_formats.md says what each format means.
"""
import argparse
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.annotations import load_annotations, read_json  # noqa: E402
from mmvis.cli import ToolParser, number_in, printable, run_tool  # noqa: E402
from mmvis.errors import InputError, InputMissingError, shown  # noqa: E402
from mmvis.formats import FORMATS, Track, VideoSet  # noqa: E402
from mmvis.formats.pictures import videos_in  # noqa: E402
from mmvis.formats.ytvis import write_results  # noqa: E402
from mmvis.structures.output_file import check_output  # noqa: E402

RESULTS = 'results'
#: Formats whose output is one file.
_FILES = ('ytvis', 'coco', RESULTS)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = ToolParser(description='Convert annotations between the formats of other tools and YouTube-VIS.')
    parser.add_argument('format', choices=[*FORMATS, RESULTS], metavar='FORMAT',
                        help=f'of SOURCE: {", ".join(FORMATS)} or {RESULTS}')
    parser.add_argument('source', type=Path, metavar='SOURCE', help='file, or folder with several videos')
    parser.add_argument('--out', type=Path, required=True, metavar='PATH', help='file (ytvis, coco, results) or folder')
    parser.add_argument('--to', choices=[*FORMATS, RESULTS], default='ytvis', help='format to be written (%(default)s)')
    parser.add_argument('--frames', type=Path, metavar='DIR',
                        help='folder of the pictures, where they do not lie beside the annotations; a video or a folder '
                             'of videos is cut into pictures')
    parser.add_argument('--classes', nargs='+', metavar='NAME',
                        help='names of the classes, with the ids 1, 2, ...; for parts of a set that are converted one '
                             'by one')
    parser.add_argument('--annotations', type=Path, metavar='FILE',
                        help='of the set, for results: YouTube-VIS, or COCO with a record a frame')
    parser.add_argument('--thresh', type=number_in(0, kind=float), default=0.3, metavar='F',
                        help='of results: tracks with a lower score are left out (%(default)g)')
    args = parser.parse_args(argv)
    if (args.format == RESULTS or args.to == RESULTS) and args.annotations is None:
        parser.error('results need --annotations FILE, which says what their ids mean')
    if args.format == args.to == RESULTS:
        parser.error('results to results is no conversion')
    if args.to == RESULTS and not hasattr(FORMATS[args.format], 'read_results'):
        able = [name for name, module in FORMATS.items() if hasattr(module, 'read_results')]
        parser.error(f'--to results takes {" and ".join(able)}, not {args.format}')
    return args


def frames_of_videos(args: argparse.Namespace) -> Path:
    """The folder of the pictures of --frames, which holds videos: they are cut where configs look for them. Those of a
    single video belong to the source, whatever it is called.
    """
    from mmvis.apis.frame_cutting import cut_videos  # noqa: PLC0415  (brings OpenCV and more along)
    if args.to != 'ytvis':
        raise InputError(f'--frames {args.frames} holds videos, which are cut into pictures beside an annotation file '
                         'alone: convert to ytvis first.')
    if not args.source.exists():
        raise InputMissingError(f'{args.source}: there is no such file or folder.')
    folder = args.out.with_suffix('') / 'JPEGImages'
    for line in cut_videos(args.frames, folder):
        print(line, flush=True)
    return folder / args.frames.stem if args.frames.is_file() else folder


def read_source(args: argparse.Namespace) -> VideoSet:
    """The videos of the source, with the classes that were asked for."""
    if not args.source.exists():
        raise InputMissingError(f'{args.source}: there is no such file or folder.')
    if args.frames is not None and not args.frames.is_dir():
        kind = 'is neither a folder nor a video' if args.frames.exists() else 'is not there'
        raise InputMissingError(f'--frames {args.frames} {kind}: the folder of the pictures is needed.')
    videos = read_tracks(args) if args.format == RESULTS else FORMATS[args.format].read(args.source, args.frames)
    if args.classes:
        set_classes(videos, args.classes)
    if not videos.categories:
        raise InputError(f'{args.source} has no object: there is nothing to learn from.')
    return videos


def set_classes(videos: VideoSet, classes: Sequence[str]) -> None:
    if len(set(classes)) < len(classes):
        raise InputError(f'--classes {" ".join(classes)}: a class is named twice.')
    for video in videos.videos:
        for track in video.tracks:
            if track.category not in classes:
                raise InputError(f'video {shown(video.name)}: track {shown(track.track_id)} has the class '
                                 f'{shown(track.category)}, which is not one of --classes {" ".join(classes)}.')
    videos.categories = {name: number for number, name in enumerate(classes, start=1)}


def read_truth(path: Path, frames: Optional[Path]) -> VideoSet:
    """Videos of an annotation file of YouTube-VIS, or of COCO with a record a frame."""
    data = read_json(path)
    is_coco = isinstance(data, dict) and 'images' in data
    return FORMATS['coco' if is_coco else 'ytvis'].read(path, frames)


def read_tracks(args: argparse.Namespace) -> VideoSet:
    """The tracks of a results file, as annotations to be corrected."""
    from mmvis.visualization.tracks import read_results  # noqa: PLC0415  (brings OpenCV's drawing along)
    videos = FORMATS['ytvis'].read(args.annotations, args.frames)
    drawing = read_results(args.source, load_annotations(str(args.annotations)),
                           {video.video_id for video in videos.videos}, args.thresh)
    for video in videos.videos:
        video.tracks = [Track(track.track_id, drawing.classes[track.label], track.masks, score=track.score)
                        for track in drawing.tracks.get(video.video_id, []) if track.masks]
    return videos


def start_from(videos: VideoSet, folder: Path) -> None:
    """Have file names start from a folder that holds all pictures, if it does."""
    folder = Path(os.path.abspath(folder))
    if videos.root is not None and folder in videos.root.parents:
        for video in videos.videos:
            video.file_names = [(videos.root.relative_to(folder) / name).as_posix() for name in video.file_names]
        videos.root = folder


def link_frames(videos: VideoSet, out: Path) -> str:
    """Make ``<out>/JPEGImages``, beside an annotation file, a link to the pictures, so that configs find them there;
    says where they are."""
    place = out.with_suffix('') / 'JPEGImages'
    first = next(name for video in videos.videos for name in video.file_names)
    for folder in (place, place.parent, out.parent / 'JPEGImages', out.parent):
        if (folder / first).is_file():
            return f'frames: {folder}'
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(videos.root, place, target_is_directory=True)
        return f'frames: {place}, a link to {videos.root}'
    except OSError:
        return (f'frames: {videos.root}; name it by --cfg-options train_dataloader.dataset.img_prefix={videos.root}, '
                f'or copy it to {place}')


def summary(videos: VideoSet) -> str:
    tracks = [track for video in videos.videos for track in video.tracks]
    num_frames = sum(len(video.file_names) for video in videos.videos)
    masks = sum(len(track.masks) for track in tracks)
    return (f'{len(videos.videos)} videos, {num_frames} frames, {len(tracks)} tracks with {masks} masks, '
            f'{len(videos.categories)} classes: {", ".join(map(printable, videos.categories))}')


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    inputs: List[Optional[Path]] = [args.source if args.source.is_file() else None, args.annotations]
    if args.to in _FILES:
        check_output(args.out, inputs)
    elif args.source.is_dir() and args.out.resolve() == args.source.resolve():
        raise InputError(f'--out {args.out} is the source: choose another folder.')
    if args.frames is not None and videos_in(args.frames):
        args.frames = frames_of_videos(args)
    if args.to == RESULTS:
        truth = read_truth(args.annotations, args.frames)
        found = FORMATS[args.format].read_results(args.source, truth)
        write_results(found, truth.categories, args.out)
        print(f'{args.out}: {sum(len(video.tracks) for video in found)} tracks in {len(found)} videos')
        return
    videos = read_source(args)
    start_from(videos, args.out.with_suffix('') / 'JPEGImages')
    notes = videos.notes + FORMATS[args.to].write(videos, args.out)
    print(f'{args.out}: {summary(videos)}')
    if args.to == 'ytvis' and videos.root is not None:
        print(link_frames(videos, args.out))
    for note in notes:
        print(printable(f'note: {note}'))


if __name__ == '__main__':
    run_tool(main)
