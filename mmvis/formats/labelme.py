"""labelme, and X-AnyLabeling, which writes the same files: one JSON a frame, one folder a video.

A shape belongs to the track that its ``group_id`` names, together with its label; without a ``group_id`` a ``track_id``
among its attributes does, or a flag that is true and names a number ('3', 'track_3', 'id: 3'). Shapes of one track in
one frame are united. Frames are the pictures that have a JSON file.
"""
import base64
import binascii
import io
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from mmvis.annotations import read_json
from mmvis.annotations.fields import as_integer, is_finite
from mmvis.annotations.foreign import track_id_of
from mmvis.errors import InputError, InputMissingError, shown
from mmvis.structures import RLE
from mmvis.structures.output_file import check_output_folder, write_output

from .pictures import Size, files_in, natural_order, picture_size, pictures_in, walk
from .shapes import ellipse, fill_polygons, outline, paste, rectangle
from .tracks import LabeledVideo, ShapeCount, TrackTable, VideoSet, number_categories, set_file_names, used_categories

_TRACK_FLAG = re.compile(r'(?:track|object|instance)?[ _-]*(?:id)?[ _:=#-]*(\d+)', re.IGNORECASE)
_VERSION = '5.5.0'  # of the layout that is written
#: A file and its contents.
Page = Tuple[Path, Dict[str, Any]]


def read(source: Path, frames: Optional[Path]) -> VideoSet:
    """The videos of a folder of JSON files, or of a folder of such folders; a single file is a video of one frame.

    Raises:
        InputError: one sentence that names file, shape and value.
    """
    count = ShapeCount()
    folder = source if source.is_dir() else source.parent
    found = [_read_video(name, pages, folder, frames, count) for name, pages in _find_files(source)]
    notes = count.notes(source)
    root = set_file_names(found, frames, folder)
    videos = [video for video, _ in found]
    used = {path for _, paths in found for path in paths}
    left_out = len({Path(os.path.abspath(path)) for inner in {path.parent for path in used}
                    for path in pictures_in(inner)} - used)
    if left_out and source.is_dir():
        notes.append(f'{left_out} pictures without a JSON file were left out (save one without shapes for a frame in '
                     'which nothing is to be seen).')
    return VideoSet(root, videos, number_categories(used_categories(videos)), notes)


def _find_files(source: Path) -> List[Tuple[str, List[Page]]]:
    """(name of the video, its pages) for each folder that holds files of labelme."""
    if source.is_file():
        return [(source.parent.resolve().name, [_read_page(source)])]
    groups = []
    for folder in walk(source):
        pages = [page for page in map(_read_page, files_in(folder, '.json')) if page is not None]
        if pages:
            groups.append((folder.relative_to(source).as_posix() if folder != source else source.resolve().name, pages))
    if not groups:
        raise InputError(f'{source}: there is no JSON file of labelme in it or in its folders.')
    return groups


def _read_page(file: Path) -> Optional[Page]:
    """A file of labelme; None for an annotation file of a whole set that lies among them."""
    data = read_json(file)
    if isinstance(data, dict) and 'shapes' not in data and ('videos' in data or 'images' in data):
        return None
    if not isinstance(data, dict) or not isinstance(data.get('shapes'), list):
        raise InputError(f"{file} is no file of labelme: the list 'shapes' is missing.")
    data['imageData'] = bool(data.get('imageData'))  # a picture as text: megabytes
    return file, data


