"""MOTS: a PNG of 16 bits a frame, or a text file a video (Voigtlaender et al., MOTS: Multi-Object Tracking and
Segmentation, CVPR 2019).

A number is 1000 times the class plus the object; 10000 is a region to be ignored. A line of a text file is ``frame
number class height width rle``. Classes are 1 car and 2 pedestrian, or those of ``categories.json`` ({"1": "car", ...})
beside, or of CVAT's ``instances/labels.txt``. The number in the name of a picture is the frame.
"""
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from mmvis.annotations import read_json
from mmvis.errors import InputError, InputMissingError, of_user_path, shown
from mmvis.structures import RLE, encode_mask
from mmvis.structures.input_file import check_regular_file
from mmvis.structures.output_file import check_output_folder, replacing, write_output
from mmvis.structures.rle_check import areas_of_good

from .davis import flatten, overlap_note, read_labels
from .pictures import Size, files_in, folders_in, frame_number, perhaps, picture_size, pictures_in
from .tracks import Id, LabeledVideo, TrackTable, VideoSet, json_text, masks_of_labels, set_file_names

KITTI = {1: 'car', 2: 'pedestrian'}
_IGNORE = 10
_PER_CLASS = 1000
_LABELS = 'labels.txt'  # of CVAT: a class a line


class Item(NamedTuple):
    """One mask of a source: ``where`` it stands, for sentences."""
    frame: int
    number: int
    class_id: int
    rle: RLE
    where: str


def read(source: Path, frames: Optional[Path]) -> VideoSet:
    """The videos of a folder or a text file.

    Raises:
        InputError: one sentence that names file, line or value.
    """
    names = _read_categories(source)
    found, notes, ignored = [], [], 0
    for name, place in _find_videos(source):
        paths = _find_pictures(name, place, source, frames)
        video, num_ignored = _read_video(name, place, paths, names)
        ignored += num_ignored
        found.append((video, paths))
    if ignored:
        notes.append(f'{ignored} regions to be ignored (class 10) were left out.')
    used = {track.category for video, _ in found for track in video.tracks}
    categories = {category: class_id for class_id, category in names.items() if category in used or names != KITTI}
    root = set_file_names(found, frames, found[0][1][0].parent.parent, source)
    return VideoSet(root, [video for video, _ in found], categories, notes)


def read_results(source: Path, videos: VideoSet) -> List[LabeledVideo]:
    """The tracks that a tool has found in some of ``videos``, by their names; scores are 1.

    Raises:
        InputError: one sentence that names file, line or value.
    """
    names = _read_categories(source)
    known = {video.name: video for video in videos.videos}
    known.update((Path(video.name).name, video) for video in videos.videos)
    found = []
    for name, place in _find_videos(source):
        if name not in known:
            raise InputError(f'{place}: there is no video {shown(name)} in the annotations; they have '
                             f'{shown([video.name for video in videos.videos])}.')
        truth = known[name]
        video, _ = _read_video(name, place, [Path(path) for path in truth.file_names], names, truth.size)
        for track in video.tracks:
            track.score = 1.
            if track.category not in videos.categories:
                raise InputError(f'{place}: the class {shown(track.category)} is not one of the annotations: '
                                 f'{shown(list(videos.categories))}; categories.json beside it names the classes.')
        found.append(LabeledVideo(truth.name, *truth.size, truth.file_names, video.tracks, truth.video_id))
    return found


def _find_videos(source: Path) -> List[Tuple[str, Path]]:
    """(name, text file or folder of PNG files) of the videos."""
    videos = _look(source)
    if not videos:
        raise InputMissingError(f'{source}: there are no masks of MOTS in it (instances/<video>/<frame>.png, '
                                f'<video>.txt or <video>/gt/gt.txt){perhaps(source, _look)}.')
    return videos


def _look(source: Path) -> List[Tuple[str, Path]]:
    if source.is_file():
        return [(_text_name(source), source)]
    for inner in ('instances', 'instances_txt'):
        if (source / inner).is_dir():
            return _look(source / inner)
    if (texts := [file for file in files_in(source, '.txt') if _is_table(file)]):
        return [(_text_name(file), file) for file in texts]
    if files_in(source, '.png'):
        place = source.resolve()
        return [(place.parent.name if place.name == 'instances' else place.name, source)]  # CVAT: one video
    videos = [(folder.name, folder) for folder in folders_in(source) if files_in(folder, '.png')]
    videos += [(folder.name, folder / 'gt' / 'gt.txt') for folder in folders_in(source)
               if (folder / 'gt' / 'gt.txt').is_file()]
    return videos


