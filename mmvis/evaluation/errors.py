"""What is wrong with a results file: every wrong or missing track under one heading, and what mending it would bring.

In the manner of D. Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020, taken to
videos
as H. Jia et al. do in "TIVE: A Toolbox for Identifying Video Instance Segmentation Errors", 2022: an error of
localization is one of space or one of time. The definitions here are our own; docs/evaluation.md has them in words.
"""
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from .curves import make_curves
from .ground_truth import AnnotatedVideo, GroundTruth
from .masks import track_overlap
from .matching import Entry, VideoMatch, read_entries
from .rules import IOU_THRESHOLDS, TRACK_CAPS

#: IoU from which a track is right, and from which it has to do with an annotated track at all.
RIGHT, NEAR = 0.5, 0.1
ERRORS = {
    'class': 'the right masks under another category', 'spatial': 'masks too poor where it is on the object',
    'temporal': 'on the object in too few frames, or in too many',
    'duplicate': 'of a track that a better one has taken', 'both': 'another category and poor masks',
    'background': 'on nothing that is annotated', 'missed': 'annotated tracks that no error above touches'}
_TYPES = list(ERRORS)


@dataclass
class VideoErrors:
    """The errors of one video at IoU 0.5.

    Attributes:
        match: the outcome that they refer to.
        kinds: int64 [D], position in ERRORS of each prediction; -1 for one that is right or ignored.
        targets: int64 [D], the annotated track that the error refers to, -1 for none.
        missed: bool [G].
    """
    match: VideoMatch
    kinds: np.ndarray
    targets: np.ndarray
    missed: np.ndarray


def video_errors(truth: GroundTruth, video: AnnotatedVideo, entries: Sequence[Entry], match: VideoMatch) -> VideoErrors:
    """Name the errors of a matched video."""
    masks = read_entries(video, entries, match.entries)
    num, num_gt = len(match.entries), len(video.tracks)
    iou, on_object = _overlaps(*track_overlap(
        masks, truth.masks, np.stack([np.repeat(np.arange(num), num_gt), np.tile(video.tracks, num)], 1)))
    iou, on_object = iou.reshape(num, num_gt), on_object.reshape(num, num_gt)
    counts = ~match.gt_ignored[0]
    iou = np.where(counts, iou, 0)
    same = match.categories[:, None] == match.gt_categories[None, :]
    kinds, targets = np.full(num, -1), np.full(num, -1)
    for d in np.flatnonzero(~match.matched[0, 0] & ~match.ignored[0, 0]):
        kinds[d], targets[d] = _kind(np.where(same[d], iou[d], 0), np.where(same[d], 0, iou[d]), on_object[d])
    found = np.zeros(num_gt + 1, bool)
    found[match.taken[0, 0]] = True
    found[targets[np.isin(kinds, [_TYPES.index(name) for name in ('class', 'spatial', 'temporal')])]] = True
    return VideoErrors(match, kinds, targets, counts & ~found[:-1])


