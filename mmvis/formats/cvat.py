"""CVAT for video 1.1 and CVAT for images 1.1: an XML file of a task, a job or a project, or a folder of such files.

A track of CVAT is a track; tracks of one label and one ``group_id`` are parts of one object. Shapes that are
``outside`` are left out. Between two shapes CVAT moves polygons, boxes and ellipses, and holds the last of them to the
end of the video where nothing says ``outside``; masks it does neither move nor hold. Files of CVAT hold what it has
moved (``keyframe="0"``), so this matters for files with keyframes alone. In files of images an object is named by
``group_id`` or by an attribute ``track_id``.
"""
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from xml.sax.saxutils import quoteattr

import numpy as np

from mmvis.errors import InputError, InputMissingError, of_user_path, shown
from mmvis.structures.input_file import check_regular_file
from mmvis.structures.output_file import check_output_folder, open_output

from .cvat_shapes import GOOD_SHAPES, Shape, between, draw, read_shape
from .pictures import Size, files_in, frame_number, picture_size, pictures_in, walk
from .shapes import outline
from .tracks import (
    LabeledVideo,
    ShapeCount,
    TrackTable,
    VideoSet,
    check_sizes,
    number_categories,
    set_file_names,
    used_categories,
)

_TRACK_ATTRIBUTES = ('track_id', 'track id', 'trackid', 'instance_id', 'object_id', 'id')


class Task(NamedTuple):
    """A task or job of the file: one video of CVAT for video.

    ``names``: what the folder of its frames may be called; ``frames``: numbers of CVAT; None where nothing tells them.
    """
    task_id: str
    names: Tuple[str, ...]
    frames: Optional[List[int]]
    size: Optional[Size]


def read(source: Path, frames: Optional[Path]) -> VideoSet:
    """The videos of a file or of all files of a folder.

    Raises:
        InputError: one sentence that names file, track or image, frame and value.
    """
    files = [source] if not source.is_dir() else [file for folder in walk(source) for file in files_in(folder, '.xml')]
    if not files:
        raise InputMissingError(f'{source}: there is no XML file in it.')
    count, notes, found, labels = ShapeCount(), [], [], []
    for file in files:
        found += _read_file(file, frames, len(files) == 1, count, notes, labels)
    notes = count.notes(source) + notes
    videos = [video for video, _ in found]
    names = [video.name for video in videos]
    twin = next((name for name in names if names.count(name) > 1), None)
    if twin is not None:
        raise InputError(f'{source}: two videos are called {shown(twin)}: rename the file or the task.')
    _refuse_shared(source, found)
    root = None
    if all(paths for _, paths in found):
        root = set_file_names(found, frames, source if source.is_dir() else source.parent)
    elif not any(paths for _, paths in found):
        notes.append('There are no pictures beside the file: name their folder by --frames before training (evaluation '
                     'needs none).')
    else:
        bare = next(video.name for video, paths in found if not paths)
        raise InputMissingError(f'{source}: the pictures of video {shown(bare)} are not there, those of others are; '
                                'name the folder of all by --frames.')
    return VideoSet(root, videos, number_categories(labels or used_categories(videos)), notes)


def _refuse_shared(source: Path, found: Sequence[Tuple[LabeledVideo, List[Path]]]) -> None:
    """Tasks number their frames alike, and one folder has room for those of one. (Jobs of a task, which may share some
    frames, begin with others.)"""
    owner: Dict[Path, str] = {}
    for video, paths in found:
        if paths and owner.setdefault(paths[0], video.name) != video.name:
            raise InputError(f'{source}: {paths[0]} is the first picture of {shown(owner[paths[0]])} and of '
                             f'{shown(video.name)}: give the pictures of each task a folder that is called like the '
                             'task.')


