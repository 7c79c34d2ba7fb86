"""Folders of PNG masks, one number an object: DAVIS, YouTube-VOS, and what SAM 2 and XMem write.

``SOURCE`` is the set (with ``Annotations`` and ``JPEGImages``, a level such as ``480p`` between or not), a folder of
videos, or the folder of one video. 0 is background and 255 is void, but for the two-valued files of DAVIS 2016, in
which 255 is the object. Frames are the pictures that have a PNG. Classes come from ``meta.json`` (YouTube-VOS) or
``davis_semantics.json`` beside; without them every object is an 'object'.
"""
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from mmvis.annotations import read_json
from mmvis.errors import InputError, InputMissingError, of_user_path, shown
from mmvis.structures import decode_rle
from mmvis.structures.output_file import check_output_folder, replacing, write_output

from .pictures import Size, files_in, folders_in, perhaps, picture_size, pictures_in
from .tracks import (
    LabeledVideo,
    TrackTable,
    VideoSet,
    json_text,
    mask_area,
    masks_of_labels,
    number_categories,
    set_file_names,
    used_categories,
)

VOID = 255
_NO_CLASS = 'object'


def read(source: Path, frames: Optional[Path]) -> VideoSet:
    """The videos of a folder.

    Raises:
        InputError: one sentence that names file and value.
    """
    folders = find_videos(source)
    classes = _read_classes(source)
    found, notes = [], []
    for name, folder in folders:
        found.append(_read_video(name, folder, frames, classes, notes))
    root = set_file_names(found, frames, found[0][1][0].parent.parent, source)
    videos = [video for video, _ in found]
    if classes is None:
        notes.append(f"There is no meta.json or davis_semantics.json: every object has the class '{_NO_CLASS}'.")
    return VideoSet(root, videos, number_categories(used_categories(videos)), notes)


def find_videos(source: Path) -> List[Tuple[str, Path]]:
    """(name, folder) of the videos: folders with PNG files."""
    if source.is_file():
        raise InputError(f'{source} is a file: a folder of PNG masks is needed.')
    videos = _look(source)
    if not videos:
        raise InputMissingError(f'{source}: there is no folder of PNG masks in it (Annotations/<video>/<frame>.png)'
                                f'{perhaps(source, _look)}.')
    return videos


def _look(source: Path) -> List[Tuple[str, Path]]:
    inner = [folder for folder in folders_in(source) if folder.name.startswith('Annotations')]
    top = min(inner, key=lambda folder: folder.name, default=source)  # Annotations before Annotations_unsupervised
    if files_in(top, '.png'):
        return [(top.resolve().name, top)]
    inner = folders_in(top)
    levels = [folder for folder in inner if not files_in(folder, '.png')]
    if levels and len(levels) == len(inner):  # Annotations/480p, beside it perhaps Full-Resolution
        inner = folders_in(next((folder for folder in levels if folder.name == '480p'), levels[0]))
    return [(folder.name, folder) for folder in inner if files_in(folder, '.png')]


def read_labels(path: Path) -> Tuple[np.ndarray, str]:
    """The numbers of a PNG, [h, w], and the mode that Pillow has for it.

    Raises:
        InputError: no picture, or one of colours.
    """
    picture_size(path)
    with of_user_path(path), Image.open(path) as picture:
        mode = picture.mode
        if mode not in ('1', 'L', 'P', 'I;16', 'I;16B', 'I'):
            raise InputError(f'{path}: the picture has colours (mode {mode}): a mask is a PNG with a palette or with '
                             'one grey value an object.')
        try:
            return np.array(picture, dtype=np.int32), mode
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f'{path} is damaged: {error}.') from None


def _read_video(name: str, folder: Path, frames: Optional[Path], classes: Optional[Dict[str, Dict[str, str]]],
                notes: List[str]) -> Tuple[LabeledVideo, List[Path]]:
    files = files_in(folder, '.png')
    paths = find_pictures(name, folder, files, frames)
    labels, modes = [], set()
    for file, path in zip(files, paths):
        numbers, mode = read_labels(file)
        size = picture_size(path)
        if numbers.shape != size:
            raise InputError(f'{file} is {numbers.shape[1]} x {numbers.shape[0]} pixels, but its frame {path} is '
                             f'{size.width} x {size.height}.')
        if labels and numbers.shape != labels[0][0]:
            raise InputError(f'video {shown(name)}: {file} has another size than {files[0]}: the frames of a video '
                             'have one size.')
        if numbers.max(initial=0) > VOID:
            raise InputError(f'{file}: the value {numbers.max()} is above 255: with 16 bits it may be MOTS (mots).')
        labels.append((numbers.shape, masks_of_labels(numbers)))
        modes.add(mode)
    is_binary = 'P' not in modes and all(set(masks) <= {VOID} for _, masks in labels)
    if is_binary:
        notes.append(f'video {name}: 0 and 255 are the only values, and there is no palette: 255 is taken as the '
                     'object (DAVIS 2016).')
    table = TrackTable(Size(*labels[0][0]), join=False)
    for frame, (_, masks) in enumerate(labels):
        for number, rle in masks.items():
            if is_binary:
                number = 1
            elif number == VOID:
                continue
            table.add(number, number, _class_of(classes, name, number, files[frame]), frame, rle, str(files[frame]))
    return LabeledVideo(name, *labels[0][0], [], table.tracks), paths