def _overlaps(inter: np.ndarray, union: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """IoU of pairs of tracks [P], and over the frames where they are near; from pixels in both and in either [P, T]."""
    near = inter >= NEAR * np.maximum(union, 1)
    sums = [(inter.sum(1), union.sum(1)), ((inter * near).sum(1), (union * near).sum(1))]
    return tuple(np.divide(a, b, out=np.zeros(len(a)), where=b > 0) for a, b in sums)


def _kind(own: np.ndarray, other: np.ndarray, on_object: np.ndarray) -> Tuple[int, int]:
    """Heading and annotated track of one wrong prediction.

    Args:
        own, other: float64 [G], IoU with the tracks of its category and with those of others.
        on_object: float64 [G], IoU over the frames in which it is near the track.
    """
    best, best_other = (int(iou.argmax()) if len(iou) else -1 for iou in (own, other))
    iou, iou_other = (float(values.max(initial=0)) for values in (own, other))
    if iou >= RIGHT:
        return _TYPES.index('duplicate'), best
    if iou_other >= RIGHT:
        return _TYPES.index('class'), best_other
    if iou >= NEAR:
        return _TYPES.index('temporal' if on_object[best] >= RIGHT else 'spatial'), best
    if iou_other >= NEAR:
        return _TYPES.index('both'), best_other
    return _TYPES.index('background'), -1


@dataclass
class ErrorBreakdown:
    """How many errors of each kind there are, and the AP50 that mending all of one kind would add.

    Attributes:
        counts, gains: by name, in the order of ERRORS; a gain is None where there is no AP50 with or without the
            errors (nothing annotated counts, or nothing would be left to be found).
        ap50: what it is now; -1 if nothing annotated counts.
        per_video: video id -> counts by name.
    """
    counts: Dict[str, int]
    gains: Dict[str, Optional[float]]
    ap50: float
    per_video: Dict

    def table(self) -> str:
        lines = [f'{"error":<12}{"tracks":>8}{"AP50":>8}']
        for name, meaning in ERRORS.items():
            lines.append(f'{name:<12}{self.counts[name]:>8}{show_gain(self.gains[name]):>8}  {meaning}')
        return '\n'.join(lines)


def show_gain(gain: Optional[float]) -> str:
    return '-' if gain is None else f'{gain:+.3f}'


def summarize_errors(videos: Sequence[VideoErrors], num_categories: int) -> ErrorBreakdown:
    """Count errors and mend them kind by kind."""
    per_video = {errors.match.video_id: _count(errors) for errors in videos}
    counts = {name: sum(of_video[name] for of_video in per_video.values()) for name in _TYPES}
    ap50 = _ap50([_reduced(errors.match) for errors in videos], num_categories)
    gains = {name: _gain(ap50, _ap50([_mended(errors, k) for errors in videos], num_categories) if counts[name]
                         else ap50) for k, name in enumerate(_TYPES)}
    return ErrorBreakdown(counts, gains, ap50, per_video)


def _gain(before: float, after: float) -> Optional[float]:
    return after - before if before > -1 and after > -1 else None


def _count(errors: VideoErrors) -> Dict[str, int]:
    counts = {name: int((errors.kinds == k).sum()) for k, name in enumerate(_TYPES)}
    return dict(counts, missed=int(errors.missed.sum()))


def _reduced(match: VideoMatch) -> VideoMatch:
    """The outcome at IoU 0.5 for all areas alone."""
    half = int(np.flatnonzero(IOU_THRESHOLDS == RIGHT)[0])
    own = dict(taken=match.taken, matched=match.matched, ignored=match.ignored)
    return replace(match, gt_ignored=match.gt_ignored[:1],
                   **{name: array[:1, half:half + 1].copy() for name, array in own.items()})


def _mended(errors: VideoErrors, kind: int) -> VideoMatch:
    """The outcome as if errors of one kind were none.

    Errors of class, space and time become right where no other prediction has the annotated track, the best score
    first; elsewhere, and with the other kinds, the prediction is taken away. Missed tracks need not be found any more.
    """
    match = _reduced(errors.match)
    if _TYPES[kind] == 'missed':
        return replace(match, gt_ignored=match.gt_ignored | errors.missed)
    wrong = np.flatnonzero(errors.kinds == kind)
    match.ignored[0, 0, wrong] = True
    if _TYPES[kind] not in ('class', 'spatial', 'temporal'):
        return match
    free = np.ones(match.gt_ignored.shape[1] + 1, bool)
    free[match.taken[0, 0][match.matched[0, 0]]] = False
    categories = match.categories.copy()
    for d in wrong[np.argsort(-match.scores[wrong], kind='stable')]:
        target = errors.targets[d]
        if free[target]:
            free[target] = False
            match.ignored[0, 0, d], match.matched[0, 0, d] = False, True
            categories[d] = match.gt_categories[target]
    return replace(match, categories=categories)


def _ap50(matches: List[VideoMatch], num_categories: int) -> float:
    precision = make_curves(matches, num_categories, [0], TRACK_CAPS[-1:]).precision
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else -1.0
