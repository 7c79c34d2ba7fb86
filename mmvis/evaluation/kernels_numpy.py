"""The inner loops of the evaluator in NumPy: the same integers as ``kernels_numba``, where numba is missing."""
from typing import List, Tuple

import numpy as np

#: frames, heights, widths, pixels, starts, spans of a TrackMasks.
MaskArrays = Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def decode(text: np.ndarray, ends: np.ndarray, capacity: np.ndarray, spans: np.ndarray, starts: np.ndarray,
           pixels: np.ndarray) -> int:
    """Foreground spans of compressed RLE strings.

    Five bits a byte (value - 48), bit 5 says that more follow, the sign bit of the last one extends; from the fourth
    run of a string on, what is stored is the difference to the run two before.

    Args:
        text: uint8 [bytes], the strings one after another.
        ends: int64 [M], where each string ends.
        capacity: int64 [M], pixels of the frames.
        spans: uint32 [at least (bytes + M) / 2, 2], takes start and end of every span, by column-major pixel number.
        starts: int64 [M + 1], takes the first span of every mask.
        pixels: int64 [M], takes the area of every mask.

    Returns:
        The number of the first string that is no RLE or does not fill its frame exactly; -1 if there is none.
    """
    starts[:], pixels[:] = 0, 0
    lengths = np.diff(ends, prepend=0)
    final = text[ends[lengths > 0] - 1]
    if (text < 48).any() or (text > 111).any() or ((final - 48) & 32).any():
        return _first_damaged(text, ends, capacity)
    value = text - np.uint8(48)
    run_ends = np.flatnonzero(value < 32) + 1
    run_starts = np.concatenate([[0], run_ends])[:-1]
    if np.max(run_ends - run_starts, initial=0) > 11:
        return _first_damaged(text, ends, capacity)
    stored = _numbers(value, run_starts)
    if np.abs(stored).max(initial=0) > 1 << 32:
        return _first_damaged(text, ends, capacity)
    first_run = np.searchsorted(run_ends, np.concatenate([[0], ends]), side='right')
    bad = runs_to_spans(_undo_differences(stored, first_run), first_run, capacity, spans, starts, pixels)
    return bad if bad < 0 else _first_damaged(text, ends, capacity)


def runs_to_spans(runs: np.ndarray, first_run: np.ndarray, capacity: np.ndarray, spans: np.ndarray, starts: np.ndarray,
                  pixels: np.ndarray) -> int:
    """As ``decode``, of run lengths: int64 [runs] of all masks, first_run int64 [M + 1] the first of every mask."""
    first, counts = first_run[:-1], np.diff(first_run)
    filled = np.add.reduceat(np.append(runs, 0), first) * (counts > 0)
    negative = np.searchsorted(first_run, np.flatnonzero(runs < 0), side='right') - 1
    bad = np.concatenate([negative, np.flatnonzero(filled != capacity)])
    if len(bad):
        return int(bad.min())
    end = np.cumsum(_restarted(runs, first[counts > 0], filled[counts > 0]))
    # The second, fourth ... run of each mask; of all runs those with an odd number if every mask had an even count.
    foreground = np.arange(len(runs)) & 1 != np.repeat(first & 1, counts)
    foreground &= runs > 0
    end, length = end[foreground], runs[foreground]
    spans[:len(end), 0], spans[:len(end), 1] = end - length, end
    before = np.concatenate([[0], np.cumsum(foreground)])
    starts[:] = before[first_run]
    pixels[:] = np.diff(np.concatenate([[0], np.cumsum(length)])[starts])
    return -1


def run_lengths(counts: bytes) -> List[int]:
    """Runs of one compressed RLE string, background and foreground in turn, in plain Python.

    Raises:
        ValueError: the string is no compressed RLE.
    """
    runs: List[int] = []
    run = shift = 0
    for value in (byte - 48 for byte in counts):
        if not 0 <= value < 64 or shift > 50:
            raise ValueError('the string is not a compressed RLE')
        run |= (value & 31) << shift
        shift += 5
        if not value & 32:
            run -= (value >> 4 & 1) << shift
            runs.append(run + runs[-2] if len(runs) > 2 else run)
            run = shift = 0
    if shift:
        raise ValueError('the string is not a compressed RLE')
    return runs


def _first_damaged(text: np.ndarray, ends: np.ndarray, capacity: np.ndarray) -> int:
    for m, (start, end) in enumerate(zip(np.concatenate([[0], ends]), ends)):
        try:
            runs = run_lengths(text[start:end].tobytes())
        except ValueError:
            return m
        if sum(runs) != capacity[m] or min(runs, default=0) < 0:
            return m
    raise AssertionError('one of the strings is damaged')


def _numbers(value: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The signed numbers, int64, that begin at ``starts``; value uint8 [bytes] is below 64."""
    number = (value[starts] & 31).astype(np.int64)
    byte, which, shift = value[starts], np.arange(len(starts)), 0
    sign = (byte & 16) != 0
    bits = np.full(len(starts), 5)
    while True:  # one more byte of those that have more
        longer = np.flatnonzero(byte & 32)
        if not len(longer):
            break
        which, shift = which[longer], shift + 5
        byte = value[starts[which] + shift // 5]
        number[which] |= (byte & 31).astype(np.int64) << shift
        sign[which], bits[which] = (byte & 16) != 0, shift + 5
    return number - (sign.astype(np.int64) << bits)


def _restarted(values: np.ndarray, first: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Values whose running sum starts anew at every index of ``first``: there the total before is taken off."""
    out = values.copy()
    out[first[1:]] -= totals[:-1]
    return out


def _undo_differences(stored: np.ndarray, first_run: np.ndarray) -> np.ndarray:
    """Runs from the numbers stored: from the fourth of a mask on, each is a difference to the run two before."""
    runs = stored.copy()
    first = first_run[:-1][np.diff(first_run) > 0]
    runs[first] = 0  # neither raw nor difference for the third, so it must not get into the sums
    for parity in (0, 1):
        values = runs[parity::2]
        begin = np.unique((first + 1 - parity) // 2)
        begin = begin[begin < len(values)]
        if len(begin):
            values[:] = np.cumsum(_restarted(values, begin, np.add.reduceat(values, begin)))
    runs[first] = stored[first]
    return runs


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
        taken: int16 [R, T, D] of -1, takes the annotation of each prediction.
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
