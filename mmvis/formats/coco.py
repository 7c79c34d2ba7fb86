"""COCO with a record a frame: ``track_id`` (``instance_id`` of CocoVID and BDD100K, ``attributes.track_id`` of CVAT)
names the object, ``video_id`` the video of an image; without one the folder in its ``file_name`` does.

Frames are in the order of ``frame_id`` (``frame_index`` of TAO), else of their names.
"""
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from mmvis.annotations import read_json
from mmvis.annotations.fields import as_id, as_integer, is_finite, read_masks
from mmvis.annotations.foreign import track_id_of
from mmvis.annotations.reader import Content, check_content
from mmvis.errors import InputError, InputMissingError, shown
from mmvis.structures import RLE
from mmvis.structures.output_file import write_output
from mmvis.structures.rle_check import areas_of_good
from mmvis.structures.rle_decode import counts_string

from .pictures import Size, files_in, natural_order, perhaps, picture_size
from .tracks import (
    Id,
    LabeledVideo,
    Track,
    TrackTable,
    VideoSet,
    as_rle,
    has_pixel,
    json_text,
    mask_area,
    mask_box,
    number_categories,
)

_ORDER = ('frame_id', 'frame_index', 'frame_idx')


def read(source: Path, frames: Optional[Path]) -> VideoSet:
    """The videos of a file, or of all files of a folder.

    Raises:
        InputError: one sentence that names file, record, field and value.
    """
    if not source.is_dir():
        return _read_file(source, frames, prefix='')
    files = _files_of(source)
    if not files:
        raise InputMissingError(f'{source}: there is no JSON file in it{perhaps(source, _files_of)}.')
    if len(files) == 1:
        return _read_file(files[0], frames, prefix='')
    sets = [_read_file(file, frames, prefix=f'{file.stem}/') for file in files]
    roots = {part.root for part in sets}
    if len(roots) > 1:
        raise InputError(f'{source}: the pictures of its files lie in several folders ({", ".join(map(str, roots))}): '
                         'convert the files one by one.')
    videos = [video for part in sets for video in part.videos]
    for video in videos:
        video.video_id = None  # those of one file are not those of another
    tables = [part.categories for part in sets]
    categories = tables[0] if all(table == tables[0] for table in tables) \
        else number_categories([name for table in tables for name in table])
    return VideoSet(roots.pop(), videos, categories, [note for part in sets for note in part.notes])


def _files_of(folder: Path) -> List[Path]:
    return files_in(folder / 'annotations' if (folder / 'annotations').is_dir() else folder, '.json')


def _read_file(file: Path, frames: Optional[Path], prefix: str) -> VideoSet:
    data = read_json(file)
    if not isinstance(data, dict) or not isinstance(data.get('images'), list):
        raise InputError(f"{file} is no file of COCO: the list 'images' is missing"
                         f'{" (a list of results is converted with --to results)" if isinstance(data, list) else ""}.')
    images = [dict(image) if isinstance(image, dict) else image for image in data['images']]
    root, depth = _find_root(file, images, frames)
    _complete(file, images, root, depth)
    _refuse_boxes(file, data)
    content = check_content({**{key: value for key, value in data.items() if key != 'videos'}, 'images': images},
                            str(file))
    categories: Dict[str, Id] = {}
    for category_id, name in content.categories:
        if name in categories:
            raise InputError(f'{file}: categories {shown(categories[name])} and {shown(category_id)} have the same '
                             f'name, {shown(name)}.')
        categories[name] = category_id
    groups = _group(file, data, images)
    tables = _read_tracks(file, data, content, groups)
    videos = []
    for name, (video_id, members) in groups.items():
        size = _one_size(file, name, images, members)
        names = [_below(images[i]['file_name'], depth) for i in members]
        videos.append(LabeledVideo(prefix + name, *size, names, tables[name].tracks, video_id,
                                   [images[i]['id'] for i in members]))
    notes = [] if root else ['The pictures were not found beside the file: name their folder by --frames before '
                             'training (evaluation needs none).']
    return VideoSet(root, videos, categories, notes)


