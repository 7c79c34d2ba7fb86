"""The tracks of a results file or of the annotations, with the numbers that give them their colours. No PyTorch here."""
import itertools
import os
from dataclasses import dataclass, field
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.annotations import AnnotationIndex, VideoRecord
from mmvis.errors import InputError
from mmvis.evaluation.results_reader import iterate_results
from mmvis.evaluation.results_repair import as_rle, is_rle
from mmvis.structures import RLE
from mmvis.structures.rle_check import areas_of_good

from .appearance import number_tracks

VideoId = Union[int, str]


@dataclass
class Track:
    """One object through a video.

    Attributes:
        track_id: the number that gives it its colour.
        masks: frame -> RLE, only where there is a pixel.
        entry: its place among the results of its video in the file, or the id of the annotated object.
    """
    track_id: int
    label: int
    score: float
    masks: Dict[int, RLE]
    entry: int = -1


@dataclass
class Drawing:
    """What is to be drawn: tracks by video, and a name for each label."""
    title: str
    classes: List[str]
    tracks: Dict[VideoId, List[Track]] = field(default_factory=dict)


def read_results(path: Union[str, os.PathLike], index: AnnotationIndex, videos: Collection[VideoId],
                 thresh: float) -> Drawing:
    """The tracks of some videos with a score of at least ``thresh``, by falling score, with the numbers that the
    overlays of a run colour them by (``AppearanceOrder``).

    Raises:
        ValueError: an entry that cannot be drawn; the sentence names entry and field.
    """
    labels = {category_id: label for label, (category_id, _) in enumerate(index.meta['categories'])}
    drawing = Drawing('results', [name for _, name in index.meta['categories']])
    positions = {video_id: position for position, video_id in enumerate(index.meta['video_ids'])}
    first_masks: Dict[VideoId, List[Optional[Tuple[int, str]]]] = {}  # of all entries
    for number, entry in enumerate(iterate_results(path)):
        where = f'{path}, entry {number}'
        try:
            video_id, category_id, score = entry['video_id'], entry['category_id'], float(entry['score'])
            if video_id not in positions:
                raise InputError(f'{where}: video_id {video_id!r} is not in {index.meta["ann_file"]}.')
            if video_id not in videos:
                continue
            seen = first_masks.setdefault(video_id, [])
            seen.append(_first_mask(entry['segmentations']))
            if not score >= thresh:
                continue
            masks = _read_masks(entry['segmentations'], index.video(positions[video_id]), where)
            if category_id not in labels:
                labels[category_id] = len(drawing.classes)
                drawing.classes.append(f'category {category_id}')
        except (KeyError, TypeError):
            raise InputError(f'{where}: video_id, category_id, score or segmentations are missing or of another kind '
                             '(tools/check_results.py says more).') from None
        track = Track(0, labels[category_id], score, masks, entry=len(seen) - 1)
        drawing.tracks.setdefault(video_id, []).append(track)
    numbers = {video_id: number_tracks(seen) for video_id, seen in first_masks.items()}
    for video_id, tracks in drawing.tracks.items():
        for track in tracks:
            track.track_id = numbers[video_id][track.entry]
    for tracks in drawing.tracks.values():
        tracks.sort(key=lambda track: -track.score)
    return drawing


def _first_mask(frames: Sequence[Any]) -> Optional[Tuple[int, str]]:
    """Frame and counts of the first mask that has a pixel; what is no RLE is passed over."""
    for t, frame in enumerate(frames):
        if isinstance(frame, dict) and is_rle(frame):
            pixels = np.array([int(frame['size'][0]) * int(frame['size'][1])])
            areas = areas_of_good([frame['counts']], pixels)
            if areas is not None and areas[0]:
                return t, frame['counts']
    return None


