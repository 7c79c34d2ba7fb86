"""What costs AP, masks and classes or identities: AP of single frames, and AP with identities given by an oracle.

Both are AP by the rules of the benchmark, of other videos or of other tracks than those of the files; so they can be
compared with AP, and between systems. The definitions are our own; docs/evaluation.md has them in words.
"""
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from .ground_truth import AnnotatedVideo, GroundTruth
from .masks import TrackMasks, track_overlap
from .matching import (
    Entry,
    Predictions,
    VideoMatch,
    best_of_groups,
    bounds_of_groups,
    match_tracks,
    pairs_of_groups,
    read_entries,
)
from .rules import TRACK_CAPS, Rules
from .tracking import ranked_tracks

#: IoU from which the oracle takes a mask for one of an object.
THRESHOLD = 0.5


@dataclass
class _Results:
    """The N results of one video that are of a category of the annotation file.

    Attributes:
        entries: int64 [N], their places among the results of the video.
        categories: int64 [N], positions in GroundTruth.category_ids.
        scores: float64 [N].
        masks: of N tracks.
    """
    entries: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    masks: TrackMasks


def _read(truth: GroundTruth, video: AnnotatedVideo, entries: Sequence[Entry]) -> _Results:
    place = {category_id: k for k, category_id in enumerate(truth.category_ids)}
    chosen = [i for i, entry in enumerate(entries) if entry['category_id'] in place]
    return _Results(np.array(chosen, np.int64), np.array([place[entries[i]['category_id']] for i in chosen], np.int64),
                    np.array([entries[i]['score'] for i in chosen], np.float64), read_entries(video, entries, chosen))


def match_single_frames(truth: GroundTruth, video: AnnotatedVideo, entries: Sequence[Entry],
                        rules: Rules = Rules()) -> VideoMatch:
    """Match the results of a video as if every frame were a video of its own.

    A mask with a pixel is a prediction with the score of its track, and at most the best 100 of a frame and category
    count. An annotated object is there where its mask has a pixel; its area is that of the mask, and its occlusion
    that of the whole track.

    Raises:
        InputError: a mask that does not fill its frame.
    """
    results, num_categories = _read(truth, video, entries), len(truth.category_ids)
    numbers, owners, frames = results.masks.visible(np.arange(len(results.entries)), video.num_frames)
    groups, scores = frames * num_categories + results.categories[owners], results.scores[owners]
    order, ranks = best_of_groups(groups, scores, TRACK_CAPS[-1])
    found = Predictions(results.entries[owners[order]], np.arange(len(order)), results.categories[owners[order]],
                        scores[order], ranks)
    gt_numbers, gt_owners, gt_frames = truth.masks.visible(video.tracks, video.num_frames)
    gt_groups = gt_frames * num_categories + video.categories[gt_owners]
    by_group = np.argsort(gt_groups, kind='stable')
    gt_numbers, gt_owners = gt_numbers[by_group], gt_owners[by_group]
    objects = AnnotatedVideo(
        video.video_id, video.name, 1, np.arange(len(gt_owners)), [video.track_ids[g] for g in gt_owners],
        video.categories[gt_owners], video.crowd[gt_owners], truth.masks.pixels[gt_numbers].astype(np.float64),
        video.occlusion[gt_owners])
    return match_tracks(results.masks.as_frames(numbers[order]), truth.masks.as_frames(gt_numbers), objects, found,
                        (groups[order], gt_groups[by_group]), rules)


def match_oracle_identity(truth: GroundTruth, video: AnnotatedVideo, entries: Sequence[Entry],
                          rules: Rules = Rules()) -> VideoMatch:
    """Match the results of a video after an oracle has joined the masks of every annotated object to one track.

    In every frame the tracks' masks and the objects that are no crowd are matched one to one, the largest sum of IoUs
    of at least 0.5, whatever their class. The joined track of an object has for every class the mean over its frames
    of the scores that the tracks have there, 0 where a track has no such class. What is left of a track stays a track;
    it has the mean over all frames of the track likewise, 0 where a mask was taken away.

    Raises:
        InputError: a mask that does not fill its frame.
    """
    results = _read(truth, video, entries)
    tracks = _class_scores(results, len(truth.category_ids))
    numbers, owners, objects, frames = _join(results.masks, tracks.leads, truth, video)
    joined, own_objects = np.unique(objects, return_inverse=True)
    counts = np.zeros((len(joined), len(tracks.leads)), np.int64)
    np.add.at(counts, (own_objects, owners), 1)
    grid = np.full((len(joined), video.num_frames), -1)
    grid[own_objects, frames] = numbers
    left, share, left_numbers, left_frames = _leftover(results.masks, tracks.leads, numbers, owners, video.num_frames)
    masks = results.masks.joined(
        np.concatenate([grid.ravel(), left_numbers]),
        np.concatenate([np.arange(len(joined)) * video.num_frames, grid.size + left_frames]))
    given = np.concatenate([counts @ tracks.given > 0, tracks.given[left]])
    scores = np.concatenate([_means(tracks.scores, counts), tracks.scores[left] * share[:, None]])
    rows, categories = np.nonzero(given)
    order, ranks = best_of_groups(categories, scores[rows, categories], TRACK_CAPS[-1])
    rows, categories = rows[order], categories[order]
    found = Predictions(np.full(len(order), -1), rows, categories, scores[rows, categories], ranks)
    return match_tracks(masks, truth.masks, video, found, (categories, video.categories), rules)