def find_pictures(name: str, folder: Path, files: Sequence[Path], frames: Optional[Path]) -> List[Path]:
    """The picture of each mask: the file of the same stem in the folder of the video among the frames."""
    if frames is not None:
        folders = [frames / name, frames / 'JPEGImages' / name, frames / '480p' / name, frames / 'img1',
                   frames / name / 'img1', frames]
    else:
        parts = list(folder.absolute().parts)
        folders = [Path(*parts[:i], 'JPEGImages', *parts[i + 1:]) for i, part in enumerate(parts)
                   if part.startswith('Annotations')]  # Annotations_unsupervised has the pictures of Annotations
        folders += [folder.parent.parent / 'JPEGImages' / name, folder.parent / 'JPEGImages' / name]
    for place in folders:
        by_stem = {path.stem: path for path in pictures_in(place)}
        if files[0].stem in by_stem:
            for file in files:
                if file.stem not in by_stem:
                    raise InputMissingError(f'{file}: its frame {file.stem} is not in {place}.')
            return [by_stem[file.stem] for file in files]
    objects = (f' (if the folders of {folder.parent} are objects, as SAM 2 makes them with --per_obj_png_file: one PNG a '
               'frame for all objects is needed)' if name.isdecimal() else '')
    raise InputMissingError(f'{files[0]}: its frame {files[0].stem} is in none of {", ".join(map(str, folders))}; name '
                            f'the folder of the pictures by --frames{objects}.')


def _read_classes(source: Path) -> Optional[Dict[str, Dict[str, str]]]:
    """Name of the class by video and number; None where nothing tells them."""
    for folder in (source, source / 'Annotations', *source.absolute().parents[:3]):
        for file in ('meta.json', 'davis_semantics.json'):
            path = folder / file
            if path.is_file():
                return _classes_of(read_json(path), path)
    return None


def _classes_of(data: Any, path: Path) -> Dict[str, Dict[str, str]]:
    videos = data.get('videos', data) if isinstance(data, dict) else None
    if not isinstance(videos, dict):
        raise InputError(f'{path}: videos is {shown(videos)}, not a JSON object with an entry a video.')
    classes: Dict[str, Dict[str, str]] = {}
    for name, entry in videos.items():
        objects = entry.get('objects', entry) if isinstance(entry, dict) else None
        if not isinstance(objects, dict):
            raise InputError(f'{path}: video {shown(name)} has {shown(entry)}, not its objects.')
        classes[name] = {}
        for number, value in objects.items():
            category = value.get('category') if isinstance(value, dict) else value
            if not isinstance(category, str) or not category:
                raise InputError(f'{path}: video {shown(name)}: object {shown(number)}: category is {shown(category)}, '
                                 'not the name of a class.')
            classes[name][number] = category
    return classes


def _class_of(classes: Optional[Dict[str, Dict[str, str]]], video: str, number: int, file: Path) -> str:
    if classes is None:
        return _NO_CLASS
    if video not in classes or str(number) not in classes[video]:
        raise InputError(f'{file}: object {number} of video {shown(video)} is not in the table of classes '
                         '(meta.json or davis_semantics.json).')
    return classes[video][str(number)]


def write(videos: VideoSet, out: Path) -> List[str]:
    """``out/Annotations/<video>/<frame>.png`` with a palette, and ``out/meta.json`` with the classes.

    Where objects overlap, the smaller one is in front.
    """
    check_output_folder(out)
    table: Dict[str, Any] = {}
    overlap = 0
    for video in videos.videos:
        if len(video.tracks) >= VOID:
            raise InputError(f'video {shown(video.name)} has {len(video.tracks)} tracks: a palette has room for 254.')
        numbers = dict(enumerate(video.tracks, start=1))
        for frame, name in enumerate(video.file_names):
            labels, hidden = flatten(video, frame)
            overlap += hidden
            picture = Image.fromarray(labels.astype(np.uint8), mode='P')
            picture.putpalette(_palette())
            target = out / 'Annotations' / video.name / f'{Path(name).stem}.png'
            with replacing(target) as temporary:
                picture.save(temporary, format='PNG')
        table[video.name] = dict(objects={str(number): dict(category=track.category, frames=[
            Path(video.file_names[frame]).stem for frame in sorted(track.masks)]) for number, track in numbers.items()})
    write_output(out / 'meta.json', json_text(dict(videos=table)))
    return overlap_note(overlap)


def flatten(video: LabeledVideo, frame: int) -> Tuple[np.ndarray, int]:
    """Numbers of tracks from 1, int32 [h, w], the higher score (then the smaller mask) in front; and pixels hidden."""
    labels, total = np.zeros(video.size, np.int32), 0
    there = [(number, track) for number, track in enumerate(video.tracks, start=1) if frame in track.masks]
    areas = {number: mask_area(track.masks[frame]) for number, track in there}
    for number, track in sorted(there, key=lambda item: (item[1].score or 0., -areas[item[0]])):
        labels[decode_rle(track.masks[frame]).astype(bool)] = number
        total += areas[number]
    return labels, total - int((labels > 0).sum())


def overlap_note(pixels: int) -> List[str]:
    if not pixels:
        return []
    return [f'{pixels} pixels belong to several objects, and a PNG has room for one: the higher score, then the '
            'smaller object is in front.']


def _palette() -> List[int]:
    """The colours of PASCAL VOC and DAVIS: the bits of the number, spread over red, green and blue."""
    colours = []
    for number in range(256):
        colour = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                colour[channel] |= (number >> channel & 1) << 7 - bit
            number >>= 3
        colours += colour
    return colours