def _find_root(file: Path, images: Sequence[Any], frames: Optional[Path]) -> Tuple[Optional[Path], int]:
    """The folder of the pictures, and how many folders of a ``file_name``, such as those of another machine, are not in
    it; ``file_name`` is brought into the form with '/'.
    """
    for image in images:
        if isinstance(image, dict) and isinstance(image.get('file_name'), str):
            image['file_name'] = image['file_name'].replace('\\', '/')
    names = [image['file_name'] for image in images
             if isinstance(image, dict) and isinstance(image.get('file_name'), str)]
    if not names:
        return frames, 0
    beside = file.parent
    folders = [frames] if frames else [beside / 'images', beside, beside.parent / 'images', beside.parent,
                                       beside / file.stem, beside.parent / file.stem, beside / 'JPEGImages',
                                       beside.parent / 'JPEGImages', beside / file.stem / 'JPEGImages']
    for folder in folders:
        for depth in range(names[0].count('/') + 1):
            if any((folder / _below(name, depth)).is_file() for name in (names[0], names[-1])) and (
                    not depth or len({_below(name, depth) for name in names}) == len(names)):
                return folder.absolute(), depth
    if frames:
        raise InputMissingError(f'{file}: the picture {shown(names[0])} of the first image is not in {frames}.')
    return None, 0


def _below(name: str, depth: int) -> str:
    """A name without its first folders."""
    return name.split('/', depth)[-1] if depth else name


def _complete(file: Path, images: Sequence[Any], root: Optional[Path], depth: int) -> None:
    """Sizes of the pictures where the file has none."""
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get('file_name'), str):
            continue
        if image.get('height') is None or image.get('width') is None:
            if root is None:
                raise InputError(f'{file}: image {shown(image.get("id"))} has no height and width, and its picture is '
                                 'not beside the file: name the folder by --frames.')
            image['height'], image['width'] = picture_size(root / _below(image['file_name'], depth))
        elif root is not None and not (root / _below(image['file_name'], depth)).is_file():
            raise InputMissingError(f'{file}: image {shown(image.get("id"))}: the picture {shown(image["file_name"])} '
                                    f'is not in {root}.')


def _refuse_boxes(file: Path, data: Dict[str, Any]) -> None:
    records = data.get('annotations')
    records = records if isinstance(records, list) else []
    without = [record for record in records
               if isinstance(record, dict) and not record.get('segmentation') and record.get('bbox')]
    if without and len(without) == len(records):
        raise InputError(f'{file}: all {len(without)} annotations have a bbox and no segmentation: boxes say nothing '
                         'of the masks that are learned here.')
    if without:
        raise InputError(f'{file}: annotation {shown(without[0].get("id"))} has a bbox and no segmentation '
                         f'({len(without)} have): every object of a frame needs its mask.')


def _group(file: Path, data: Dict[str, Any], images: List[Dict[str, Any]]) -> Dict[str, Tuple[Optional[Id], List[int]]]:
    """Id and images, in order of time, of each video by its name."""
    names = _video_names(file, data)
    groups: Dict[str, Tuple[Optional[Id], List[int]]] = {}
    for position, image in enumerate(images):
        video_id = image.get('video_id')
        folder = image['file_name'].rpartition('/')[0]
        if video_id is None:
            name = folder or file.stem
        elif as_id(video_id) is None:
            raise InputError(f'{file}: image {shown(image["id"])}: video_id is {shown(video_id)}, neither a whole '
                             'number nor a text.')
        elif names and as_id(video_id) not in names:
            raise InputError(f'{file}: image {shown(image["id"])}: video_id {shown(video_id)} is not in the list of '
                             'videos.')
        else:
            video_id = as_id(video_id)
            name = names.get(video_id) or str(video_id)
        known_id, members = groups.setdefault(name, (video_id, []))
        if known_id != video_id:
            raise InputError(f'{file}: videos {shown(known_id)} and {shown(video_id)} have the same name, '
                             f'{shown(name)}.')
        members.append(position)
    for name, (_, members) in groups.items():
        _sort(file, name, images, members)
    return groups


def _video_names(file: Path, data: Dict[str, Any]) -> Dict[Id, str]:
    names: Dict[Id, str] = {}
    for position, record in enumerate(data.get('videos') or []):
        video_id = as_id(record.get('id')) if isinstance(record, dict) else None
        if video_id is None:
            raise InputError(f'{file}: entry number {position} of videos is {shown(record)}, without an id.')
        name = record.get('name') or record.get('file_name') or ''
        if not isinstance(name, str):
            raise InputError(f'{file}: video {shown(video_id)}: name is {shown(name)}, not a text.')
        names[video_id] = name.replace('\\', '/').strip('/')
    return names