def _text_name(file: Path) -> str:
    return file.resolve().parents[1].name if file.name == 'gt.txt' else file.stem


def _is_table(file: Path) -> bool:
    return file.name not in (_LABELS, 'seqmap.txt', 'readme.txt', 'README.txt') and not file.name.endswith('.seqmap')


def _read_categories(source: Path) -> Dict[int, str]:
    folder = source if source.is_dir() else source.parent
    for place in (folder, folder.parent):
        path = place / 'categories.json'
        if path.is_file():
            data = read_json(path)
            if not isinstance(data, dict) or not all(key.isdecimal() and isinstance(name, str) and name
                                                     for key, name in data.items()):
                raise InputError(f'{path} is {shown(data)}, not a JSON object such as {{"1": "car"}}.')
            return {int(key): name for key, name in data.items()}
    for path in (folder / 'instances' / _LABELS, folder / _LABELS):
        if path.is_file():
            with of_user_path(path), open(path, encoding='utf-8', errors='replace') as lines:
                return dict(enumerate(filter(None, map(str.strip, lines)), start=1))
    return dict(KITTI)


def _find_pictures(name: str, place: Path, source: Path, frames: Optional[Path]) -> List[Path]:
    if frames is not None:
        folders = [frames / name, frames / name / 'img1', frames / 'images' / name, frames]
    else:
        base = source if source.is_dir() else source.parent
        folders = [up / inner / name for up in (base, base.parent)
                   for inner in ('images', 'image_02', 'training/image_02', 'JPEGImages')]
        folders += [place.parent.parent / 'img1', base.parent / name / 'img1', place.parent / 'images']
    for folder in folders:
        paths = pictures_in(folder)
        if paths and folder != place:
            return paths
    raise InputMissingError(f'{place}: the pictures of video {shown(name)} are in none of '
                            f'{", ".join(map(str, folders))}; name their folder by --frames.')


def _read_video(name: str, place: Path, paths: Sequence[Path], names: Dict[int, str],
                size: Optional[Size] = None) -> Tuple[LabeledVideo, int]:
    """The video, and how many regions to be ignored were left out; ``size``: where it is known."""
    numbers = [frame_number(path.name) for path in paths]
    if None in numbers or len(set(numbers)) < len(numbers):
        bad = paths[numbers.index(None)] if None in numbers else paths[0]
        raise InputError(f'video {shown(name)}: the names of the pictures ({bad.name}) do not number the frames.')
    position = {number: index for index, number in enumerate(numbers)}
    items = _read_text(place) if place.is_file() else _read_pngs(place)
    size = size or picture_size(paths[0])
    table, ignored = TrackTable(size, join=False), 0
    for item in items:
        if item.rle['size'] != list(size):
            height, width = item.rle['size']
            raise InputError(f'{item.where}: the mask is {width} x {height} pixels, but the frames of video '
                             f'{shown(name)} are {size.width} x {size.height}.')
        if item.frame not in position:
            raise InputError(f'{item.where}: there is no picture of frame {item.frame} of video {shown(name)} (they '
                             f'run from {paths[0].name} to {paths[-1].name}).')
        if item.class_id == _IGNORE and _IGNORE not in names:
            ignored += 1
            continue
        if item.class_id not in names:
            raise InputError(f'{item.where}: class {item.class_id} has no name: MOTS has 1 car and 2 pedestrian; write '
                             'others into categories.json beside the masks ({"3": "bicycle"}).')
        table.add((item.class_id, item.number), item.number, names[item.class_id], position[item.frame], item.rle,
                  item.where)
    return LabeledVideo(name, *size, [], table.tracks), ignored