def _read_file(file: Path, frames: Optional[Path], alone: bool, count: ShapeCount, notes: List[str],
               labels: List[str]) -> List[Tuple[LabeledVideo, List[Path]]]:
    check_regular_file(file, 'an XML file of CVAT')
    try:
        with of_user_path(file):
            root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        zipped = ': unpack the ZIP file first' if file.read_bytes()[:2] == b'PK' else ''
        raise InputError(f'{file} is no XML file ({error}){zipped}.') from None
    if root.tag != 'annotations':
        raise InputError(f'{file} is no file of CVAT: it begins with <{root.tag}>, not with <annotations>.')
    meta = root.find('meta')
    labels += [name for label in (() if meta is None else meta.iter('label'))
               if label.find('parent') is None and (name := (label.findtext('name') or '').strip())]
    tags = sum(1 for _ in root.iter('tag'))
    if tags:
        notes.append(f'{file}: {tags} tags of frames were left out.')
    _refuse_shapes(file, root)
    if root.find('image') is not None:
        if root.find('track') is not None:
            raise InputError(f'{file} has images and tracks: a file of CVAT has one of them.')
        return _read_images(file, root, frames, count)
    return [_read_video(file, root, task, frames, alone, count, notes) for task in _read_tasks(file, root)]


def _refuse_shapes(file: Path, root: ElementTree.Element) -> None:
    for owner in root:
        for shape in owner if owner.tag in ('track', 'image') else ():
            if shape.tag in ('polyline', 'points', 'cuboid', 'skeleton'):
                place = f'track {shown(owner.get("id"))}, frame {shown(shape.get("frame"))}' if owner.tag == 'track' \
                    else f'image {shown(owner.get("name"))}'
                raise InputError(f'{file}: {place}: a <{shape.tag}> covers no pixels: an object is a polygon, a mask, '
                                 'a box or an ellipse; delete it or draw it as one of these.')


# -- CVAT for video

def _read_tasks(file: Path, root: ElementTree.Element) -> List[Task]:
    meta = root.find('meta')
    records = [] if meta is None else [record for kind in ('task', 'job') for record in meta.iter(kind)]
    own = file.resolve().parent.name if file.stem == 'annotations' else file.stem
    tasks = []
    for record in records:
        names = [] if len(records) > 1 else [own]
        for text in (record.findtext('name'), record.findtext('source')):
            if text:
                names += [text.strip().replace('\\', '/').rsplit('/', 1)[-1]]
                names += [Path(names[-1]).stem]
        names = names or [f'{own}_{record.findtext("id") or len(tasks)}']
        tasks.append(Task((record.findtext('id') or '').strip(), tuple(dict.fromkeys(names)),
                          _read_range(file, record), _read_original_size(file, record)))
    return tasks or [Task('', (own,), None, _read_original_size(file, root))]


def _whole(file: Path, name: str, text: Optional[str]) -> Optional[int]:
    if text is None or not text.strip():
        return None
    if not text.strip().isdecimal():
        raise InputError(f'{file}: {name} is {shown(text)}, not a whole number.')
    return int(text)


def _read_range(file: Path, record: ElementTree.Element) -> Optional[List[int]]:
    size = _whole(file, 'size', record.findtext('size'))
    start = _whole(file, 'start_frame', record.findtext('start_frame')) or 0
    step_text = (record.findtext('frame_filter') or '').replace(' ', '').partition('step=')[2]
    step = _whole(file, 'frame_filter', step_text) or 1
    stop = _whole(file, 'stop_frame', record.findtext('stop_frame'))
    if stop is not None:
        return list(range(start, stop + 1, step))
    return None if not size else list(range(start, start + size * step, step))


def _read_original_size(file: Path, record: ElementTree.Element) -> Optional[Size]:
    found = next(record.iter('original_size'), None)
    if found is None:
        return None
    width, height = (_whole(file, name, found.findtext(name)) for name in ('width', 'height'))
    return Size(height, width) if height and width else None