def _read_video(name: str, pages: Sequence[Page], source: Path, frames: Optional[Path],
                count: ShapeCount) -> Tuple[LabeledVideo, List[Path]]:
    page_of: Dict[Path, Page] = {}
    for file, data in pages:
        picture = _find_picture(file, data, source, frames)
        if picture in page_of:
            raise InputError(f'{file}: imagePath: {picture} is the picture of {page_of[picture][0]} as well.')
        page_of[picture] = file, data
    paths = [Path(text) for text in natural_order(map(str, page_of))]
    sizes = [_read_size(*page_of[path], path) for path in paths]
    for path, size in zip(paths, sizes):
        if size != sizes[0]:
            raise InputError(f'{page_of[path][0]}: the picture is {size.width} x {size.height} pixels, but that of '
                             f'{page_of[paths[0]][0]} is {sizes[0].width} x {sizes[0].height}: a folder is one video, '
                             'and its frames have one size.')
    table = TrackTable(sizes[0], join=True)
    for frame, path in enumerate(paths):
        file, data = page_of[path]
        for position, shape in enumerate(data['shapes']):
            _add_shape(shape, f'{file}: shape {position}', frame, table, count)
    return LabeledVideo(name, *sizes[0], [], table.tracks), paths


def _find_picture(file: Path, data: Dict[str, Any], source: Path, frames: Optional[Path]) -> Path:
    given = data.get('imagePath')
    if given is not None and not isinstance(given, str):
        raise InputError(f'{file}: imagePath is {shown(given)}, not a text.')
    given = (given or '').replace('\\', '/')  # written on Windows
    base = given.rsplit('/', 1)[-1]
    folder = file.parent
    looked = []
    if frames is not None:
        looked += [frames / os.path.relpath(folder, source), frames / folder.name, frames]
    looked.append(folder)
    candidates = [inner / base for inner in looked if base]
    if given and not os.path.isabs(given) and ':' not in given:
        candidates.append(folder / given)
    for candidate in candidates:
        if candidate.is_file():
            return Path(os.path.abspath(candidate))
    for inner in looked:
        same = [path for path in pictures_in(inner) if path.stem == file.stem]
        if same:
            return Path(os.path.abspath(same[0]))
    embedded = ' (the copy in imageData is of no use: frames are files here)' if data.get('imageData') else ''
    raise InputMissingError(f'{file}: imagePath: the picture {shown(base or file.stem)} is in none of '
                            f'{", ".join(dict.fromkeys(map(str, looked)))}{embedded}; name its folder by --frames.')


def _read_size(file: Path, data: Dict[str, Any], picture: Path) -> Size:
    """Of the picture; what the file says must be the same, upright or turned by EXIF."""
    size = picture_size(picture)
    sides = []
    for field, side in zip(('imageHeight', 'imageWidth'), size):
        value = data.get(field)
        if value is not None and as_integer(value) is None:
            raise InputError(f'{file}: {field} is {shown(value)}, not a number of pixels.')
        sides.append(side if value is None else as_integer(value))
    if sorted(sides) != sorted(size):
        raise InputError(f'{file}: imageWidth and imageHeight are {sides[1]} x {sides[0]}, but {picture} is '
                         f'{size.width} x {size.height} pixels.')
    return Size(*sides)


def _add_shape(shape: Any, where: str, frame: int, table: TrackTable, count: ShapeCount) -> None:
    if not isinstance(shape, dict):
        raise InputError(f'{where} is {shown(shape)}, not a JSON object.')
    label = shape.get('label')
    if not isinstance(label, str) or not label:
        raise InputError(f'{where}: label is {shown(label)}, not the name of a class.')
    where = f'{where} ({shown(label)})'
    number = _track_number(shape, where)
    table.add((label, number), number, label, frame, _draw(shape, where, table.size, count), where)


def _track_number(shape: Dict[str, Any], where: str):
    number = shape.get('group_id')
    if number is None:
        number = track_id_of(shape)
    if number is not None:
        if type(number) not in (int, str) or number == '':
            raise InputError(f'{where}: group_id is {shown(number)}, neither a whole number nor a text.')
        return number
    flags = shape.get('flags') or {}
    if not isinstance(flags, dict):
        raise InputError(f'{where}: flags is {shown(flags)}, not a JSON object.')
    found = [name for name, value in flags.items() if value is True and _TRACK_FLAG.fullmatch(name.strip())]
    if len(found) > 1:
        raise InputError(f'{where}: the flags {shown(found)} name several tracks: one of them can be true.')
    if not found:
        raise InputError(f'{where}: no track: group_id is null and no flag that names a number is true. Give all '
                         'shapes of one object the same group_id in every frame.')
    return int(_TRACK_FLAG.fullmatch(found[0].strip()).group(1))


