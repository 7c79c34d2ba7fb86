"""Decoding run-length masks in NumPy: the same integers as ``rle_kernels_numba``, where numba is missing."""
from typing import List

import numpy as np


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
    """As ``decode``, of run lengths: int64 [runs] of all masks, first_run int64 [M + 1] the first of every mask.

    A mask without a run is no mask, unless its frame has no pixel.
    """
    first, counts = first_run[:-1], np.diff(first_run)
    filled = np.add.reduceat(np.append(runs, 0), first) * (counts > 0)
    # Negative, or so long that the sum may have wrapped around.
    unfit = np.flatnonzero(runs.view(np.uint64) > np.uint64(capacity.max(initial=0)))
    bad = np.concatenate([np.searchsorted(first_run, unfit, side='right') - 1, np.flatnonzero(filled != capacity)])
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