def _read_video(file: Path, root: ElementTree.Element, task: Task, frames: Optional[Path], alone: bool,
                count: ShapeCount, notes: List[str]) -> Tuple[LabeledVideo, List[Path]]:
    tracks = [track for track in root.findall('track')
              if not task.task_id or track.get('task_id') in (None, task.task_id)]
    shapes = [_read_track(file, track) for track in tracks]
    paths = _find_pictures(file, task, frames, alone)
    last = max((shape.frame for track in shapes for shape in track), default=0)
    numbers = task.frames or ([frame_number(path.name) for path in paths] if paths else list(range(last + 1)))
    numbers, paths = _match(file, task, numbers, paths, last)
    size = check_sizes(task.names[0], paths) if paths else task.size
    if size is None:
        raise InputError(f'{file}: there is no original_size, and there are no pictures that tell it: name their '
                         'folder by --frames.')
    if task.size is not None and size != task.size:
        raise InputError(f'{file}: original_size is {task.size.width} x {task.size.height}, but {paths[0]} is '
                         f'{size.width} x {size.height} pixels.')
    position = {number: frame for frame, number in enumerate(numbers)}
    table, held = TrackTable(size, join=True), 0
    for element, track in zip(tracks, shapes):
        where = f'{file}: track {shown(element.get("id"))}'
        label = _label(element, where)
        group = element.get('group_id')
        key = (label, 'group', group) if group not in (None, '', '0') else (label, 'track', element.get('id'))
        held += _add_track(track, key, label, position, numbers, table, where, count)
    if held:
        notes.append(f'{file}: {held} tracks are held to the end of the video by CVAT\'s rule: nothing says "outside" '
                     'behind their last keyframe.')
    # Names of pictures that are there are set when the folder of all videos is known.
    names = [f'{task.names[0]}/frame_{number:06d}.png' for number in numbers]
    return LabeledVideo(task.names[0], *size, names, table.tracks), paths


def _label(element: ElementTree.Element, where: str) -> str:
    label = (element.get('label') or '').strip()
    if not label:
        raise InputError(f'{where}: label is missing.')
    return label


def _read_track(file: Path, track: ElementTree.Element) -> List[Shape]:
    where = f'{file}: track {shown(track.get("id"))}'
    shapes = sorted((read_shape(shape, where) for shape in track if shape.tag in GOOD_SHAPES),
                    key=lambda shape: shape.frame)
    for first, second in zip(shapes, shapes[1:]):
        if first.frame == second.frame:
            raise InputError(f'{where}: frame {first.frame} has two shapes.')
    return shapes


def _add_track(shapes: Sequence[Shape], key: tuple, label: str, position: Dict[int, int], numbers: Sequence[int],
               table: TrackTable, where: str, count: ShapeCount) -> bool:
    """Put the masks of a track to the table; returns whether it was held to the end of the video."""
    track_id = int(key[2]) if str(key[2]).isdecimal() else key[2] or 0
    for shape, follower in zip(shapes, [*shapes[1:], None]):
        if shape.frame not in position:
            raise InputError(f'{where}: frame {shape.frame} is none of the video, whose frames are {numbers[0]} to '
                             f'{numbers[-1]}.')
        if shape.outside:
            continue
        place = f'{where}, frame {shape.frame}'
        table.add(key, track_id, label, position[shape.frame], draw(shape, table.size, place, count), place)
        if follower is None:
            break
        for number in numbers[position[shape.frame] + 1:position.get(follower.frame, position[shape.frame])]:
            moved = between(shape, follower, number, place)
            if moved is not None:
                table.add(key, track_id, label, position[number], draw(moved, table.size, place, count), place)
    if not shapes or shapes[-1].outside or shapes[-1].kind == 'mask' or not all(shape.keyframe for shape in shapes):
        return False
    rest = numbers[position[shapes[-1].frame] + 1:]
    for number in rest:
        table.add(key, track_id, label, position[number], draw(shapes[-1], table.size, where, count), where)
    return bool(rest)


def _find_pictures(file: Path, task: Task, frames: Optional[Path], alone: bool) -> List[Path]:
    bases = [frames, frames / 'images'] if frames else [file.parent / 'images', file.parent]
    places = [base / name / inner for base in bases for name in task.names for inner in ('', 'images')]
    places += [base / inner for base in bases for inner in (('default', '') if alone or not frames else ())]
    for place in places:
        paths = pictures_in(place)
        if paths:
            return paths
    if frames:
        raise InputMissingError(f'{file}: the pictures of video {shown(task.names[0])} are in none of '
                                f'{", ".join(map(str, places))}.')
    return []


