"""Decoding run-length masks, compiled on first use. ``rle_kernels_numpy`` gives the same integers."""
import numpy as np

from .compiled import CompiledLoop


@CompiledLoop
def decode(text, ends, capacity, spans, starts, pixels):
    """See rle_kernels_numpy.decode."""
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
