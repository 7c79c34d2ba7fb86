"""The inner loops of the evaluator in NumPy: the same integers as ``kernels_numba``, where numba is missing."""
from typing import Tuple

import numpy as np

#: frames, heights, widths, pixels, starts, spans of a TrackMasks.
MaskArrays = Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def overlap(first: MaskArrays, second: MaskArrays, pairs: np.ndarray, inter: np.ndarray, union: np.ndarray) -> None:
    """Pixels in both and in either of two tracks, frame by frame, up to the end of the shorter one.

    A frame where both have masks of different sizes adds nothing.

    Args:
        first, second: arrays of two TrackMasks.
        pairs: int64 [P, 2], tracks of the first and of the second.
        inter, union: int64 [P, T] of zeros, T at least the number of frames; take the results.
    """
    frames_a, heights_a, widths_a, pixels_a, starts_a, spans_a = first
    frames_b, heights_b, widths_b, pixels_b, starts_b, spans_b = second
    axes_a, axes_b = ({n: _axis(frames, starts, spans, n) for n in np.unique(column).tolist()}
                      for frames, starts, spans, column in ((frames_a, starts_a, spans_a, pairs[:, 0]),
                                                            (frames_b, starts_b, spans_b, pairs[:, 1])))
    for p, (track_a, track_b) in enumerate(pairs.tolist()):
        a0, b0 = frames_a[track_a], frames_b[track_b]
        length = min(frames_a[track_a + 1] - a0, frames_b[track_b + 1] - b0)
        a, b = slice(a0, a0 + length), slice(b0, b0 + length)
        both = (heights_a[a] >= 0) & (heights_b[b] >= 0)
        equal = (heights_a[a] == heights_b[b]) & (widths_a[a] == widths_b[b])
        common = _common_pixels(axes_a[track_a], axes_b[track_b], length)
        inter[p, :length] = np.where(both & equal, common, 0)
        union[p, :length] = np.where(both & ~equal, 0, pixels_a[a] + pixels_b[b] - common)


def _axis(frames: np.ndarray, starts: np.ndarray, spans: np.ndarray, track: int) -> np.ndarray:
    """All spans of a track on one long axis, int64 [S, 2]: those of frame t are moved by t * 2^32."""
    first = starts[frames[track]:frames[track + 1] + 1]
    moves = np.repeat(np.arange(len(first) - 1, dtype=np.int64) << 32, np.diff(first))
    return spans[first[0]:first[-1]] + moves[:, None]


def _common_pixels(own: np.ndarray, other: np.ndarray, num_frames: int) -> np.ndarray:
    """Pixels in both of two tracks, int64 [num_frames], of their spans on one axis."""
    if not len(own) or not len(other):
        return np.zeros(num_frames, np.int64)
    index = np.searchsorted(other[:, 1], own.ravel(), side='right')
    # How many pixels of the other track lie before each end: those of whole spans, and of the one it cuts.
    before = np.concatenate([[0], np.cumsum(other[:, 1] - other[:, 0])])[index]
    before += np.maximum(own.ravel() - np.append(other[:, 0], own[-1, 1])[index], 0)
    common = before[1::2] - before[::2]
    return np.bincount(own[:, 0] >> 32, weights=common, minlength=num_frames)[:num_frames].astype(np.int64)


def assign(ious: np.ndarray, det_first: np.ndarray, gt_first: np.ndarray, thresholds: np.ndarray, crowd: np.ndarray,
           gt_ignored: np.ndarray, taken: np.ndarray) -> None:
    """Which annotation each prediction takes, for every range R and IoU threshold T.

    Predictions choose in their order. Annotations that count go before ignored ones, the highest IoU wins, among equal
    ones the last. Only a crowd can be taken more than once. (numba compiles this very function.)

    Args:
        ious: float64 [P], category by category, all pairs of its predictions and annotations row by row.
        det_first, gt_first: int64 [C + 1], first prediction and first annotation of each category.
        thresholds: float64 [T].
        crowd: bool [G].
        gt_ignored: bool [R, G], crowd or outside the range.
        taken: int16 or int32 [R, T, D] of -1, takes the annotation of each prediction.
    """
    pair = 0
    for c in range(len(det_first) - 1):
        d0, d1, g0, g1 = det_first[c], det_first[c + 1], gt_first[c], gt_first[c + 1]
        if d0 == d1 or g0 == g1:
            continue
        for r in range(len(gt_ignored)):
            for t in range(len(thresholds)):
                used = np.zeros(g1 - g0, np.bool_)
                for d in range(d0, d1):
                    row = pair + (d - d0) * (g1 - g0) - g0
                    choice, best = -1, min(thresholds[t], 1 - 1e-10)
                    for among_ignored in (False, True):
                        for g in range(g0, g1):
                            if gt_ignored[r, g] != among_ignored or (used[g - g0] and not crowd[g]):
                                continue
                            if ious[row + g] >= best:
                                choice, best = g, ious[row + g]
                        if choice >= 0:
                            break
                    if choice >= 0:
                        used[choice - g0] = True
                        taken[r, t, d] = choice
        pair += (d1 - d0) * (g1 - g0)