def _match(file: Path, task: Task, numbers: List[int], paths: List[Path], last: int) -> Tuple[List[int], List[Path]]:
    """Frames of CVAT and their pictures: by the numbers in the names, else by their order."""
    if not paths:
        return numbers, []
    by_number = {frame_number(path.name): path for path in paths}
    if len(by_number) == len(paths) and all(number in by_number for number in numbers):
        return numbers, [by_number[number] for number in numbers]
    if task.frames is None:
        numbers = list(range(len(paths)))
        if last >= len(paths):
            raise InputError(f'{file}: a track has frame {last}, but there are {len(paths)} pictures in '
                             f'{paths[0].parent}.')
        return numbers, paths
    if len(paths) != len(numbers):
        raise InputError(f'{file}: video {shown(task.names[0])} has {len(numbers)} frames, but there are {len(paths)} '
                         f'pictures in {paths[0].parent}, and their names do not number them.')
    return numbers, paths


# -- CVAT for images

def _read_images(file: Path, root: ElementTree.Element, frames: Optional[Path],
                 count: ShapeCount) -> List[Tuple[LabeledVideo, List[Path]]]:
    own = file.resolve().parent.name if file.stem == 'annotations' else file.stem
    tasks = {(record.findtext('id') or '').strip(): (record.findtext('name') or '').strip()
             for record in root.iter('task')}
    groups: Dict[str, List[Tuple[int, str, ElementTree.Element]]] = {}
    for image in root.findall('image'):
        name = (image.get('name') or '').replace('\\', '/')
        if not name:
            raise InputError(f'{file}: image {shown(image.get("id"))}: name is missing.')
        number = _whole(file, f'image {shown(name)}: id', image.get('id'))
        folder = name.rpartition('/')[0] or tasks.get(image.get('task_id', '')) or own
        groups.setdefault(folder, []).append((0 if number is None else number, name, image))
    found = []
    for name, images in groups.items():
        images.sort(key=lambda item: item[0])
        subset = images[0][2].get('subset') or 'default'
        paths = _image_paths(file, [text for _, text, _ in images], frames, ('', name, subset, f'{subset}/{name}'))
        sizes = []
        for index, (_, text, image) in enumerate(images):
            sides = [_whole(file, f'image {shown(text)}: {side}', image.get(side)) for side in ('height', 'width')]
            own_size = picture_size(paths[index]) if paths else None
            if None in sides and own_size is None:
                raise InputError(f'{file}: image {shown(text)}: width and height are missing.')
            sizes.append(Size(*sides) if None not in sides else own_size)
            if sizes[-1] != sizes[0] or (own_size is not None and own_size != sizes[-1]):
                other = own_size if own_size is not None and own_size != sizes[-1] else sizes[0]
                raise InputError(f'{file}: image {shown(text)} is {sizes[-1].width} x {sizes[-1].height} pixels, but '
                                 f'{"its picture" if other is own_size else "its video begins with"} '
                                 f'{other.width} x {other.height}: the frames of a video have one size.')
        table = TrackTable(sizes[0], join=True)
        for frame, (_, text, image) in enumerate(images):
            _add_image(file, text, image, frame, table, count)
        # Names of pictures that are there are set when the folder of all videos is known.
        names = [text if '/' in text else f'{name}/{text}' for _, text, _ in images]
        found.append((LabeledVideo(name, *sizes[0], names, table.tracks), paths))
    return found


def _image_paths(file: Path, names: Sequence[str], frames: Optional[Path], inner: Sequence[str]) -> List[Path]:
    """The pictures of a video, whose names start from one of the ``inner`` folders; none if they are not there."""
    bases = [frames, frames / 'images'] if frames else [file.parent / 'images', file.parent, file.parent.parent]
    for base in [base / folder for base in bases for folder in inner[::-1]]:
        if (base / names[0]).is_file():
            for name in names:
                if not (base / name).is_file():
                    raise InputMissingError(f'{file}: image {shown(name)}: there is no such picture in {base}.')
            return [base / name for name in names]
    if frames:
        raise InputMissingError(f'{file}: image {shown(names[0])}: there is no such picture in {frames}.')
    return []


