"""The inner loops of the evaluator, compiled on first use. ``kernels_numpy`` gives the same integers."""
import numpy as np

from mmvis.structures.compiled import CompiledLoop

from . import kernels_numpy


@CompiledLoop
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


assign = CompiledLoop(kernels_numpy.assign)