@dataclass
class _ClassScores:
    """N tracks whose masks differ, each with its scores for some of K classes.

    Attributes:
        leads: int64 [N], one result that has the masks of the track.
        given: bool [N, K], whether it has the class.
        scores: float64 [N, K], 0 where it has not.
    """
    leads: np.ndarray
    given: np.ndarray
    scores: np.ndarray


def _class_scores(results: _Results, num_categories: int) -> _ClassScores:
    """Results with the same masks under several classes are one track; a class given twice begins another one.

    The tracks stand by falling score of their best class, whatever the order of the file.
    """
    seen: Counter = Counter()
    tracks: Dict[Tuple, int] = {}
    leads: List[int] = []
    owners = np.zeros(len(results.entries), np.int64)
    for i in ranked_tracks(results.scores, results.masks).tolist():
        masks = results.masks.fingerprint(i)
        seen[masks, results.categories[i]] += 1
        owners[i] = tracks.setdefault((masks, seen[masks, results.categories[i]]), len(tracks))
        if owners[i] == len(leads):
            leads.append(i)
    given = np.zeros((len(leads), num_categories), bool)
    scores = np.zeros(given.shape)
    given[owners, results.categories] = True
    scores[owners, results.categories] = results.scores
    return _ClassScores(np.array(leads, np.int64), given, scores)


def _join(masks: TrackMasks, leads: np.ndarray, truth: GroundTruth,
          video: AnnotatedVideo) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Match the masks of tracks with the annotated objects frame by frame.

    Returns:
        For each of the P masks that are matched its number, its track, its object and its frame: four int64 [P].
    """
    own = _by_frame(*masks.visible(leads, video.num_frames))
    gt = _by_frame(*truth.masks.visible(video.tracks[~video.crowd], video.num_frames))
    first, gt_first = bounds_of_groups(own[2], gt[2])
    pairs = pairs_of_groups(first, gt_first)
    inter, union = track_overlap(masks.as_frames(own[0]), truth.masks.as_frames(gt[0]), pairs)
    ious = np.divide(inter.sum(1), union.sum(1), out=np.zeros(len(pairs)), where=union.sum(1) > 0)
    ious[ious < THRESHOLD] = 0
    matched = [np.zeros((2, 0), np.int64)]
    shapes = np.stack([np.diff(first), np.diff(gt_first)], 1)
    ends = np.cumsum(shapes.prod(1))
    for begin, gt_begin, shape, end in zip(first, gt_first, shapes, ends):
        values = ious[end - shape.prod():end].reshape(shape)
        rows, columns = linear_sum_assignment(-values)
        right = values[rows, columns] > 0
        matched.append(np.stack([begin + rows[right], gt_begin + columns[right]]))
    places, gt_places = np.concatenate(matched, axis=1)
    return own[0][places], own[1][places], np.flatnonzero(~video.crowd)[gt[1][gt_places]], own[2][places]


def _means(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means of scores [N, K] with the weights ``counts`` [J, N]: float64 [J, K]; to the last bit that of equal ones.

    So a joined track has the very score of its only source, and no rounding ranks it behind what is left of that.
    """
    means = np.zeros((len(counts), scores.shape[1]))
    for mean, weights in zip(means, counts):
        own, weights = scores[weights > 0], weights[weights > 0]
        mean[:] = own.max(0) - weights @ (own.max(0) - own) / weights.sum()
    return means


def _by_frame(numbers: np.ndarray, owners: np.ndarray, frames: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(frames, kind='stable')
    return numbers[order], owners[order], frames[order]


def _leftover(masks: TrackMasks, leads: np.ndarray, matched: np.ndarray, owners: np.ndarray,
              num_frames: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What is left of the tracks when masks of theirs are taken away.

    Args:
        matched, owners: int64 [P], numbers of these masks and their tracks.

    Returns:
        Tracks of which a visible mask is left, or that had none from the start, int64 [L]; the share of their masks
        that is left, float64 [L]; numbers and frames as ``TrackMasks.joined`` takes them.
    """
    _, visible, _ = masks.visible(leads, num_frames)
    counts, taken = (np.bincount(tracks, minlength=len(leads)) for tracks in (visible, owners))
    left = np.flatnonzero((counts > taken) | (counts == 0))
    numbers, _ = masks.numbers(leads[left])
    lengths = masks.frames[leads[left] + 1] - masks.frames[leads[left]]
    share = 1 - taken[left] / np.maximum(counts[left], 1)
    return left, share, np.where(np.isin(numbers, matched), -1, numbers), np.concatenate([[0], np.cumsum(lengths)])