def _add_image(file: Path, name: str, image: ElementTree.Element, frame: int, table: TrackTable,
               count: ShapeCount) -> None:
    for element in image:
        if element.tag not in GOOD_SHAPES:
            continue
        where = f'{file}: image {shown(name)}'
        label = _label(element, where)
        number = _object_of(element)
        if number is None:
            raise InputError(f'{where}: a {element.tag} of {shown(label)} has no group_id and no attribute track_id: '
                             'it says which object of the video this is; export as "CVAT for video 1.1" where tracks '
                             'were drawn.')
        shape = read_shape(element, where, frame)
        track_id = int(number) if number.isdecimal() else number
        table.add((label, number), track_id, label, frame, draw(shape, table.size, where, count), where)


def _object_of(element: ElementTree.Element) -> Optional[str]:
    for attribute in element.findall('attribute'):
        if (attribute.get('name') or '').strip().lower() in _TRACK_ATTRIBUTES and (attribute.text or '').strip():
            return attribute.text.strip()
    group = element.get('group_id')
    return group if group not in (None, '', '0') else None


# -- writing

def write(videos: VideoSet, out: Path) -> List[str]:
    """CVAT for video 1.1: ``out`` itself (a name ending in .xml) for one video, else ``out/<video>.xml`` for each.

    CVAT has no tracks of masks, so a part of an object is a track of polygons; parts of one object have one
    ``group_id``. Every shape is a keyframe.
    """
    if out.suffix.lower() == '.xml':
        if len(videos.videos) > 1:
            raise InputError(f'{out}: a file of CVAT has one video, and these are {len(videos.videos)}: give a folder.')
        _write_video(videos.videos[0], list(videos.categories), out)
        return []
    check_output_folder(out)
    for video in videos.videos:
        _write_video(video, list(videos.categories), out / f'{video.name}.xml')
    return []


def _write_video(video: LabeledVideo, labels: Sequence[str], path: Path) -> None:
    num_frames = len(video.file_names)
    with open_output(path) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
                   '  <meta>\n    <task>\n'
                   f'      <name>{_text(video.name)}</name>\n      <size>{num_frames}</size>\n'
                   '      <mode>interpolation</mode>\n      <start_frame>0</start_frame>\n'
                   f'      <stop_frame>{num_frames - 1}</stop_frame>\n      <labels>\n')
        for label in labels:
            file.write(f'        <label><name>{_text(label)}</name><type>polygon</type><attributes/></label>\n')
        file.write(f'      </labels>\n      <original_size><width>{video.width}</width><height>{video.height}</height>'
                   '</original_size>\n    </task>\n  </meta>\n')
        number = 0
        for group, track in enumerate(video.tracks, start=1):
            parts: List[Dict[int, np.ndarray]] = []
            for frame, rle in sorted(track.masks.items()):
                for index, polygon in enumerate(outline(rle)):
                    if index == len(parts):
                        parts.append({})
                    parts[index][frame] = polygon
            for part in parts:
                group_text = f' group_id="{group}"' if len(parts) > 1 else ''
                file.write(f'  <track id="{number}" label={quoteattr(track.category)}{group_text} source="auto">\n')
                for line in _shape_lines(part, num_frames):
                    file.write(line)
                file.write('  </track>\n')
                number += 1
        file.write('</annotations>\n')


def _shape_lines(part: Dict[int, np.ndarray], num_frames: int) -> Iterator[str]:
    """The polygons of a track; where it goes away its last polygon is said to be outside."""
    for frame, polygon in part.items():
        yield _shape_line(frame, polygon, 0)
        if frame + 1 not in part and frame + 1 < num_frames:
            yield _shape_line(frame + 1, polygon, 1)


def _shape_line(frame: int, polygon: np.ndarray, outside: int) -> str:
    points = ';'.join(f'{x:.2f},{y:.2f}' for x, y in polygon)
    return (f'    <polygon frame="{frame}" keyframe="1" outside="{outside}" occluded="0" points="{points}" '
            'z_order="0"/>\n')


def _text(text: str) -> str:
    return quoteattr(text)[1:-1]
