"""The one reader of annotation files in the formats of YouTube-VIS, OVIS and COCO instances: every field that anything in
the project uses is checked here, by one set of rules, for training and evaluation alike.

What is malformed is refused in one sentence that names file, record, field and value. What is well formed but lies
outside its frame is cut off, and a mask without a pixel is no mask.
"""
from dataclasses import dataclass
from itertools import chain
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

import numpy as np

from mmvis.errors import InputError, shown
from mmvis.structures.rle_decode import LONGEST_SIDE, Counts, Spans, decode_counts, describe_damage

from .fields import as_id, as_integer, read_areas, read_boxes, read_masks
from .foreign import refuse_foreign

Id = Union[int, str]
#: A longer video is a mistake, and lists of its length would take all memory.
_MAX_FRAMES = 10_000_000


class Format(NamedTuple):
    """The names that a format has for what is one thing to us: an image of COCO is a video of one frame."""
    video: str
    videos: str
    file_names: str
    reference: str
    masks: str
    boxes: str
    areas: str


VIDEOS = Format('video', 'videos', 'file_names', 'video_id', 'segmentations', 'bboxes', 'areas')
IMAGES = Format('image', 'images', 'file_name', 'image_id', 'segmentation', 'bbox', 'area')


class Video(NamedTuple):
    """One video; sizes in pixels. ``file_names``: None if the file has none."""
    video_id: Id
    height: int
    width: int
    num_frames: int
    file_names: Optional[List[str]]


@dataclass
class Content:
    """An annotation file, checked. An item is one object in one frame, also where it has no mask.

    Attributes:
        path, format: of the file.
        videos: V, in the order of the file.
        categories: (id, name), each once, in the order of the file.
        object_ids: A ids of the file.
        object_videos, object_categories: int64 [A], positions in the two lists.
        object_crowd: int8 [A], 0 or 1; -1 where the file does not say.
        object_occlusion: A values of the file, unchecked.
        first: int64 [A + 1], the items of object a are first[a] : first[a + 1], one a frame of its video.
        masks: N counts, as the file has them (lists of runs packed) or as drawn from polygons; None where there is no
            pixel.
        boxes: float64 [N, 4], x y w h; NaN where there is none.
        areas: float64 [N], of the file, or of the masks where the object has no areas; NaN where the file has null.
        has_boxes: bool [A], whether the file has boxes of the object.
        found: the foreground of the masks that are not None (areas alone unless asked for).
    """
    path: str
    format: Format
    videos: List[Video]
    categories: List[Tuple[Id, str]]
    object_ids: List[Id]
    object_videos: np.ndarray
    object_categories: np.ndarray
    object_crowd: np.ndarray
    object_occlusion: List[Any]
    first: np.ndarray
    masks: List[Optional[Counts]]
    boxes: np.ndarray
    areas: np.ndarray
    has_boxes: np.ndarray
    found: Spans

    @property
    def item_objects(self) -> np.ndarray:
        """int64 [N], the object of each item."""
        return np.repeat(np.arange(len(self.object_ids)), np.diff(self.first))


def read_content(data: Any, path: str, for_evaluation: bool = False) -> Content:
    """Check the contents of an annotation file.

    Args:
        data: parsed JSON; it is not changed.
        path: of the file, for sentences.
        for_evaluation: objects by rising video id, then rising category id, then as in the file, and masks with their
            spans; otherwise objects in the order of the file, and the areas of masks alone.

    Raises:
        InputError: one sentence naming file, record, field and value; a known foreign format is named with the command
            that converts it.
    """
    refuse_foreign(data, path)
    return check_content(data, path, for_evaluation)


def check_content(data: Any, path: str, for_evaluation: bool = False) -> Content:
    """``read_content`` of images with tracks as well, which the readers of formats take as images."""
    names, videos, categories = _read_tables(data, path)
    # valid.json and test.json of the official sets have no annotations.
    is_empty = data.get('annotations') is None or data['annotations'] == []
    objects = _Objects([] if is_empty else _read_list(data, 'annotations', path), videos, categories, names, path)
    return objects.read(for_evaluation)


