"""Precision and recall of matched videos as the official code makes them, all ranges and thresholds at once."""
from typing import NamedTuple, Sequence

import numpy as np

from .matching import VideoMatch
from .rules import IOU_THRESHOLDS, RECALL_POINTS, TRACK_CAPS


class Curves(NamedTuple):
    """T IoU thresholds, 101 recall points, K categories, R ranges, M caps; -1 where nothing is annotated.

    precision, scores: float64 [T, 101, K, R, M]; scores are those at which the recall is reached.
    recall: float64 [T, K, R, M], the one reached in the end.
    """
    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray


def make_curves(matches: Sequence[VideoMatch], num_categories: int, ranges: Sequence[int],
                caps: Sequence[int] = TRACK_CAPS) -> Curves:
    """Join videos that were matched one by one, in any order. Equal scores are ranked by video id."""
    matches = sorted(matches, key=lambda match: match.video_id)
    num_thresholds = matches[0].matched.shape[1] if matches else len(IOU_THRESHOLDS)
    shape = num_thresholds, len(RECALL_POINTS), num_categories, len(ranges), len(caps)
    curves = Curves(-np.ones(shape), -np.ones(shape[:1] + shape[2:]), -np.ones(shape))
    if not matches:
        return curves
    scores, categories, ranks = (np.concatenate([getattr(match, name) for match in matches])
                                 for name in ('scores', 'categories', 'ranks'))
    ranges = np.asarray(ranges)
    matched, ignored = (np.concatenate([getattr(match, name)[ranges] for match in matches], axis=-1)
                        for name in ('matched', 'ignored'))
    order = np.lexsort((-scores, categories))
    scores, categories, ranks = scores[order], categories[order], ranks[order]
    right, wrong = (matched & ~ignored)[..., order], ~(matched | ignored)[..., order]
    wanted = np.zeros((num_categories, len(ranges)), np.int64)
    for match in matches:
        np.add.at(wanted, match.gt_categories, (~match.gt_ignored[ranges]).T)
    first = np.searchsorted(categories, np.arange(num_categories + 1))
    for k in np.flatnonzero(wanted.any(1)):
        own = slice(first[k], first[k + 1])
        for m, cap in enumerate(caps):
            kept = ranks[own] < cap
            _fill(curves, k, m, scores[own][kept], right[..., own][..., kept], wrong[..., own][..., kept], wanted[k])
    return curves


def _fill(curves: Curves, k: int, m: int, scores: np.ndarray, right: np.ndarray, wrong: np.ndarray,
          wanted: np.ndarray) -> None:
    """One category and cap: scores [n] falling, right and wrong bool [R, T, n], wanted int64 [R]."""
    num, ranges = len(scores), np.flatnonzero(wanted)
    right = right[ranges]
    hits, misses = np.cumsum(right, axis=-1), np.cumsum(wrong[ranges], axis=-1)
    precision = hits / (misses + hits + np.spacing(1))
    precision = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    # Recalls are the quotients c / wanted. So: how many hits each recall point needs, and where that many are reached.
    needed = np.stack([np.searchsorted(np.arange(n + 1) / n, RECALL_POINTS, side='left') for n in wanted[ranges]])
    needed = needed[:, None]                                                     # [ranges, 1, 101]
    total = right.sum(-1)[..., None]                                             # [ranges, T, 1]
    where_hit = np.append(np.nonzero(right)[2], num)                           # of all rows, one after another
    row = (np.cumsum(total) - total.ravel()).reshape(total.shape)
    index = np.where(needed <= total, where_hit[np.where(needed <= total, row + np.maximum(needed, 1) - 1, 0)], num)
    index = np.where(needed == 0, 0, index)                                      # [ranges, T, 101]
    ended = np.zeros((*precision.shape[:2], 1))
    best = np.take_along_axis(np.concatenate([precision, ended], axis=-1), index, axis=-1)
    curves.precision[:, :, k, :, m][..., ranges] = best.transpose(1, 2, 0)
    curves.scores[:, :, k, :, m][..., ranges] = np.append(scores, 0)[index].transpose(1, 2, 0)
    curves.recall[:, k, :, m][..., ranges] = (total[..., 0] / wanted[ranges, None]).T