def _read_pngs(folder: Path) -> Iterator[Item]:
    for file in files_in(folder, '.png'):
        labels, mode = read_labels(file)
        frame = frame_number(file.name)
        if frame is None:
            raise InputError(f'{file}: its name does not number the frame.')
        for value, rle in masks_of_labels(labels).items():
            if value < _PER_CLASS:
                raise InputError(f'{file}: the value {value} is no object of MOTS, which has 1000 times the class plus '
                                 f'the object{" (palette PNG: davis)" if mode == "P" else ""}.')
            yield Item(frame, value, value // _PER_CLASS, rle, str(file))


def _read_text(file: Path) -> Iterator[Item]:
    check_regular_file(file, 'a text file of MOTS')
    with of_user_path(file), open(file, encoding='ascii', errors='replace') as lines:
        for number, line in enumerate(lines, start=1):
            fields, where = line.split(), f'{file}: line {number}'
            if not fields:
                continue
            if len(fields) != 6:
                comma = ': boxes of MOTChallenge have no masks' if ',' in line else ''
                raise InputError(f'{where}: {shown(line.strip())} has {len(fields)} fields, not frame, object, class, '
                                 f'height, width and RLE{comma}.')
            for name, text in zip(('frame', 'object', 'class', 'height', 'width'), fields):
                if not (text.isascii() and text.isdecimal() and len(text) < 10):
                    raise InputError(f'{where}: {name} is {shown(text)}, not a whole number.')
            frame, label, class_id, height, width = map(int, fields[:5])
            if not height or not width or areas_of_good([fields[5]], np.array([height * width])) is None:
                raise InputError(f'{where}: {shown(fields[5])} is no RLE of {height} x {width} pixels.')
            yield Item(frame, label, class_id, RLE(size=[height, width], counts=fields[5]), where)


def write(videos: VideoSet, out: Path) -> List[str]:
    """``out/instances/<video>/<frame>.png`` (16 bits), ``out/instances_txt/<video>.txt`` and ``out/categories.json``.

    A pixel belongs to one object: see ``davis.flatten``.

    Raises:
        InputError: more classes or objects than 16 bits have room for.
    """
    check_output_folder(out)
    ids = _class_ids(videos.categories)
    overlap = 0
    for video in videos.videos:
        values = _values(video, ids)
        lines: List[str] = []
        numbers = [frame_number(name) for name in video.file_names]
        if None in numbers or len(set(numbers)) < len(numbers):
            numbers = list(range(len(numbers)))
        for frame, name in enumerate(video.file_names):
            labels, hidden = flatten(video, frame)
            overlap += hidden
            picture = values[labels].astype(np.uint16)
            with replacing(out / 'instances' / video.name / f'{Path(name).stem}.png') as temporary:
                Image.fromarray(picture).save(temporary, format='PNG')
            for number in np.unique(labels[labels > 0]).tolist():
                rle = encode_mask(labels == number)
                lines.append(f'{numbers[frame]} {values[number]} {values[number] // _PER_CLASS} {video.height} '
                             f'{video.width} {rle["counts"]}\n')
        write_output(out / 'instances_txt' / f'{video.name}.txt', ''.join(lines))
    write_output(out / 'categories.json', json_text({str(number): name for name, number in ids.items()}))
    return overlap_note(overlap)


def _class_ids(categories: Dict[str, Id]) -> Dict[str, int]:
    """The id of each class; where they do not fit (texts, 0, 10, above 64) they are counted from 1, 10 left out."""
    if all(type(value) is int and 0 < value < 65 and value != _IGNORE for value in categories.values()):
        return dict(categories)
    free = [number for number in range(1, 65) if number != _IGNORE]
    if len(categories) > len(free):
        raise InputError(f'{len(categories)} classes: 16 bits of MOTS have room for {len(free)}.')
    return dict(zip(categories, free))


def _values(video: LabeledVideo, ids: Dict[str, int]) -> np.ndarray:
    """The number in the PNG of each track, by its place in the video from 1."""
    counts: Dict[str, int] = {}
    values = np.zeros(len(video.tracks) + 1, np.int64)
    for number, track in enumerate(video.tracks, start=1):
        counts[track.category] = counts.get(track.category, 0) + 1
        if counts[track.category] >= _PER_CLASS:
            raise InputError(f'video {shown(video.name)} has more than 999 tracks of class {shown(track.category)}: '
                             'MOTS has no numbers for more.')
        values[number] = ids[track.category] * _PER_CLASS + counts[track.category]
    return values