def _sort(file: Path, name: str, images: List[Dict[str, Any]], members: List[int]) -> None:
    """Bring the images of a video into the order of time."""
    field = next((field for field in _ORDER if all(field in images[i] for i in members)), None)
    if field is None:
        order = {text: number for number, text in enumerate(natural_order({images[i]['file_name'] for i in members}))}
        members.sort(key=lambda i: order[images[i]['file_name']])
        twins = [images[i]['file_name'] for i in members]
        field = 'file_name'
    else:
        for i in members:
            if as_integer(images[i][field]) is None:
                raise InputError(f'{file}: image {shown(images[i]["id"])}: {field} is {shown(images[i][field])}, not a '
                                 'whole number.')
        members.sort(key=lambda i: as_integer(images[i][field]))
        twins = [as_integer(images[i][field]) for i in members]
    for first, second, a, b in zip(twins, twins[1:], members, members[1:]):
        if first == second:
            raise InputError(f'{file}: images {shown(images[a]["id"])} and {shown(images[b]["id"])} of video '
                             f'{shown(name)} have the same {field}, {shown(first)}.')


def _one_size(file: Path, name: str, images: List[Dict[str, Any]], members: List[int]) -> Size:
    sizes = [Size(as_integer(images[i]['height']), as_integer(images[i]['width'])) for i in members]
    for i, size in zip(members, sizes):
        if size != sizes[0]:
            raise InputError(f'{file}: image {shown(images[i]["id"])} is {size.width} x {size.height} pixels, but '
                             f'video {shown(name)} begins with {sizes[0].width} x {sizes[0].height}: the frames of a '
                             'video have one size.')
    return sizes[0]


def _read_tracks(file: Path, data: Dict[str, Any], content: Content,
                 groups: Dict[str, Tuple[Optional[Id], List[int]]]) -> Dict[str, TrackTable]:
    frame_of = {position: (name, frame) for name, (_, members) in groups.items()
                for frame, position in enumerate(members)}
    tables = {name: TrackTable(Size(*content.videos[members[0]][1:3]), join=False)
              for name, (_, members) in groups.items()}
    for a, record in enumerate(data.get('annotations') or []):
        where = f'{file}: annotation {shown(content.object_ids[a])}'
        name, frame = frame_of[int(content.object_videos[a])]
        category = content.categories[int(content.object_categories[a])][1]
        track_id = track_id_of(record)
        # CVAT marks so what was drawn with its brush; its track_id stands among the attributes.
        is_brushed = track_id is not None and isinstance(record.get('attributes'), dict)
        crowd = content.object_crowd[a] == 1 and not is_brushed
        if track_id is None and not crowd:
            raise InputError(f'{where}: there is no track_id (nor instance_id): it says which object of the video this '
                             'is. Images without tracks are read as they are (docs/data_formats.md: COCO of images).')
        counts = content.masks[a]
        if counts is None:
            continue
        rle = as_rle(counts_string(counts, *tables[name].size), tables[name].size)
        key = ('crowd', category, track_id, frame) if crowd else track_id
        tables[name].add(key, track_id if track_id is not None else 0, category, frame, rle, where, crowd)
    return tables


# -- results

def read_results(source: Path, videos: VideoSet) -> List[LabeledVideo]:
    """The tracks of a list of COCO results, one entry a mask: ``image_id``, ``category_id``, ``segmentation``,
    ``score`` and ``track_id``.

    ``image_id`` is that of the images of ``videos``, where they have ids, or the name of a frame. The class of a track
    is the one with the highest sum of scores, its score the mean over its masks.

    Raises:
        InputError: one sentence that names entry, field and value.
    """
    entries = read_json(source)
    if not isinstance(entries, list):
        raise InputError(f'{source}: results of COCO are a list with an entry a mask, this is {shown(entries)}.')
    frame_of: Dict[Id, Tuple[LabeledVideo, int]] = {}
    for video in videos.videos:
        for frame, name in enumerate(video.file_names):
            frame_of[name] = video, frame
            if video.image_ids:
                frame_of[video.image_ids[frame]] = video, frame
    name_of = {category_id: name for name, category_id in videos.categories.items()}
    places = [_place(entry, f'{source}: entry {number}', frame_of, name_of) for number, entry in enumerate(entries)]
    sizes = np.array([video.size for video, _ in places], np.int64).reshape(-1, 2)
    masks = read_masks([entry['segmentation'] for entry in entries], sizes[:, 0], sizes[:, 1], 'segmentation',
                       lambda number: f'{source}: entry {number}')
    rows: Dict[str, Dict[Id, List[Tuple[int, str, float, RLE]]]] = defaultdict(lambda: defaultdict(list))
    for number, (entry, (video, frame), counts) in enumerate(zip(entries, places, masks)):
        if counts is None:
            continue
        rle = _checked(counts, video.size, f'{source}: entry {number}')
        if has_pixel(rle):
            rows[video.name][track_id_of(entry)].append((frame, name_of[entry['category_id']], entry['score'], rle))
    return [LabeledVideo(video.name, *video.size, video.file_names,
                         [_join(source, track_id, found) for track_id, found in rows[video.name].items()],
                         video.video_id) for video in videos.videos]


