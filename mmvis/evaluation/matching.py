"""Which predicted track is which annotated track: the rules of the YouTube-VIS and OVIS evaluations for one video.

Sources: L. Yang, Y. Fan, N. Xu, "Video Instance Segmentation", ICCV 2019, and its evaluation code
(https://github.com/youtubevos/cocoapi); J. Qi et al., "Occluded Video Instance Segmentation", IJCV 2022, and its code
(https://github.com/qjy981010/cocoapi). Their numbers are kept to the last bit. docs/evaluation.md has the rules.
"""
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple, Union

import numpy as np

from mmvis.errors import InputError, shown

from .ground_truth import AnnotatedVideo, GroundTruth
from .masks import TrackMasks, kernels, read_masks, track_overlap
from .rules import IOU_THRESHOLDS, TRACK_CAPS, Rules, outside

#: The parts of an entry of a results file.
Entry = Mapping[str, Any]


@dataclass
class VideoMatch:
    """The outcome for one video: all that is needed of it for the statistics.

    D predictions by category, then by falling score; G annotated tracks; R ranges; T IoU thresholds.

    Attributes:
        video_id: of the annotation file.
        entries: int64 [D], places of the predictions among the results of the video; -1 for one that was put together
            of several.
        categories: int64 [D], positions in GroundTruth.category_ids.
        scores: float64 [D].
        ranks: int64 [D], 0 for the best of its category.
        taken: int16 or int32 [R, T, D], the annotated track that a prediction takes, -1 for none.
        matched: bool [R, T, D], whether that makes it right.
        ignored: bool [R, T, D], neither right nor wrong.
        gt_categories: int64 [G].
        gt_ignored: bool [R, G], annotated tracks that need not be found.
    """
    video_id: Union[int, str]
    entries: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    taken: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    gt_categories: np.ndarray
    gt_ignored: np.ndarray


def check_entry(entry: Entry, owner: str, rules: Rules = Rules()) -> None:
    """Refuse an entry without category, score or segmentations, or with a category or score that can be none.

    Raises:
        InputError: with a text that starts with ``owner`` and names the field.
    """
    for key in ('category_id', 'score', 'segmentations'):
        if key not in entry:
            raise InputError(f'{owner}: {key} is missing.')
    score = entry['score']
    if not isinstance(score, (int, float, np.number)) or (isinstance(score, bool) and not rules.strict):
        raise InputError(f'{owner}: score must be a number, not {shown(score)}.')
    if isinstance(score, int) and abs(score) >= 1 << 1023:  # more than a float can hold
        raise InputError(f'{owner}: score {shown(score)} is too large.')
    if isinstance(entry['category_id'], (list, dict)):
        raise InputError(f'{owner}: category_id must be a number or a text, not {shown(entry["category_id"])}.')