def read_tables(data: Any, path: str) -> Tuple[Format, List[Video], List[Tuple[Id, str]]]:
    """Format, videos and categories of an annotation file, checked, without a look at its annotations.

    Raises:
        InputError: one sentence naming file, record, field and value.
    """
    refuse_foreign(data, path)
    return _read_tables(data, path)


def _read_tables(data: Any, path: str) -> Tuple[Format, List[Video], List[Tuple[Id, str]]]:
    if not isinstance(data, dict):
        raise InputError(f'{path}: an annotation file of YouTube-VIS is a JSON object with videos, categories and '
                         f'annotations, this is {shown(data)}, a {type(data).__name__}.')
    names = IMAGES if 'images' in data and 'videos' not in data else VIDEOS
    videos = _read_videos(_read_list(data, names.videos, path), names, path)
    return names, videos, _read_categories(_read_list(data, 'categories', path), path)


def _read_list(data: Dict, name: str, path: str) -> List[Dict]:
    records = data.get(name)
    if not isinstance(records, list) or not records:
        state = 'missing' if name not in data else 'empty' if records == [] else f'{shown(records)}, not a list'
        raise InputError(f"{path}: the list '{name}' is {state}.")
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{path}: entry number {position} of '{name}' is {shown(record)}, not a JSON object.")
    return records


def _name(kind: str, record: Dict, position: int) -> str:
    """A record in a sentence: by its id, or by its place where that is none."""
    given = as_id(record.get('id'))
    return f'{kind} number {position} of the list' if given is None else f'{kind} {shown(given)}'


def _read_id(kind: str, record: Dict, position: int, path: str, field: str = 'id') -> Id:
    if field not in record:
        raise InputError(f"{path}: {_name(kind, record, position)} has no '{field}'.")
    found = as_id(record[field])
    if found is None:
        raise InputError(f'{path}: {_name(kind, record, position)}: {field} is {shown(record[field])}, neither a whole '
                         'number nor a text.')
    return found


def _refuse_twins(ids: Sequence[Id], kind: str, path: str) -> None:
    if len(set(ids)) == len(ids):
        return
    place: Dict[Id, int] = {}
    for position, value in enumerate(ids):
        if value in place:
            raise InputError(f'{path}: {kind}s number {place[value]} and {position} of the list have the same id, '
                             f'{shown(value)}.')
        place[value] = position


def _read_categories(records: List[Dict], path: str) -> List[Tuple[Id, str]]:
    names: Dict[Id, str] = {}
    for position, record in enumerate(records):
        found = _read_id('category', record, position, path)
        where = f'{path}: {_name("category", record, position)}'
        if 'name' not in record:
            raise InputError(f"{where} has no 'name'.")
        if not isinstance(record['name'], str):
            raise InputError(f'{where}: name is {shown(record["name"])}, not a text.')
        # The official code counts a category that is listed twice once.
        if names.setdefault(found, record['name']) != record['name']:
            raise InputError(f'{path}: two categories have the same id, {shown(found)}: {shown(names[found])} and '
                             f'{shown(record["name"])}.')
    return list(names.items())


def _read_videos(records: List[Dict], names: Format, path: str) -> List[Video]:
    videos = []
    for position, record in enumerate(records):
        video_id = _read_id(names.video, record, position, path)
        where = f'{path}: {_name(names.video, record, position)}'
        sides = []
        for key in ('height', 'width'):
            if key not in record:
                raise InputError(f"{where} has no '{key}'.")
            side = as_integer(record[key])
            if side is None or not 1 <= side <= LONGEST_SIDE:
                raise InputError(f'{where}: {key} is {shown(record[key])}, not a whole number of pixels from 1 to '
                                 f'{LONGEST_SIDE}.')
            sides.append(side)
        files = _read_file_names(record, names, where)
        videos.append(Video(video_id, *sides, _read_length(record, names, files, where), files))
    _refuse_twins([video.video_id for video in videos], names.video, path)
    return videos