def _place(entry: Any, where: str, frame_of: Dict[Id, Tuple[LabeledVideo, int]],
           name_of: Dict[Id, str]) -> Tuple[LabeledVideo, int]:
    """Video and frame of an entry, whose fields are checked."""
    if not isinstance(entry, dict):
        raise InputError(f'{where} is {shown(entry)}, not a JSON object.')
    for field in ('image_id', 'category_id', 'segmentation', 'score'):
        if field not in entry:
            raise InputError(f"{where} has no '{field}'"
                             f'{": boxes have no masks" if field == "segmentation" and "bbox" in entry else ""}.')
    if track_id_of(entry) is None:
        raise InputError(f'{where} has no track_id: it says which object of the video this is.')
    image_id, category_id = as_id(entry['image_id']), as_id(entry['category_id'])
    if image_id not in frame_of:
        raise InputError(f'{where}: image_id {shown(entry["image_id"])} is no image of the annotations (ids of images '
                         'of COCO, or names of frames).')
    if category_id not in name_of:
        raise InputError(f'{where}: category_id {shown(entry["category_id"])} is not one of the annotations: '
                         f'{shown(list(name_of))}.')
    if not is_finite(entry['score']):
        raise InputError(f'{where}: score is {shown(entry["score"])}, not a finite number.')
    return frame_of[image_id]


def _checked(counts: Any, size: Size, where: str) -> RLE:
    if isinstance(counts, np.ndarray) and (counts.sum() != size.height * size.width or (counts < 0).any()):
        raise InputError(f'{where}: the runs of segmentation do not fill {size.height} x {size.width} pixels.')
    text = counts_string(counts, *size)
    if areas_of_good([text.decode('utf-8', 'replace')], np.array([size.height * size.width])) is None:
        raise InputError(f'{where}: counts of segmentation is no RLE of {size.height} x {size.width} pixels.')
    return as_rle(text, size)


def _join(source: Path, track_id: Id, found: Sequence[Tuple[int, str, float, RLE]]) -> Track:

    sums: Dict[str, float] = defaultdict(float)
    masks: Dict[int, RLE] = {}
    for frame, category, score, rle in found:
        sums[category] += score
        if frame in masks:
            raise InputError(f'{source}: track {shown(track_id)} has two masks in frame {frame}.')
        masks[frame] = rle
    return Track(track_id, max(sums, key=sums.get), masks, score=float(np.mean([row[2] for row in found])))


# -- writing

def write(videos: VideoSet, out: Path) -> List[str]:
    """One file: ``videos``, ``images`` with ``video_id`` and ``frame_id``, annotations with ``track_id`` (and
    ``instance_id``, the name that CocoVID has for it), RLEs."""
    images, annotations, records = [], [], []
    number = 0
    for position, video in enumerate(videos.videos, start=1):
        video_id = position if video.video_id is None else video.video_id
        records.append(dict(id=video_id, name=video.name, width=video.width, height=video.height))
        first = len(images) + 1
        for frame, name in enumerate(video.file_names):
            images.append(dict(id=first + frame, video_id=video_id, frame_id=frame, file_name=name, width=video.width,
                               height=video.height))
        for track in video.tracks:
            number += 1
            for frame, rle in sorted(track.masks.items()):
                entry = dict(id=len(annotations) + 1, image_id=first + frame, video_id=video_id, track_id=number,
                             instance_id=number, category_id=videos.categories[track.category],
                             iscrowd=int(track.crowd), bbox=mask_box(rle), area=mask_area(rle), segmentation=rle)
                if track.score is not None:
                    entry['score'] = track.score
                annotations.append(entry)
    categories = [dict(id=category_id, name=name) for name, category_id in videos.categories.items()]
    write_output(out, json_text(dict(videos=records, images=images, categories=categories, annotations=annotations)))
    return []
