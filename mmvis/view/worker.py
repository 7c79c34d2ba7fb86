"""What takes long: the evaluator's numbers, and where two results files differ. Both run in a process of their own
(``process``) and are kept for the next start in the user's cache folder, by the content of the files."""
import hashlib
import os
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmvis.annotations import load_annotations, no_garbage_collection, read_json
from mmvis.annotations.json_file import read_bytes
from mmvis.evaluation import Evaluator, GroundTruth
from mmvis.evaluation.errors import ERRORS, VideoErrors, summarize_errors
from mmvis.evaluation.masks import TrackMasks, read_masks, track_overlap
from mmvis.evaluation.output import as_dict
from mmvis.structures.array_cache import cache_folder, load_arrays, save_arrays

from .process import told

#: Raised when the meaning of what is kept changes.
_FORMAT = 1
_KINDS = list(ERRORS)
#: IoU from which two masks are taken for the same object.
SAME = 0.5

#: Takes the name of a result, which file it is of, and the result.
Tell = Callable[[str, int, Any], None]


def evaluate_files(ann_file: str, results: Sequence[str], tell: Tell) -> None:
    """Tell 'index' when the annotation file is kept as arrays, then 'numbers' of every results file, part by part, or
    'failure' with a sentence."""
    load_annotations(ann_file, note=lambda sentence: None)
    tell('index', 0, None)
    for number, path in enumerate(results):
        try:
            for part in kept_parts(f'numbers{_FORMAT}', (ann_file, path), lambda: _evaluate(ann_file, path)):
                tell('numbers', number, part)
        except Exception as error:  # told on the page: the others go on
            tell('failure', number, told(error))


def compare_files(first: str, second: str, thresh: float, tell: Tell) -> None:
    """Tell 'comparison' part by part, or 'failure' with a sentence."""
    try:
        for part in kept_parts(f'comparison{_FORMAT}-{thresh:g}', (first, second),
                               lambda: _compare(first, second, thresh)):
            tell('comparison', 0, part)
    except Exception as error:  # told on the page
        tell('failure', 0, told(error))


