"""An annotation file as the evaluation needs it: tracks by video, with their masks decoded, kept on disk between runs."""
import math
import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Dict, List, Sequence, Tuple, Union

import numpy as np

from mmvis.annotations import Content, read_content
from mmvis.annotations.kept import read_kept
from mmvis.errors import InputError
from mmvis.log import print_log

from .masks import TrackMasks
from .rules import OCCLUSION_LEVELS

#: Raised when the meaning of the arrays changes, so that older copies are not used.
_FORMAT = 2
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


def load_ground_truth(ann_file: Union[str, os.PathLike]) -> GroundTruth:
    """Read an annotation file, from the kept copy in the user's cache folder if there is one.

    Raises:
        InputError: there is no such file, it is no annotation file, or it has no annotations; one sentence names file,
            record, field and value.
    """
    note = partial(print_log, logger='current')
    meta, arrays, _ = read_kept(ann_file, f'truth{_FORMAT}',
                                lambda data: _as_arrays(read_content(data, str(ann_file), for_evaluation=True)), note)
    truth = _from_arrays(str(ann_file), meta, arrays)
    if arrays['crowd'].all():
        note(f'{ann_file}: all {len(arrays["crowd"])} objects are crowds (iscrowd 1), so nothing can be measured.')
    return truth


def join_truths(parts: Sequence[GroundTruth]) -> GroundTruth:
    """Several annotation files as one, such as the short and the long videos of YouTube-VIS 2022.

    Raises:
        InputError: their categories differ, or a video id stands in two of them.
    """
    videos: Dict[Union[int, str], AnnotatedVideo] = {}
    first = 0
    for part in parts:
        if part.categories != parts[0].categories:
            raise InputError(f'{part.path} and {parts[0].path} have different categories: they cannot be evaluated as one.')
        twice = next((video_id for video_id in part.videos if video_id in videos), None)
        if twice is not None:
            raise InputError(f'{part.path}: video id {twice!r} stands in another of the annotation files, too: they cannot '
                             'be evaluated as one.')
        videos.update((key, replace(video, tracks=video.tracks + first)) for key, video in part.videos.items())
        first += len(part.masks)
    return GroundTruth(' and '.join(part.path for part in parts), parts[0].categories,
                       {key: videos[key] for key in sorted(videos)}, TrackMasks.concatenate([part.masks for part in parts]))


def _from_arrays(path: str, meta: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> GroundTruth:
    videos, first = {}, 0
    for video_id, name, num_frames, count in meta['videos']:
        tracks = slice(first, first + count)
        videos[video_id] = AnnotatedVideo(
            video_id, name, num_frames, np.arange(first, first + count), meta['track_ids'][tracks],
            *(arrays[key][tracks] for key in ('categories', 'crowd', 'areas', 'occlusion')))
        first += count
    return GroundTruth(path, dict(meta['categories']), videos, TrackMasks(*(arrays[key] for key in _MASK_FIELDS)))


def _as_arrays(content: Content) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """``meta`` and arrays of an annotation file whose objects are in the order of the evaluation."""
    if not content.object_ids:
        raise InputError(f'{content.path}: it holds no annotations, so nothing can be evaluated.')
    for object_id, crowd in zip(content.object_ids, content.object_crowd):
        if crowd < 0:
            raise InputError(f'{content.path}: annotation {object_id!r}: iscrowd is missing.')
    order = sorted(range(len(content.categories)), key=content.categories.__getitem__)
    place = np.argsort(order)
    counts = np.bincount(content.object_videos, minlength=len(content.videos)).tolist()
    videos = sorted([video.video_id, _name(video.video_id, video.file_names), video.num_frames, count]
                    for video, count in zip(content.videos, counts))
    meta = dict(categories=[list(content.categories[k]) for k in order], videos=videos, track_ids=content.object_ids)
    present = np.array([counts is not None for counts in content.masks], bool)
    sizes = np.array([[video.height, video.width] for video in content.videos])[content.object_videos]
    masks = TrackMasks.from_present(content.first, present, sizes[content.item_objects[present]], content.found)
    arrays = dict(categories=place[content.object_categories], crowd=content.object_crowd == 1,
                  areas=_mean_areas(content),
                  occlusion=np.array([_occlusion(levels) for levels in content.object_occlusion], np.float64))
    return meta, dict(arrays, **{name: getattr(masks, name) for name in _MASK_FIELDS})


def _name(video_id: Any, file_names: Any) -> str:
    """The folder of the first frame."""
    return os.path.dirname(file_names[0] if file_names else '') or str(video_id)


def _mean_areas(content: Content) -> np.ndarray:
    """Mean of the areas of every object over the frames where they are not 0; 0 if there is none."""
    counted = content.areas > 0
    means = [np.mean(content.areas[first:last][counted[first:last]]) if counted[first:last].any() else 0.
             for first, last in zip(content.first[:-1], content.first[1:])]
    return np.array(means, np.float64)


def _occlusion(levels: Any) -> float:
    """Occlusion of a track as OVIS has it: the mean over the more occluded half of its frames. NaN if not given."""
    if not isinstance(levels, list) or not all(level is None or (isinstance(level, str) and level in OCCLUSION_LEVELS)
                                                for level in levels):
        return math.nan
    values = sorted(OCCLUSION_LEVELS[level] for level in levels if level is not None)
    half = values[len(values) // 2:]  # the larger ceil(n / 2) of n
    return sum(half) / len(half) if half else math.nan
