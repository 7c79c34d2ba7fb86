"""Tiny sets in YouTube-VIS layout for tests: coloured rectangles that move over a grey background."""
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import cv2
import numpy as np

from mmvis.structures import encode_mask

CATEGORIES = ({'id': 3, 'name': 'square'}, {'id': 7, 'name': 'bar'}, {'id': 12, 'name': 'plate'})


def make_tiny_dataset(root, num_videos: int = 2, num_frames: int = 6, size: Tuple[int, int] = (48, 80),
                      num_objects: int = 2, split: str = 'train', mask_format: str = 'string', seed: int = 0,
                      categories: Sequence[Dict[str, Any]] = CATEGORIES, annotated: bool = True) -> Path:
    """Write ``root/<split>.json`` and ``root/<split>/JPEGImages/<video>/<frame>.jpg``; returns the annotation file.

    The ids of videos, categories and annotations are not positions: 10, 20, ..., those of ``categories``, 100, 101, ...
    The last object of every video is absent (null) in frame 1 (if there are two objects and three frames).

    Args:
        size: (height, width) of the frames.
        mask_format: 'string' or 'list' (RLE), or 'polygon'.
        annotated: ``False`` leaves the list of annotations out, as in valid.json of the official sets.
    """
    root = Path(root)
    rng = np.random.default_rng(seed)
    videos: List[Dict] = []
    annotations: List[Dict] = []
    for number in range(num_videos):
        video = dict(id=10 * (number + 1), width=size[1], height=size[0], length=num_frames,
                     file_names=[f'video_{number}/{t:05d}.jpg' for t in range(num_frames)])
        videos.append(video)
        tracks = [_track(rng, size, num_frames) for _ in range(num_objects)]
        if num_objects > 1 and num_frames > 2:
            tracks[-1][1] = None
        _write_frames(root / split / 'JPEGImages', video, tracks, rng)
        for track in tracks:
            category = categories[len(annotations) % len(categories)]
            annotations.append(_annotation(100 + len(annotations), video, category['id'], track, mask_format))
    data = dict(info={}, videos=videos, categories=list(categories))
    if annotated:
        data['annotations'] = annotations
    ann_file = root / f'{split}.json'
    ann_file.write_text(json.dumps(data))
    return ann_file


def edit_json(path, change) -> None:
    """Load a JSON file, hand its content to ``change`` (which edits it in place), and write it back."""
    path = Path(path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _track(rng: np.random.Generator, size: Tuple[int, int], num_frames: int) -> List:
    """Boxes x y w h of one rectangle, all inside the frame."""
    height, width = size
    w, h = int(rng.integers(width // 6, width // 3)), int(rng.integers(height // 6, height // 3))
    start = rng.uniform(0, 1, 2) * (width - w, height - h)
    end = rng.uniform(0, 1, 2) * (width - w, height - h)
    steps = np.linspace(0, 1, num_frames)
    return [[int(x), int(y), w, h] for x, y in (start + step * (end - start) for step in steps)]


def _write_frames(folder: Path, video: Dict, tracks: List[List], rng: np.random.Generator) -> None:
    colours = rng.integers(60, 255, (len(tracks), 3)).tolist()
    for t, name in enumerate(video['file_names']):
        image = np.full((video['height'], video['width'], 3), 40, np.uint8)
        for track, colour in zip(tracks, colours):
            if track[t] is not None:
                x, y, w, h = track[t]
                image[y:y + h, x:x + w] = colour
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)


def _annotation(annotation_id: int, video: Dict, category_id: int, track: List, mask_format: str) -> Dict:
    return dict(id=annotation_id, video_id=video['id'], category_id=category_id, iscrowd=0, width=video['width'],
                height=video['height'], length=video['length'],
                bboxes=[None if box is None else [float(v) for v in box] for box in track],
                areas=[None if box is None else box[2] * box[3] for box in track],
                segmentations=[None if box is None else _mask(box, video, mask_format) for box in track])


def _mask(box: List[int], video: Dict, mask_format: str):
    x, y, w, h = box
    if mask_format == 'polygon':
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]
    mask = np.zeros((video['height'], video['width']), np.uint8)
    mask[y:y + h, x:x + w] = 1
    if mask_format == 'string':
        return encode_mask(mask)
    pixels = np.concatenate([[0], mask.ravel(order='F')])  # runs start with zeros
    changes = np.flatnonzero(np.diff(pixels))
    runs = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return dict(size=[video['height'], video['width']], counts=runs.tolist())