def select(truth: GroundTruth, entries: Sequence[Entry],
           cap: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The predictions of a video that count, by category, then by falling score; equal scores keep their order.

    Returns:
        Places among ``entries``, categories, scores and ranks of the best ``cap`` of every category of the file.
    """
    place = {category_id: k for k, category_id in enumerate(truth.category_ids)}
    categories = np.array([place.get(entry['category_id'], -1) for entry in entries], np.int64)
    scores = np.array([entry['score'] for entry in entries], np.float64)
    order, ranks = best_of_groups(categories, scores, cap)
    kept = categories[order] >= 0
    order = order[kept]
    return order, categories[order], scores[order], ranks[kept]


def best_of_groups(groups: np.ndarray, scores: np.ndarray, cap: int) -> Tuple[np.ndarray, np.ndarray]:
    """The best ``cap`` predictions of every group, by group, then by falling score; equal scores keep their order.

    Returns:
        Their places, and their ranks in their group.
    """
    order = np.lexsort((-scores, groups))
    ranks = np.arange(len(order)) - np.searchsorted(groups[order], groups[order], side='left')
    return order[ranks < cap], ranks[ranks < cap]


def read_entries(video: AnnotatedVideo, entries: Sequence[Entry], chosen: Iterable[int]) -> TrackMasks:
    """The masks of some of the entries of a video.

    Raises:
        InputError: a mask that does not fill its frame.
    """
    chosen = list(chosen)
    return read_masks([entries[i]['segmentations'] for i in chosen], _owners(video, entries, chosen))


def _owners(video: AnnotatedVideo, entries: Sequence[Entry], chosen: Iterable[int]) -> List[str]:
    return [f'Result of video {video.video_id!r}, category {entries[i]["category_id"]!r}' for i in chosen]


def match_video(truth: GroundTruth, video: AnnotatedVideo, entries: Sequence[Entry],
                rules: Rules = Rules()) -> VideoMatch:
    """Match the results of one video with its annotations, category by category.

    Args:
        entries: entries of a results file for this video: ``category_id``, ``score``, ``segmentations`` (RLE or None
            per frame). Equal scores keep their order.

    Raises:
        ValueError: a mask that does not fill its frame; under the rules of OVIS a list of another length than the
            annotation's, or an annotation without occlusion.
    """
    order, categories, scores, ranks = select(truth, entries, TRACK_CAPS[-1])
    masks = read_entries(video, entries, order)
    if rules.benchmark == 'ovis':
        pairs = pairs_of_groups(*bounds_of_groups(categories, video.categories))
        _check_for_ovis(truth, video, masks, pairs, _owners(video, entries, order))
    found = Predictions(order, np.arange(len(order)), categories, scores, ranks)
    return match_tracks(masks, truth.masks, video, found, (categories, video.categories), rules)


@dataclass
class Predictions:
    """D predictions of one video by group, then by falling score.

    Attributes:
        entries, categories, scores, ranks: as in ``VideoMatch``.
        tracks: int64 [D], numbers of their tracks in a TrackMasks.
    """
    entries: np.ndarray
    tracks: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray


def match_tracks(masks: TrackMasks, annotated: TrackMasks, video: AnnotatedVideo, found: Predictions,
                 groups: Tuple[np.ndarray, np.ndarray], rules: Rules) -> VideoMatch:
    """Match predictions with the annotated tracks of their group.

    Args:
        masks: of the predictions.
        annotated: of the annotated tracks.
        groups: int64 [D] and [G], rising numbers: a prediction may take the annotated tracks of its own.
    """
    det_first, gt_first = bounds_of_groups(*groups)
    pairs = pairs_of_groups(det_first, gt_first)
    inter, union = track_overlap(masks, annotated, np.stack([found.tracks[pairs[:, 0]], video.tracks[pairs[:, 1]]], 1))
    inter, union = inter.sum(1), union.sum(1)
    ious = np.divide(inter, union, out=np.zeros(len(pairs)), where=union > 0)
    gt_ignored = np.stack([video.crowd | outside(video.areas, area) | outside(video.occlusion, occlusion)
                           for area, occlusion in rules.ranges])
    number = np.int16 if len(video.tracks) < 1 << 15 else np.int32
    taken = np.full((len(gt_ignored), len(IOU_THRESHOLDS), len(found.tracks)), -1, number)
    kernels().assign(ious, det_first, gt_first, IOU_THRESHOLDS, video.crowd, gt_ignored, taken)
    own_areas = masks.mean_areas()[found.tracks]
    own_outside = np.stack([outside(own_areas, area) for area, _ in rules.ranges])[:, None]
    # The official code writes down the id of the annotation, and takes 0 for none.
    is_zero = np.array([rules.strict and track_id == 0 for track_id in video.track_ids] + [False], bool)
    matched = (taken >= 0) & ~is_zero[taken]
    ignored = np.concatenate([gt_ignored, np.zeros((len(gt_ignored), 1), bool)], 1)[
        np.arange(len(gt_ignored))[:, None, None], taken] | (~matched & own_outside)
    return VideoMatch(video.video_id, found.entries, found.categories, found.scores, found.ranks, taken, matched,
                      ignored, video.categories, gt_ignored)


def bounds_of_groups(groups: np.ndarray, gt_groups: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Where each of C groups begins among the predictions and among the annotated tracks: two int64 [C + 1].

    Args:
        groups, gt_groups: rising numbers of their groups.
    """
    present = np.unique(np.concatenate([groups, gt_groups]))
    return tuple(np.append(np.searchsorted(own, present), len(own)) for own in (groups, gt_groups))


def pairs_of_groups(det_first: np.ndarray, gt_first: np.ndarray) -> np.ndarray:
    """All pairs of a prediction and an annotated track of the same group, int64 [P, 2], group by group."""
    blocks = [np.zeros((0, 2), np.int64)]
    for d0, d1, g0, g1 in zip(det_first[:-1], det_first[1:], gt_first[:-1], gt_first[1:]):
        if d1 > d0 and g1 > g0:
            blocks.append(np.stack([np.repeat(np.arange(d0, d1), g1 - g0), np.tile(np.arange(g0, g1), d1 - d0)], 1))
    return np.concatenate(blocks)


def _check_for_ovis(truth: GroundTruth, video: AnnotatedVideo, masks: TrackMasks, pairs: np.ndarray,
                    owners: List[str]) -> None:
    for g in np.flatnonzero(np.isnan(video.occlusion)):
        raise InputError(f'{truth.path}, annotation {video.track_ids[g]!r}: occlusion must be a list of no_occlusion, '
                         f'slight_occlusion, severe_occlusion or null, not all null, by the rules of OVIS.')
    own, annotated = np.diff(masks.frames)[pairs[:, 0]], np.diff(truth.masks.frames)[video.tracks[pairs[:, 1]]]
    for p in np.flatnonzero(own != annotated):
        raise InputError(f'{owners[pairs[p, 0]]}: segmentations has {own[p]} frames and the annotation {annotated[p]}; '
                         f'OVIS asks for as many.')


def group_by_video(truth: GroundTruth, results: Sequence[Entry], source: str,
                   rules: Rules) -> Dict[Union[int, str], List[Entry]]:
    """The entries of a results file by video, in the order of the file.

    Raises:
        ValueError: no list, an entry that is no object or lacks a field, a video that is not in the annotation file.
    """
    if not isinstance(results, (list, tuple)):
        raise InputError(f'{source}: a list of results is expected, not a {type(results).__name__}.')
    if rules.strict and not results:
        raise InputError(f'{source}: the list of results is empty, on which the official code fails.')
    by_video: Dict[Union[int, str], List[Entry]] = {video_id: [] for video_id in truth.videos}
    for i, entry in enumerate(results):
        if not isinstance(entry, Mapping) or 'video_id' not in entry:
            raise InputError(f'{source}, entry {i}: an object with video_id is expected.')
        video_id = entry['video_id']
        if not _is_known(video_id, by_video):
            raise InputError(f'{source}, entry {i}: video_id {shown(video_id)} is not in {truth.path}'
                             f'{_how_many_unknown(results, by_video)}.')
        check_entry(entry, f'{source}, entry {i}', rules)
        by_video[video_id].append(entry)
    return by_video


def _is_known(video_id: Any, by_video: Mapping) -> bool:
    return isinstance(video_id, (int, float, str, np.integer)) and video_id in by_video


def _how_many_unknown(results: Sequence[Any], by_video: Mapping) -> str:
    """Whether a single entry names a video that is not there, or whether no id can match."""
    unknown = sum(not (isinstance(entry, Mapping) and _is_known(entry.get('video_id'), by_video)) for entry in results)
    if unknown == len(results) and len(results) > 1:
        return (f', and so it is with all {unknown} entries (its ids are {_id_range(by_video)}): are these the results '
                'of another set or split?')
    return f' (so it is with {unknown} of {len(results)} entries)' if len(results) > 1 else ''


def uncounted_entries(truth: GroundTruth, entries: Mapping[Any, Sequence[Entry]],
                      matches: Iterable[VideoMatch]) -> List[str]:
    """Sentences on the entries of a results file that do not count, as the official code leaves them out silently.

    Args:
        entries: by video, as ``group_by_video`` gives them.
        matches: the outcome of all videos.
    """
    known, unknown, total = set(truth.category_ids), Counter(), 0
    given = Counter(entry['category_id'] for own in entries.values() for entry in own)
    for category_id, count in given.items():
        total += count
        if category_id not in known:
            unknown[category_id] += count
    notes, num_unknown = [], sum(unknown.values())
    if num_unknown:
        which = ', '.join(shown(category_id) for category_id, _ in unknown.most_common(5))
        more = ', ...' if len(unknown) > 5 else ''
        share = f'all {total} entries count' if num_unknown == total else f'{num_unknown} of {total} entries count'
        notes.append(f'{share} as nothing: category_id {which}{more} is not in {truth.path} '
                     f'({_id_range(truth.category_ids)}){_category_hint(given, truth.category_ids)}.')
    beyond = total - num_unknown - sum(len(match.entries) for match in matches)
    if beyond:
        notes.append(f'{beyond} of {total} entries are beyond the best {TRACK_CAPS[-1]} of their video and category and '
                     'do not count for AP.')
    return notes


def _category_hint(given: Iterable[Any], category_ids: Sequence[Any]) -> str:
    """What may be behind ids that are not in the table."""
    texts = {str(category_id) for category_id in category_ids}
    if all(isinstance(category_id, str) and category_id in texts for category_id in given):
        return '; they are texts, the ids of the file are numbers'
    if not all(isinstance(category_id, (int, float)) for category_id in [*given, *category_ids]):
        return ''
    if min(given) == 0 and 0 not in category_ids and max(given) < max(category_ids):
        return '; are the ids zero-based?'
    return '; are these the results of another data set?' if max(given) > max(category_ids) else ''


def _id_range(ids: Iterable[Any]) -> str:
    ids = list(ids)
    if len(ids) < 3:
        return ', '.join(map(shown, ids))
    return f'{shown(min(ids))} to {shown(max(ids))}'
