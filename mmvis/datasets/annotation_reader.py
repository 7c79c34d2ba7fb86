"""From the JSON of a YouTube-VIS annotation file to flat arrays, checking every field on the way."""
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import InputError

_VIDEO_KEYS = ('id', 'width', 'height', 'file_names')
_OBJECT_KEYS = ('id', 'video_id', 'category_id', 'segmentations', 'bboxes', 'areas')


def read_annotations(data: Any, ann_file: str) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """The ``meta`` and the arrays of ``AnnotationIndex`` (see there).

    Masks may be lists of runs, compressed strings or polygons, one a frame, or null. A COCO instances file is read as
    one video of one frame an image.

    Raises:
        ValueError: one sentence naming file, video and field.
    """
    if not isinstance(data, dict):
        raise InputError(f'{ann_file}: a YouTube-VIS annotation file is a JSON object with videos, categories and '
                         f'annotations, this is a {type(data).__name__}.')
    if 'images' in data and 'videos' not in data:
        data = _images_as_videos(data, ann_file)
    videos = _read_list(data, 'videos', ann_file)
    categories = _read_list(data, 'categories', ann_file)
    # valid.json and test.json of the official sets have no annotations.
    objects = _read_list(data, 'annotations', ann_file) if data.get('annotations') else []
    table = _category_table(categories, ann_file)
    meta = dict(ann_file=ann_file, video_ids=[video.get('id') for video in videos], categories=table,
                has_annotations=bool(objects))
    arrays = _video_arrays(videos, ann_file)
    arrays.update(_object_arrays(objects, videos, arrays['frame_ptr'], table, ann_file))
    return meta, arrays


def _images_as_videos(data: Dict, ann_file: str) -> Dict:
    """The content of a COCO instances file as that of a YouTube-VIS file. Its annotations are changed in place: there
    may be a million of them."""
    videos = []
    for position, image in enumerate(_read_list(data, 'images', ann_file)):
        for key in ('id', 'width', 'height', 'file_name'):
            if key not in image:
                raise InputError(f"{ann_file}: image {image.get('id', f'number {position} of the list')} has no "
                                 f"'{key}'.")
        videos.append(dict(id=image['id'], width=image['width'], height=image['height'],
                           file_names=[image['file_name']]))
    objects = _read_list(data, 'annotations', ann_file) if data.get('annotations') else []
    for position, record in enumerate(objects):
        for key in ('id', 'image_id', 'category_id', 'segmentation', 'bbox', 'area'):
            if key not in record:
                raise InputError(f"{ann_file}: image {record.get('image_id', 'unknown')}: annotation "
                                 f"{record.get('id', f'number {position} of the list')} has no '{key}'.")
        record['video_id'] = record.pop('image_id')
        for one, several in (('segmentation', 'segmentations'), ('bbox', 'bboxes'), ('area', 'areas')):
            record[several] = [record.pop(one)]
    return dict(videos=videos, categories=data.get('categories'), annotations=objects)


def _read_list(data: Dict, name: str, ann_file: str) -> List[Dict]:
    records = data.get(name)
    if not isinstance(records, list) or not records:
        raise InputError(f"{ann_file}: the list '{name}' is {'missing' if records is None else 'empty or no list'}.")
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{ann_file}: entry number {position} of '{name}' is {record!r}, not a JSON object.")
    return records


def _category_table(categories: List[Dict], ann_file: str) -> List[List]:
    table = []
    for position, category in enumerate(categories):
        for key in ('id', 'name'):
            if key not in category:
                raise InputError(f"{ann_file}: category number {position} of the list has no '{key}'.")
        table.append([category['id'], category['name']])
    _check_unique([row[0] for row in table], 'category', 'id', ann_file)
    _check_unique([row[1] for row in table], 'category', 'name', ann_file)
    return table