def _read_masks(frames: Sequence[Any], video: VideoRecord, where: str) -> Dict[int, RLE]:
    size, masks = [video.height, video.width], {}
    for t, frame in enumerate(frames[:video.num_frames]):
        if not frame:
            continue
        rle, problem = (frame, '') if isinstance(frame, dict) and is_rle(frame) else as_rle(frame, size)
        if rle is None:
            raise InputError(f'{where}: segmentations[{t}]{problem}.')
        if rle['size'] != size:
            raise InputError(f'{where}: segmentations[{t}].size is {rle["size"]}, but the frames of video '
                             f'{video.video_id!r} are {size}.')
        masks[t] = rle
    areas = areas_of_good([rle['counts'] for rle in masks.values()], np.full(len(masks), video.height * video.width))
    if areas is None:
        raise InputError(f'{where}: a counts string of segmentations is no RLE of {size} '
                         '(tools/check_results.py says which).')
    return {t: rle for (t, rle), area in zip(masks.items(), areas.tolist()) if area}


def read_ground_truth(index: AnnotationIndex, videos: Collection[VideoId]) -> Drawing:
    """The annotated objects of some videos, numbered from 1 in the order of the file."""
    drawing = Drawing('ground truth', [name for _, name in index.meta['categories']])
    for position, video_id in enumerate(index.meta['video_ids']):
        if video_id not in videos:
            continue
        size, tracks = [int(index.heights[position]), int(index.widths[position])], {}
        for t in range(int(index.frame_ptr[position + 1] - index.frame_ptr[position])):
            for entry in index.entries(position, t).tolist():
                found = int(index.entry_objects[entry])
                text = index.mask_bytes[index.mask_ptr[entry]:index.mask_ptr[entry + 1]].tobytes().decode('ascii')
                track = tracks.setdefault(found, Track(0, int(index.object_categories[found]), 1.0, {},
                                                       entry=int(index.object_ids[found])))
                track.masks[t] = RLE(size=size, counts=text)
        drawing.tracks[video_id] = [tracks[found] for found in sorted(tracks)]
        for number, track in enumerate(drawing.tracks[video_id], start=1):
            track.track_id = number
    return drawing


def match_colours(truth: Drawing, results: Drawing) -> None:
    """Give each annotated object the number, and so the colour, of the track that covers it best, if one does by half; one
    of its class before others.

    Objects without a track get numbers that no track has.
    """
    for video_id, objects in truth.tracks.items():
        match_numbers(objects, results.tracks.get(video_id, []))


def match_numbers(objects: Sequence[Track], tracks: Sequence[Track]) -> None:
    """``match_colours`` of one video; ``objects`` may be the tracks of another results file as well."""
    iou = track_iou(tracks, objects)
    number_of: Dict[int, int] = {}
    # Systems with queries give the same masks under several classes: the object's own goes first.
    pairs = sorted(((tracks[t].label == objects[o].label, iou[t, o], t, o) for t, o in zip(*np.nonzero(iou >= 0.5))),
                   reverse=True)
    for _, _, t, o in pairs:
        if o not in number_of and tracks[t].track_id not in number_of.values():
            number_of[o] = tracks[t].track_id
    free = itertools.count(max((track.track_id for track in tracks), default=0) + 1)
    for o, found in enumerate(objects):
        found.track_id = number_of[o] if o in number_of else next(free)


def track_iou(first: Sequence[Track], second: Sequence[Track]) -> np.ndarray:
    """Pixels in both over pixels in either, through the video: float64 [N, M]."""
    both, areas = np.zeros((len(first), len(second))), [np.zeros(len(first)), np.zeros(len(second))]
    for t in sorted({t for track in (*first, *second) for t in track.masks}):
        there = [[n for n, track in enumerate(tracks) if t in track.masks] for tracks in (first, second)]
        rles = [[encoded(tracks[n].masks[t]) for n in own] for tracks, own in zip((first, second), there)]
        pixels = [coco_mask.area(own).astype(np.float64) if own else np.zeros(0) for own in rles]
        for total, own, area in zip(areas, there, pixels):
            total[own] += area
        if rles[0] and rles[1]:  # as of crowds: pixels in both over those of the first
            both[np.ix_(*there)] += coco_mask.iou(*rles, [1] * len(rles[1])) * pixels[0][:, None]
    either = areas[0][:, None] + areas[1][None, :] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def encoded(rle: RLE) -> Dict[str, Any]:
    """An RLE as pycocotools takes it."""
    return {'size': rle['size'], 'counts': rle['counts'].encode('ascii')}