def _read_file_names(record: Dict, names: Format, where: str) -> Optional[List[str]]:
    field = names.file_names
    if field not in record:
        if names is VIDEOS and 'length' in record:
            return None
        raise InputError(f"{where} has no '{field}'.")
    files = record[field] if names is VIDEOS else [record[field]]
    if not isinstance(files, list) or not files:
        raise InputError(f'{where}: {field} is {shown(files)}, not a list with a file name a frame.')
    for name in files:
        if not isinstance(name, str) or not name or '\0' in name or not _can_be_file(name):
            raise InputError(f'{where}: {field} has {shown(name)}, which is no file name.')
    return files


def _can_be_file(name: str) -> bool:
    """Whether a system can have a file of that name (one that is not UTF-8 has surrogates in JSON)."""
    try:
        name.encode('utf-8', 'surrogateescape')
        return True
    except UnicodeEncodeError:
        return False


def _read_length(record: Dict, names: Format, files: Optional[List[str]], where: str) -> int:
    if names is IMAGES or 'length' not in record:
        return len(files)
    length = as_integer(record['length'])
    if length is None or not 1 <= length <= _MAX_FRAMES:
        raise InputError(f'{where}: length is {shown(record["length"])}, not a number of frames from 1 to '
                         f'{_MAX_FRAMES}.')
    if files is not None and length != len(files):
        raise InputError(f'{where}: length is {length}, but {names.file_names} lists {len(files)} frames.')
    return length