def _check_unique(values: List, kind: str, field: str, ann_file: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise InputError(f'{ann_file}: two entries of kind {kind} have the same {field}, {value!r}.')
        seen.add(value)


def _video_arrays(videos: List[Dict], ann_file: str) -> Dict[str, np.ndarray]:
    names: List[bytes] = []
    frame_ptr = [0]
    for position, video in enumerate(videos):
        for key in _VIDEO_KEYS:
            if key not in video:
                raise InputError(f"{ann_file}: video {video.get('id', f'number {position} of the list')} "
                                 f"has no '{key}'.")
        where = f"{ann_file}: video {video['id']}"
        if not isinstance(video['id'], (int, str)):
            raise InputError(f'{where}: its id is neither a number nor a name.')
        for key in ('width', 'height'):
            if not isinstance(video[key], int) or video[key] < 1:
                raise InputError(f'{where}: {key} is {video[key]!r}, not a positive number of pixels.')
        if not isinstance(video['file_names'], list) or not video['file_names']:
            raise InputError(f'{where}: file_names is empty.')
        length = video.get('length', len(video['file_names']))
        if length != len(video['file_names']):
            raise InputError(f"{where}: length is {length}, but file_names lists {len(video['file_names'])} frames.")
        names.extend(name.encode() for name in video['file_names'])
        frame_ptr.append(len(names))
    _check_unique([video['id'] for video in videos], 'video', 'id', ann_file)
    return dict(heights=np.array([video['height'] for video in videos], np.int32),
                widths=np.array([video['width'] for video in videos], np.int32),
                frame_ptr=np.array(frame_ptr, np.int64), name_ptr=_pointers(map(len, names), len(names)),
                name_bytes=np.frombuffer(b''.join(names), np.uint8))


def _object_arrays(objects: List[Dict], videos: List[Dict], frame_ptr: np.ndarray, table: List[List],
                   ann_file: str) -> Dict[str, np.ndarray]:
    video_of = {video['id']: position for position, video in enumerate(videos)}
    category_of = {row[0]: position for position, row in enumerate(table)}
    frames: List[int] = []
    owners: List[int] = []
    boxes: List[Tuple[float, float, float, float]] = []
    masks: List[bytes] = []
    for position, record in enumerate(objects):
        where = _check_object(record, position, video_of, category_of, ann_file)
        index = video_of[record['video_id']]
        first, length = int(frame_ptr[index]), int(frame_ptr[index + 1] - frame_ptr[index])
        for key in ('segmentations', 'bboxes', 'areas'):
            if not isinstance(record[key], list) or len(record[key]) != length:
                found = len(record[key]) if isinstance(record[key], list) else repr(record[key])
                raise InputError(f'{where}: {key} has {found} entries, but the video has {length} frames.')
        size = [videos[index]['height'], videos[index]['width']]
        for offset, (mask, box, area) in enumerate(zip(record['segmentations'], record['bboxes'], record['areas'])):
            if box is None or not mask or not _is_valid_box(box, area, where, offset):
                continue
            counts = _compress(mask, size, where, offset)
            if counts is not None:
                frames.append(first + offset)
                owners.append(position)
                boxes.append(box)
                masks.append(counts)
    _check_unique([record['id'] for record in objects], 'annotation', 'id', ann_file)
    order = np.argsort(np.array(frames, np.int64), kind='stable')
    masks = [masks[i] for i in order]
    num_frames = int(frame_ptr[-1])
    return dict(
        object_ids=_object_ids(objects), object_crowd=np.array([bool(r.get('iscrowd')) for r in objects], bool),
        object_categories=np.array([category_of[record['category_id']] for record in objects], np.int32),
        entry_ptr=_pointers(np.bincount(np.array(frames, np.int64), minlength=num_frames), num_frames),
        entry_objects=np.array(owners, np.int32)[order],
        entry_boxes=np.array(boxes, np.float32).reshape(-1, 4)[order],
        mask_ptr=_pointers(map(len, masks), len(masks)), mask_bytes=np.frombuffer(b''.join(masks), np.uint8))


def _check_object(record: Dict, position: int, video_of: Dict, category_of: Dict, ann_file: str) -> str:
    """Check the ids of an annotation; returns the beginning of a sentence about it."""
    name = f"annotation {record.get('id', f'number {position} of the list')}"
    for key in _OBJECT_KEYS:
        if key not in record:
            raise InputError(f"{ann_file}: video {record.get('video_id', 'unknown')}: {name} has no '{key}'.")
    where = f"{ann_file}: video {record['video_id']}: {name}"
    if record['video_id'] not in video_of:
        raise InputError(f"{where}: video_id {record['video_id']!r} is not in the list of videos.")
    if record['category_id'] not in category_of:
        raise InputError(f"{where}: category_id {record['category_id']!r} is not in the list of categories.")
    return where


def _is_valid_box(box: List[float], area: float, where: str, frame_idx: int) -> bool:
    try:
        _, _, width, height = box
        return area > 0 and width >= 1 and height >= 1
    except (TypeError, ValueError):
        raise InputError(f'{where}: frame {frame_idx}: bboxes is {box!r} and areas is {area!r}; expected four numbers '
                         'x y w h and one number.') from None


def _compress(mask: Any, size: List[int], where: str, frame_idx: int) -> Optional[bytes]:
    """Compressed RLE of a mask in any of the three spellings; ``None`` for polygons without an area."""
    height, width = size
    if isinstance(mask, dict) and 'counts' in mask:
        if mask.get('size') != size:
            raise InputError(f"{where}: frame {frame_idx}: the size of its segmentations entry is {mask.get('size')}, "
                             f'but the video is {size} (height, width).')
        counts = mask['counts']
        if isinstance(counts, str):
            return counts.encode('ascii')
        if not isinstance(counts, list) or sum(counts) != height * width:
            raise InputError(f'{where}: frame {frame_idx}: the counts of its segmentations entry do not add up to '
                             f'{height} x {width} pixels.')
        return coco_mask.frPyObjects(mask, height, width)['counts']
    if isinstance(mask, list) and all(isinstance(polygon, list) for polygon in mask):
        polygons = [polygon for polygon in mask if len(polygon) >= 6]
        if not polygons:
            return None
        return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))['counts']
    raise InputError(f'{where}: frame {frame_idx}: its segmentations entry is neither an RLE, nor polygons, nor null.')


def _object_ids(objects: List[Dict]) -> np.ndarray:
    """Annotation ids; where they are names, positions in the file."""
    ids = [record['id'] for record in objects]
    if all(isinstance(value, int) for value in ids):
        return np.array(ids, np.int64)
    return np.arange(len(ids), dtype=np.int64)


def _pointers(lengths: Any, num: int) -> np.ndarray:
    """Where each of ``num`` pieces starts in their concatenation, int64 [num + 1]."""
    pointers = np.zeros(num + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, num), out=pointers[1:])
    return pointers
