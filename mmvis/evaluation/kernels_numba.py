"""The inner loops of the evaluator, compiled on first use. ``kernels_numpy`` gives the same integers.

numba keeps the machine code in ``__pycache__`` beside this file or, where that cannot be written, in the user's cache
folder; where neither can be, or the disk is full, or what is there is damaged, it compiles anew in every process.
"""
import logging
from typing import Any, Callable

import numpy as np
from mmengine.logging import print_log
from numba import njit

from . import kernels_numpy


class _Compiled:
    """A function compiled when it is first called with arguments of a kind."""
    _told = False

    def __init__(self, function: Callable) -> None:
        self._function = function
        try:
            self._compiled = njit(cache=True, nogil=True)(function)
        except RuntimeError:  # no folder for the machine code
            self._compiled = njit(nogil=True)(function)

    def __call__(self, *args) -> Any:
        try:
            return self._compiled(*args)
        except Exception as error:  # a full disk, or whatever the reader of a damaged file raises; a real one comes again
            self._compiled = njit(nogil=True)(self._function)
            result = self._compiled(*args)
            if not _Compiled._told:
                _Compiled._told = True
                print_log(f'The compiled evaluation could not be kept or read ({error}): it is compiled anew.',
                          logger='current', level=logging.WARNING)
            return result


@_Compiled
def decode(text, ends, capacity, spans, starts, pixels):
    """See kernels_numpy.decode."""
    at, used = 0, 0
    starts[0] = 0
    for m in range(len(ends)):
        before, one_back = np.int64(0), np.int64(0)  # the runs two and one before
        position, area, run_idx = np.int64(0), np.int64(0), 0
        end = ends[m]
        while at < end:
            value = np.int64(text[at]) - 48
            at += 1
            if 0 <= value < 32:  # one byte, as most are
                run = value - ((value & 16) << 1)
            else:
                run, shift = value & 31, 5
                while value & 32:
                    if value < 0 or value > 63 or at == end or shift > 50:
                        return m
                    value = np.int64(text[at]) - 48
                    at += 1
                    run |= (value & 31) << shift
                    shift += 5
                if value < 0 or value > 63:
                    return m
                if value & 16:
                    run -= np.int64(1) << shift
            if run_idx > 2:
                run += before
            if run < 0 or run > capacity[m] - position:
                return m
            if run_idx & 1 and run > 0:
                spans[used, 0] = position
                spans[used, 1] = position + run
                used += 1
                area += run
            position += run
            before, one_back = one_back, run
            run_idx += 1
        if position != capacity[m]:
            return m
        starts[m + 1] = used
        pixels[m] = area
    return -1


@_Compiled
def overlap(first, second, pairs, inter, union):
    """See kernels_numpy.overlap."""
    frames_a, heights_a, widths_a, pixels_a, starts_a, spans_a = first
    frames_b, heights_b, widths_b, pixels_b, starts_b, spans_b = second
    for p in range(len(pairs)):
        a0, b0 = frames_a[pairs[p, 0]], frames_b[pairs[p, 1]]
        length = min(frames_a[pairs[p, 0] + 1] - a0, frames_b[pairs[p, 1] + 1] - b0)
        for t in range(length):
            a, b = a0 + t, b0 + t
            if heights_a[a] >= 0 and heights_b[b] >= 0:
                if heights_a[a] != heights_b[b] or widths_a[a] != widths_b[b]:
                    continue
                common = np.int64(0)
                i, i_end, j, j_end = starts_a[a], starts_a[a + 1], starts_b[b], starts_b[b + 1]
                if i < i_end and j < j_end:
                    low_a, high_a = np.int64(spans_a[i, 0]), np.int64(spans_a[i, 1])
                    low_b, high_b = np.int64(spans_b[j, 0]), np.int64(spans_b[j, 1])
                    while True:
                        low, high = max(low_a, low_b), min(high_a, high_b)
                        if high > low:
                            common += high - low
                        if high_a <= high_b:
                            i += 1
                            if i == i_end:
                                break
                            low_a, high_a = np.int64(spans_a[i, 0]), np.int64(spans_a[i, 1])
                        else:
                            j += 1
                            if j == j_end:
                                break
                            low_b, high_b = np.int64(spans_b[j, 0]), np.int64(spans_b[j, 1])
                inter[p, t] = common
                union[p, t] = pixels_a[a] + pixels_b[b] - common
            else:
                union[p, t] = pixels_a[a] + pixels_b[b]


assign = _Compiled(kernels_numpy.assign)