def _draw(shape: Dict[str, Any], where: str, size: Size, count: ShapeCount) -> RLE:
    kind = shape.get('shape_type') or 'polygon'
    points = _read_points(shape.get('points'), where)
    if kind in ('polygon', 'quadrilateral'):
        count.outlines += 1
        return fill_polygons([points], size, where)
    if kind == 'mask':
        count.outlines += 1
        return _read_mask(shape.get('mask'), points, where, size)
    if kind == 'rectangle' and len(points) in (2, 4):
        count.rectangles += 1
        return fill_polygons([rectangle(*points.min(0), *points.max(0))], size, where)
    if kind in ('rotation', 'oriented_rectangle') and len(points) == 4:
        count.rectangles += 1
        return fill_polygons([points], size, where)
    if kind == 'circle' and len(points) == 2:
        count.round += 1
        radius = float(np.hypot(*(points[1] - points[0])))
        return fill_polygons([ellipse(*points[0], radius, radius)], size, where)
    raise InputError(f'{where}: shape_type is {shown(kind)} with {len(points)} points, which covers no pixels: an '
                     'object is a polygon, a mask, a rectangle or a circle.')


def _read_points(points: Any, where: str) -> np.ndarray:
    if not isinstance(points, list) or not points:
        raise InputError(f'{where}: points is {shown(points)}, not a list of x y.')
    for point in points:
        if not (isinstance(point, list) and len(point) == 2 and all(map(is_finite, point))):
            raise InputError(f'{where}: points has {shown(point)}, not two finite numbers x y.')
    return np.array(points, float)


def _read_mask(text: Any, points: np.ndarray, where: str, size: Size) -> RLE:
    """A mask of labelme: a PNG as text, its corners at the two points."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as picture:
            crop = np.asarray(picture.convert('L')) > 0
    except (TypeError, ValueError, binascii.Error, OSError, SyntaxError):
        raise InputError(f'{where}: mask is {shown(text)}, not a PNG picture in base64.') from None
    left, top = points.min(0).round().astype(int).tolist()
    return paste(crop, left, top, size)


def write(videos: VideoSet, out: Path) -> List[str]:
    """``out/<video>/<frame>.json``, with a polygon for each part of a mask; ``imagePath`` leads to the pictures.

    Holes are cut open: a mask with one becomes several polygons of one group.
    """
    check_output_folder(out)
    for video in videos.videos:
        folder = Path(out, *[part for part in Path(video.name).parts if part not in ('/', '..')])
        for frame, name in enumerate(video.file_names):
            shapes = [_shape(track.category, number, polygon, track.score)
                      for number, track in enumerate(video.tracks, start=1) if frame in track.masks
                      for polygon in outline(track.masks[frame])]
            target = folder / f'{Path(name).stem}.json'
            picture = os.path.join(videos.root, name) if videos.root else name
            page = dict(version=_VERSION, flags={}, shapes=shapes,
                        imagePath=Path(os.path.relpath(picture, folder)).as_posix(), imageData=None,
                        imageHeight=video.height, imageWidth=video.width)
            write_output(target, json.dumps(page, indent=1, ensure_ascii=False))
    return []


def _shape(label: str, number: int, polygon: np.ndarray, score: Optional[float]) -> Dict[str, Any]:
    shape = dict(label=label, points=polygon.tolist(), group_id=number, description='', shape_type='polygon', flags={},
                 mask=None)
    return shape if score is None else {**shape, 'score': score}  # of X-AnyLabeling