class _Objects:
    """The annotations of a file, read in three steps: ids, lists, masks."""

    def __init__(self, records: List[Dict], videos: List[Video], categories: List[Tuple[Id, str]], names: Format,
                 path: str) -> None:
        self.records, self.videos, self.categories, self.names, self.path = records, videos, categories, names, path

    def read(self, for_evaluation: bool) -> Content:
        self._read_ids()
        if for_evaluation:
            self._sort()
        items = self._read_lists()
        lengths = np.array([self.videos[v].num_frames for v in self.object_videos], np.int64)
        self.first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        sizes = np.array([self.videos[v][1:3] for v in self.object_videos], np.int64).reshape(-1, 2)
        heights, widths = np.repeat(sizes, lengths, 0).T
        names = self.names
        boxes = read_boxes(items[names.boxes], names.boxes, self.where)
        areas = read_areas(items[names.areas], names.areas, self.where)
        masks = read_masks(items[names.masks], heights, widths, names.masks, self.where)
        masks, found, present = self._check_masks(masks, heights, widths, for_evaluation)
        computed = present[np.repeat(~self.has[names.areas], lengths)[present]]
        pixels = np.zeros(len(masks), np.int64)
        pixels[present] = found.areas
        areas[computed] = pixels[computed]
        return Content(self.path, names, self.videos, self.categories, self.object_ids, self.object_videos,
                       self.object_categories, self.object_crowd, [r.get('occlusion') for r in self.records],
                       self.first, masks, boxes, areas, self.has[names.boxes], found)

    def where(self, item: int) -> str:
        """The beginning of a sentence about an item."""
        position = int(np.searchsorted(self.first, item, side='right')) - 1
        frame = '' if self.names is IMAGES else f': frame {item - int(self.first[position])}'
        return self._where(position) + frame

    def _where(self, position: int) -> str:
        record = self.records[position]
        return (f'{self.path}: {self.names.video} {shown(as_id(record.get(self.names.reference)))}: '
                f'{_name("annotation", record, position)}')

    def _read_ids(self) -> None:
        video_of = {video.video_id: position for position, video in enumerate(self.videos)}
        category_of = {category_id: position for position, (category_id, _) in enumerate(self.categories)}
        self.object_ids: List[Id] = []
        references, crowd = [], []
        for position, record in enumerate(self.records):
            self.object_ids.append(_read_id('annotation', record, position, self.path))
            pair = []
            for field, known, table in ((self.names.reference, video_of, self.names.videos),
                                        ('category_id', category_of, 'categories')):
                value = _read_id('annotation', record, position, self.path, field)
                if value not in known:
                    raise InputError(f'{self._where(position)}: {field} {shown(value)} is not in the list of {table}.')
                pair.append(known[value])
            references.append(pair)
            crowd.append(self._read_crowd(record, position))
        _refuse_twins(self.object_ids, 'annotation', self.path)
        self.object_videos, self.object_categories = np.array(references, np.int64).reshape(-1, 2).T
        self.object_crowd = np.array(crowd, np.int8)

    def _read_crowd(self, record: Dict, position: int) -> int:
        value = record.get('iscrowd', -1)
        if (type(value) in (int, bool, float) and value in (0, 1)) or 'iscrowd' not in record:
            return int(value)
        raise InputError(f'{self._where(position)}: iscrowd is {shown(value)}, neither 0 nor 1.')

    def _sort(self) -> None:
        """Objects by video id, category id and place in the file."""
        ids = [[video.video_id for video in self.videos], [category_id for category_id, _ in self.categories]]
        ranks = []
        for values, kind, own in zip(ids, (self.names.videos, 'categories'),
                                     (self.object_videos, self.object_categories)):
            if len(set(map(type, values))) > 1:
                raise InputError(f'{self.path}: the ids of {kind} must be all numbers or all texts to be evaluated.')
            rank = np.empty(len(values), np.int64)
            rank[sorted(range(len(values)), key=values.__getitem__)] = np.arange(len(values))
            ranks.append(rank[own])
        order = np.lexsort(ranks[::-1])
        self.records = [self.records[a] for a in order]
        self.object_ids = [self.object_ids[a] for a in order]
        self.object_videos, self.object_categories, self.object_crowd = (
            array[order] for array in (self.object_videos, self.object_categories, self.object_crowd))

    def _read_lists(self) -> Dict[str, List]:
        """The items of all objects, field by field."""
        names = self.names
        self.has = {field: np.array([field in record for record in self.records], bool)
                    for field in (names.masks, names.boxes, names.areas)}
        if not self.has[names.masks].all():
            position = int(np.argmin(self.has[names.masks]))
            raise InputError(f"{self._where(position)} has no '{names.masks}'.")
        if names is IMAGES:
            return {field: [record.get(field) for record in self.records] for field in self.has}
        items = {}
        for field, has in self.has.items():
            lists = []
            for position, (record, v) in enumerate(zip(self.records, self.object_videos.tolist())):
                length = self.videos[v].num_frames
                values = record[field] if field in record else [None] * length
                if type(values) is not list or len(values) != length:
                    self._refuse_list(position, field, values, length)
                lists.append(values)
            items[field] = list(chain.from_iterable(lists))
        return items

    def _refuse_list(self, position: int, field: str, values: Any, length: int) -> NoReturn:
        if isinstance(values, list):
            video = self.videos[self.object_videos[position]]
            of = 'length' if video.file_names is None else self.names.file_names
            raise InputError(f'{self._where(position)}: {field} has {len(values)} entries, but the '
                             f'{self.names.video} has {length} frames ({of}).')
        raise InputError(f'{self._where(position)}: {field} is {shown(values)}, not a list with an entry a frame.')

    def _check_masks(self, masks: List[Optional[Counts]], heights: np.ndarray, widths: np.ndarray,
                     with_spans: bool) -> Tuple[List[Optional[Counts]], Spans, np.ndarray]:
        """Masks, foreground and places of those that have a pixel."""
        present = np.array([i for i, counts in enumerate(masks) if counts is not None], np.int64)
        counts = [masks[i] for i in present]
        found = decode_counts(counts, (heights * widths)[present], areas_only=not with_spans)
        if isinstance(found, int):
            item = int(present[found])
            raise InputError(f'{self.where(item)}: counts of {self.names.masks} '
                             f'{describe_damage(counts[found], int(heights[item]), int(widths[item]))}')
        filled = found.areas > 0
        if not filled.all():
            for item in present[~filled]:
                masks[item] = None
            found = Spans(found.areas[filled], np.concatenate([[0], found.starts[1:][filled]]), found.spans)
        return masks, found, present[filled]