def kept_parts(kind: str, files: Sequence[str], compute: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """The parts that ``compute`` makes of these files, or the ones that were kept of the same contents."""
    digest = '-'.join(hashlib.sha256(read_bytes(path)).hexdigest() for path in files)
    key, folder = f'view-{kind}-{digest}', cache_folder()
    kept = folder and load_arrays(os.path.join(folder, _short(key)), key)
    if kept:
        yield from kept[0]['parts']
        return
    parts = []
    for part in compute():
        parts.append(part)
        yield part
    if folder:
        with suppress(OSError):  # a full disk costs the copy alone
            save_arrays(os.path.join(folder, _short(key)), key, {'parts': parts}, {})


def _short(key: str) -> str:
    return f'view-{hashlib.sha256(key.encode()).hexdigest()}'


# -- the evaluator's numbers

def _evaluate(ann_file: str, path: str) -> Iterator[Dict[str, Any]]:
    """AP, then tracking, then errors: each with ``overall`` and ``videos``, pairs of an id and its numbers."""
    with no_garbage_collection():
        evaluator = Evaluator(path, ann_file)
        evaluation = evaluator.evaluate(per_video=True)
        numbers = as_dict(evaluation, evaluator.rules)
        yield dict(overall=dict(zip(numbers['names'], numbers['stats'])), categories=numbers['per_category'],
                   notes=evaluation.notes,
                   videos=[[video_id, dict(AP=ap if ap > -1 else None)] for video_id, ap in evaluation.per_video.items()])
        tracking, names = evaluator.tracking(), _object_numbers(evaluator.truth, ann_file)
        videos = [[video_id, dict(HOTA=scores['HOTA'], IDSW=int(scores['IDSW']),
                                  timeline=_timeline(tracking.timelines[video_id], names[video_id]))]
                  for video_id, scores in tracking.per_video.items()]
        yield dict(overall={name: tracking.class_averaged[name] for name in ('HOTA', 'DetA', 'AssA', 'IDF1', 'IDSW')},
                   videos=videos)
        found = evaluator.find_errors()
        errors = summarize_errors(found, len(evaluator.truth.names))
        yield dict(overall=dict(errors=errors.counts, gains=errors.gains),
                   videos=[[one.match.video_id, dict(errors=errors.per_video[one.match.video_id],
                                                     **_wrong_tracks(one, names[one.match.video_id]))] for one in found])


def _object_numbers(truth: GroundTruth, ann_file: str) -> Dict[Any, List[int]]:
    """The numbers that ``AnnotationIndex.object_ids`` has for the annotated tracks of every video."""
    ids = [track_id for video in truth.videos.values() for track_id in video.track_ids]
    place = None
    if not all(isinstance(value, int) and -1 << 63 <= value < 1 << 63 for value in ids):
        place = {record['id']: number for number, record in enumerate(read_json(ann_file)['annotations'])}
    return {video_id: [track_id if place is None else place[track_id] for track_id in video.track_ids]
            for video_id, video in truth.videos.items()}


def _timeline(cells: np.ndarray, names: Sequence[int]) -> List[Any]:
    """For each annotated track its number and [first frame, frame behind the last, result or -1] of every stretch."""
    return [[name, [[start, end, value] for start, end, value in stretches(track) if value != -2]]
            for name, track in zip(names, cells)]


def stretches(values: np.ndarray) -> Iterator[Tuple[int, int, Any]]:
    """Where equal values stand in a row: start, end (not included) and value."""
    bounds = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    for start, end in zip(bounds[:-1], bounds[1:]):
        if end > start:
            yield start, end, values[start].item()


def _wrong_tracks(found: VideoErrors, names: Sequence[int]) -> Dict[str, Any]:
    """``wrong``: [result, kind of error, annotated track or None]; ``missed``: annotated tracks."""
    wrong = np.flatnonzero(found.kinds >= 0)
    return dict(wrong=[[int(found.match.entries[d]), _KINDS[found.kinds[d]],
                        names[found.targets[d]] if found.targets[d] >= 0 else None] for d in wrong],
                missed=[names[g] for g in np.flatnonzero(found.missed)])


# -- two results files

def _compare(first: str, second: str, thresh: float) -> Iterator[List[Any]]:
    """Pairs of a video id and ``compare_video``, some tens of videos at a time."""
    with no_garbage_collection():
        files = [_by_video(path, thresh) for path in (first, second)]
        part = []
        for video_id in sorted(set(files[0]) | set(files[1]), key=lambda value: (isinstance(value, str), value)):
            part.append([video_id, compare_video(*(own.get(video_id, []) for own in files))])
            if len(part) == 20:
                yield part
                part = []
        yield part


def _by_video(path: str, thresh: float) -> Dict[Any, List[Dict]]:
    """The entries of a file that score at least ``thresh``, by video."""
    found: Dict[Any, List[Dict]] = {}
    for entry in read_json(path):
        if entry['score'] >= thresh:
            found.setdefault(entry['video_id'], []).append(entry)
    return found


def compare_video(first: Sequence[Dict], second: Sequence[Dict]) -> Dict[str, Any]:
    """How much the results of two files for one video differ.

    In every frame masks of the same category are matched one to one by the largest sum of IoUs; the difference of the
    frame is 1 - 2 * sum / (masks of both files): 0 where the masks are the same, 1 where they have nothing in common.

    Returns:
        ``difference``, mean over the frames that have a mask; ``frames``, one a frame; ``identities``, frames in which a
        track of one file is on another track of the other than before. Which file is the first makes no difference.
    """
    masks = [read_masks([entry['segmentations'] for entry in own], [f'category {entry["category_id"]}' for entry in own])
             for own in (first, second)]
    num_frames = max((len(entry['segmentations']) for entry in (*first, *second)), default=0)
    iou, there = _ious(masks, first, second, num_frames)
    frames, identities, partners = np.zeros(num_frames), [], ({}, {})
    for t in range(num_frames):
        rows, columns = (np.flatnonzero(own[t]) for own in there)
        if not len(rows) + len(columns):
            continue
        i, j = linear_sum_assignment(-iou[t][np.ix_(rows, columns)])
        values = iou[t][rows[i], columns[j]]
        frames[t] = 1 - 2 * values.sum() / (len(rows) + len(columns))
        same = list(zip(rows[i[values >= SAME]].tolist(), columns[j[values >= SAME]].tolist()))
        if any(partners[0].get(row, column) != column or partners[1].get(column, row) != row for row, column in same):
            identities.append(t)
        for row, column in same:
            partners[0][row], partners[1][column] = column, row
    has_mask = there[0].any(1) | there[1].any(1)
    return dict(difference=float(frames[has_mask].mean()) if has_mask.any() else 0., identities=identities,
                frames=[round(float(value), 4) for value in frames])


def _ious(masks: Sequence[TrackMasks], first: Sequence[Dict], second: Sequence[Dict],
          num_frames: int) -> Tuple[np.ndarray, List[np.ndarray]]:
    """IoU of the tracks of one category, float64 [T, N, M], 0 across categories; where each has a mask, bool [T, N or M]."""
    pairs = np.array([(n, m) for n, a in enumerate(first) for m, b in enumerate(second)
                      if a['category_id'] == b['category_id']], np.int64).reshape(-1, 2)
    iou = np.zeros((num_frames, len(first), len(second)))
    if len(pairs):
        inter, union = track_overlap(*masks, pairs)
        values = np.divide(inter, union, out=np.zeros(inter.shape), where=union > 0)
        iou[:values.shape[1], pairs[:, 0], pairs[:, 1]] = values.T
    there = []
    for own in masks:
        seen = np.zeros((num_frames, len(own)), bool)
        _, owners, frames = own.visible(np.arange(len(own)), num_frames)
        seen[frames, owners] = True
        there.append(seen)
    return iou, there
