"""An annotation file with its masks decoded, kept on disk between runs."""
import gc
import hashlib
import json
import math
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Union

import numpy as np
from mmengine.logging import print_log
from pycocotools import mask as coco_mask

from mmvis.errors import InputError, InputMissingError
from mmvis.structures.array_cache import cache_folder, load_arrays, save_arrays

from .kernels_numpy import runs_to_spans
from .masks import TrackMasks, read_masks
from .rules import OCCLUSION_LEVELS

#: Raised when the meaning of the arrays changes, so that older cache files are not used.
_FORMAT = 1
#: A smaller file is read anew in less time than a cache costs.
MIN_CACHED_BYTES = 4 << 20
_MASK_FIELDS = ('frames', 'heights', 'widths', 'pixels', 'starts', 'spans')


@dataclass
class AnnotatedVideo:
    """One video of the annotation file with its G tracks, sorted by category, then in the order of the file.

    Attributes:
        video_id, name, num_frames: of the file; name is the folder of the first frame.
        tracks: int64 [G], numbers of its tracks in GroundTruth.masks.
        track_ids: G ids of the file.
        categories: int64 [G], positions in GroundTruth.category_ids.
        crowd: bool [G].
        areas: float64 [G], mean of the file's ``areas`` over the frames where they are not 0.
        occlusion: float64 [G], 0 to 1; NaN where the file does not say.
    """
    video_id: Union[int, str]
    name: str
    num_frames: int
    tracks: np.ndarray
    track_ids: List[Any]
    categories: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    occlusion: np.ndarray


@dataclass
class GroundTruth:
    """An annotation file, ready for the evaluation.

    Attributes:
        path: of the file.
        categories: id -> name, by rising id. Only these are evaluated.
        videos: id -> AnnotatedVideo, by rising id.
        masks: of all tracks.
    """
    path: str
    categories: Dict[int, str]
    videos: Dict[Union[int, str], AnnotatedVideo]
    masks: TrackMasks

    def __post_init__(self) -> None:
        self.category_ids = list(self.categories)
        count = Counter(self.categories.values())
        #: Names by position; where two categories share a name, with the id.
        self.names = [f'{name} ({key})' if count[name] > 1 else name for key, name in self.categories.items()]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of small objects without a cycle among them: the collector would only walk them over and over."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_json(path: Union[str, os.PathLike]) -> Any:
    """The contents of a JSON file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not JSON.
    """
    if not os.path.isfile(path):
        raise InputMissingError(f'{path}: there is no such file.')
    try:
        with no_garbage_collection():
            return json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f'{path}: not a JSON file ({error}).') from None


def load_ground_truth(ann_file: Union[str, os.PathLike]) -> GroundTruth:
    """Read an annotation file in the YouTube-VIS format, from the cache in the user's cache folder if it is up to date.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, no annotations, or a field is missing; the text names it.
    """
    path = os.path.abspath(ann_file)
    if not os.path.isfile(path):
        raise InputMissingError(f'{ann_file}: there is no such file.')
    stat = os.stat(path)
    folder = cache_folder() if stat.st_size >= MIN_CACHED_BYTES else None
    key = f'truth {_FORMAT} {path} {stat.st_size} {stat.st_mtime_ns}'
    cache_file = folder and os.path.join(folder, hashlib.sha256(path.encode()).hexdigest()[:24] + '.truth')
    found = load_arrays(cache_file, key) if cache_file else None
    if found:
        return _from_arrays(str(ann_file), *found)
    meta, arrays = _read_annotations(read_json(path), str(ann_file))
    if cache_file:
        try:
            save_arrays(cache_file, key, meta, arrays)
        except OSError as error:
            print_log(f'the masks of {ann_file} could not be kept for the next time: {error}', logger='current')
    return _from_arrays(str(ann_file), meta, arrays)


