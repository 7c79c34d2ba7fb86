"""A plain reader of annotation files: the rules as one would write them down, without any regard to speed.

It is what the reader of the project is compared with on thousands of spoilt files.
"""
import math
from typing import Any, Dict, List, Optional

import numpy as np
from pycocotools import mask as coco_mask

LONGEST_SIDE, MOST_FRAMES = 65535, 10_000_000


class Malformed(Exception):
    """The file must be refused."""


def demand(condition: Any) -> None:
    if not condition:
        raise Malformed


def number(value: Any) -> float:
    demand(type(value) in (int, float) and abs(value) < 1.7e308)
    return value


def whole(value: Any) -> int:
    demand(type(value) is int or number(value) == int(value))
    return int(value)


def read_id(value: Any) -> Any:
    return value if isinstance(value, str) else whole(value)


def records(data: Dict, name: str) -> List[Dict]:
    demand(isinstance(data.get(name), list) and data[name] and all(isinstance(r, dict) for r in data[name]))
    return data[name]


def table(rows: List, key: str = 'id') -> Dict:
    demand(all(key in row for row in rows))
    ids = [read_id(row[key]) for row in rows]
    demand(len(set(ids)) == len(ids))
    return dict(zip(ids, rows))


def read_plainly(data: Any, for_evaluation: bool) -> Dict[Any, List]:
    """(video id, frame) -> its file name (for training), and the objects there in the order of the file: id, category
    id, whether a crowd, box, area, pixels. For the evaluation without boxes, and also those without a valid box.

    Raises:
        Malformed: the file must be refused.
    """
    demand(isinstance(data, dict))
    videos = table(records(data, 'videos'))
    names: Dict = {}
    for category in records(data, 'categories'):
        demand('id' in category and isinstance(category.get('name'), str))
        demand(names.setdefault(read_id(category['id']), category['name']) == category['name'])
    lengths = {video_id: read_video(video, for_evaluation) for video_id, video in videos.items()}
    found = {(video_id, t): [None if for_evaluation else videos[video_id]['file_names'][t]]
             for video_id, length in lengths.items() for t in range(min(length, 100))}
    if data.get('annotations') in (None, []) and not isinstance(data.get('annotations'), (bool, int, float)):
        demand(not for_evaluation)
        return found
    objects = table(records(data, 'annotations'))
    if for_evaluation:
        demand(all('iscrowd' in record for record in objects.values()))
        demand(len(set(map(type, videos))) == 1 and len(set(map(type, names))) == 1)
    for object_id, record in objects.items():
        demand('video_id' in record and 'category_id' in record and 'segmentations' in record)
        video_id, category_id = read_id(record['video_id']), read_id(record['category_id'])
        demand(video_id in videos and category_id in names)
        crowd = record.get('iscrowd', 0)
        demand(type(crowd) in (bool, int, float) and crowd in (0, 1))
        lists = []
        for field in ('segmentations', 'bboxes', 'areas'):
            values = record[field] if field in record else [...] * lengths[video_id]
            demand(isinstance(values, list) and len(values) == lengths[video_id])
            lists.append(values)
        for t, (mask, box, area) in enumerate(zip(*lists)):
            pixels = read_mask(mask, whole(videos[video_id]['height']), whole(videos[video_id]['width']))
            box, area = read_box(box, pixels), read_area(area, pixels)
            if pixels is None:
                continue
            if for_evaluation:
                found[video_id, t].append((object_id, category_id, bool(crowd), area or 0, pixels.tobytes()))
            elif (area is None or area > 0) and reaches_into(box, *pixels.shape):
                box = tuple(np.float32(box)) if max(map(abs, box)) <= 1 << 24 else None
                found[video_id, t].append((object_id, category_id, bool(crowd), box, pixels.tobytes()))
    return found


def read_video(video: Dict, for_evaluation: bool) -> int:
    """The number of frames."""
    demand(1 <= whole(video.get('height')) <= LONGEST_SIDE and 1 <= whole(video.get('width')) <= LONGEST_SIDE)
    length = None
    if 'length' in video:
        length = whole(video['length'])
        demand(1 <= length <= MOST_FRAMES)
    if 'file_names' not in video:
        demand(length is not None and for_evaluation)
        return length
    names = video['file_names']
    demand(isinstance(names, list) and names and all(isinstance(name, str) and name for name in names))
    for name in names:
        demand('\0' not in name and not any('\ud800' <= c <= '\udfff' and not '\udc80' <= c <= '\udcff' for c in name))
    demand(length in (None, len(names)))
    return len(names)


def read_area(area: Any, pixels: Optional[np.ndarray]) -> Optional[float]:
    if area is ...:
        return None if pixels is None else int(pixels.sum())
    demand(area is None or 0 <= number(area) <= LONGEST_SIDE ** 2)
    return area


def read_box(box: Any, pixels: Optional[np.ndarray]) -> Optional[List[float]]:
    if box is ...:
        if pixels is None:
            return None
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        return [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    if box is None or box == []:
        return None
    demand(isinstance(box, list) and len(box) == 4)
    return [number(value) for value in box]


def reaches_into(box: Optional[List[float]], height: int, width: int) -> bool:
    if box is None:
        return False
    x, y, w, h = box
    return w >= 1 and h >= 1 and x < width and y < height and x + w > 0 and y + h > 0


def read_mask(mask: Any, height: int, width: int) -> Optional[np.ndarray]:
    """uint8 [height, width]; None without a pixel. A polygon far outside is drawn as all ones: the tests of polygons
    look at those."""
    if mask is None or (mask in ([], {}) and isinstance(mask, (list, dict))):
        return None
    if isinstance(mask, dict):
        demand(mask.get('size') == [height, width] and isinstance(mask.get('counts'), (list, str)))
        counts = mask['counts']
        runs = plain_runs(counts) if isinstance(counts, str) else counts
        demand(all(type(run) is int and 0 <= run <= height * width for run in runs) and sum(runs) == height * width)
        pixels = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8).reshape(width, height).T
    else:
        demand(isinstance(mask, list))
        for polygon in mask:
            demand(isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0)
            demand(all(math.isfinite(number(value)) for value in polygon))
        if max(abs(value) for polygon in mask for value in polygon) > 1000:
            return np.ones((height, width), np.uint8)
        pixels = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(mask, height, width)))
    return np.ascontiguousarray(pixels) if pixels.any() else None


def plain_runs(counts: str) -> List[int]:
    """The run lengths of a compressed string."""
    runs: List[int] = []
    place = value = 0
    for position, character in enumerate(counts):
        code = ord(character) - 48
        demand(0 <= code < 64 and place < 11)
        value += (code & 31) << 5 * place
        place += 1
        if code < 32:
            value -= (code & 16) << (5 * place - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            place = value = 0
        else:
            demand(position + 1 < len(counts))
    return runs