def _from_arrays(path: str, meta: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> GroundTruth:
    videos, first = {}, 0
    for video_id, name, num_frames, count in meta['videos']:
        tracks = slice(first, first + count)
        videos[video_id] = AnnotatedVideo(
            video_id, name, num_frames, np.arange(first, first + count), meta['track_ids'][tracks],
            *(arrays[key][tracks] for key in ('categories', 'crowd', 'areas', 'occlusion')))
        first += count
    return GroundTruth(path, dict(meta['categories']), videos, TrackMasks(*(arrays[key] for key in _MASK_FIELDS)))


def _read_annotations(data: Any, path: str) -> Any:
    """``meta`` and arrays of the contents of an annotation file; tracks by video id, category and order of the file."""
    for key in ('videos', 'categories'):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise InputError(f'{path}: {key} is missing, so this is no annotation file of YouTube-VIS.')
    if not data.get('annotations'):
        raise InputError(f'{path}: it holds no annotations, so nothing can be evaluated.')
    names = {category['id']: str(category.get('name', category['id'])) for category in data['categories']}
    try:
        categories, videos = sorted(names.items()), {v['id']: v for v in sorted(data['videos'], key=lambda v: v['id'])}
    except TypeError:
        raise InputError(
            f'{path}: the ids of videos, and those of categories, must be all numbers or all texts.') from None
    place = {category_id: k for k, (category_id, _) in enumerate(categories)}
    of_video: Dict[Any, List[Dict]] = {video_id: [] for video_id in videos}
    for annotation in data['annotations']:
        owner = f'{path}, annotation {annotation.get("id")!r}'
        for key in ('video_id', 'category_id', 'iscrowd', 'segmentations', 'areas'):
            if key not in annotation:
                raise InputError(f'{owner}: {key} is missing.')
        if annotation['video_id'] not in of_video:
            raise InputError(f'{owner}: video_id {annotation["video_id"]!r} is not among the videos.')
        if annotation['category_id'] in place:
            of_video[annotation['video_id']].append(annotation)
    meta_videos, tracks, parts = [], [], []
    with no_garbage_collection():
        for video_id, video in videos.items():
            own = sorted(of_video[video_id], key=lambda annotation: place[annotation['category_id']])
            owners = [f'{path}, annotation {annotation.get("id")!r}' for annotation in own]
            parts.append(_read_video_masks([a['segmentations'] for a in own], owners, video['height'], video['width']))
            tracks += own
            files = video.get('file_names') or ['']
            length = video.get('length', len(files))
            meta_videos.append([video_id, os.path.dirname(str(files[0])) or str(video_id), int(length), len(own)])
    meta = dict(categories=categories, videos=meta_videos, track_ids=[track.get('id') for track in tracks])
    arrays = dict(categories=np.array([place[track['category_id']] for track in tracks], np.int64),
                  crowd=np.array([bool(track['iscrowd']) for track in tracks], bool),
                  areas=np.array([_mean_area(track['areas']) for track in tracks], np.float64),
                  occlusion=np.array([_occlusion(track.get('occlusion')) for track in tracks], np.float64))
    return meta, dict(arrays, **_join(parts))


def _mean_area(areas: Sequence[Any]) -> float:
    counted = [area for area in areas if area]
    return float(np.mean(counted)) if counted else 0.0


def _occlusion(levels: Any) -> float:
    """Occlusion of a track as OVIS has it: the mean over the more occluded half of its frames. NaN if not given."""
    if not isinstance(levels, list) or not all(level is None or level in OCCLUSION_LEVELS for level in levels):
        return math.nan
    values = sorted(OCCLUSION_LEVELS[level] for level in levels if level is not None)
    half = values[len(values) // 2:]  # the larger ceil(n / 2) of n
    return sum(half) / len(half) if half else math.nan


def _read_video_masks(tracks: List[Any], owners: List[str], height: int, width: int) -> TrackMasks:
    """Decode the masks of the annotated tracks of a video: RLEs with list or string counts, or polygons."""
    frames = [segmentation for track in tracks for segmentation in track if segmentation]
    if not frames or not all(isinstance(s, Mapping) and isinstance(s['counts'], list) for s in frames):
        return read_masks([[_as_rle(s, height, width) for s in track] for track in tracks], owners)
    lengths = np.array([len(s['counts']) for s in frames], np.int64)
    first_run = np.concatenate([[0], np.cumsum(lengths)])
    runs = np.fromiter(chain.from_iterable([s['counts'] for s in frames]), np.int64, first_run[-1])
    sizes = np.array([s['size'] for s in frames], np.int64)
    spans = np.empty((len(runs) // 2 + len(frames), 2), np.uint32)
    starts, pixels = np.zeros(len(frames) + 1, np.int64), np.zeros(len(frames), np.int64)
    bad = runs_to_spans(runs, first_run, sizes.prod(1), spans, starts, pixels)
    present = np.array([bool(s) for track in tracks for s in track], bool)
    counts = np.concatenate([[0], np.cumsum([len(track) for track in tracks])])
    if bad >= 0:
        owner = owners[int(np.searchsorted(counts, np.flatnonzero(present)[bad], side='right')) - 1]
        raise InputError(f'{owner}: counts of segmentations do not fill a frame of {sizes[bad, 0]} x {sizes[bad, 1]}.')
    return TrackMasks.from_present(counts, present, sizes, pixels, starts, spans)


def _as_rle(segmentation: Any, height: int, width: int) -> Any:
    """A frame of an annotation as compressed RLE; None if empty."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation.get('counts'), list):
        return coco_mask.frPyObjects(segmentation, *segmentation['size'])
    return segmentation


def _join(parts: List[TrackMasks]) -> Dict[str, np.ndarray]:
    """The masks of all videos in one."""
    out = {name: np.concatenate([getattr(part, name) for part in parts])
           for name in ('heights', 'widths', 'pixels', 'spans')}
    for name, moved in (('frames', 'pixels'), ('starts', 'spans')):
        base = np.cumsum([0] + [len(getattr(part, moved)) for part in parts])
        out[name] = np.concatenate([[0]] + [getattr(part, name)[1:] + base[i] for i, part in enumerate(parts)])
    return out
