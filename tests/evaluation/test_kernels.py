"""Decoding and overlaps, compiled and in NumPy, against pycocotools."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mmvis.evaluation import kernels_numpy
from mmvis.evaluation.masks import read_masks, track_overlap

kernels_numba = pytest.importorskip('mmvis.evaluation.kernels_numba')
MODULES = [kernels_numba, kernels_numpy]


def decode(module, strings, capacity):
    text = np.frombuffer(b''.join(strings), np.uint8)
    ends = np.cumsum([len(string) for string in strings]).astype(np.int64)
    spans = np.zeros(((len(text) + len(strings)) // 2 + 1, 2), np.uint32)
    starts, pixels = np.zeros(len(strings) + 1, np.int64), np.zeros(len(strings), np.int64)
    bad = module.decode(text, ends, np.array(capacity, np.int64), spans, starts, pixels)
    return bad, spans[:starts[-1]], starts, pixels


def random_masks(rng, count, height, width):
    """Masks from empty to full, noisy and with large patches, so that runs take one byte and several."""
    masks = rng.random((count, height, width)) < rng.choice([0, 0.001, 0.3, 1], (count, 1, 1))
    masks[:, height // 3:height // 2, width // 4:] ^= True
    return masks.astype(np.uint8)


@pytest.mark.parametrize('module', MODULES)
def test_spans_are_those_of_pycocotools(module):
    masks = random_masks(np.random.default_rng(0), 12, 97, 211)
    strings = [coco_mask.encode(np.asfortranarray(mask))['counts'] for mask in masks]
    bad, spans, starts, pixels = decode(module, strings, [97 * 211] * 12)
    assert bad == -1
    np.testing.assert_array_equal(pixels, masks.sum((1, 2)))
    for m, mask in enumerate(masks):
        flat = np.zeros(97 * 211, np.uint8)
        for start, end in spans[starts[m]:starts[m + 1]]:
            flat[start:end] = 1
        np.testing.assert_array_equal(flat, mask.reshape(-1, order='F'))


@pytest.mark.parametrize('module', MODULES)
def test_no_string_at_all(module):
    assert decode(module, [], [])[0] == -1
    assert decode(module, [b''], [0])[0] == -1


#: Bytes of RLE strings, and now and then one that is none.
strings = st.lists(st.one_of(st.integers(48, 111), st.integers(48, 79), st.sampled_from([0, 47, 112, 255])),
                   max_size=14).map(bytes)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(strings, st.booleans()), min_size=1, max_size=5))
def test_any_bytes_are_read_or_refused_alike(parts):
    """Also by the plain decoder, one string at a time; half of the frames are made to fit where the string allows
    it."""
    capacity, first_bad = [], -1
    for m, (string, fits) in enumerate(parts):
        try:
            runs = kernels_numpy.run_lengths(string)
        except ValueError:
            runs = None
        total = sum(runs) if runs is not None and min(runs, default=0) >= 0 and sum(runs) < 1 << 32 else None
        capacity.append(total if fits and total is not None else 80)
        if first_bad < 0 and total != capacity[-1]:
            first_bad = m
    compiled, plain = (decode(module, [string for string, _ in parts], capacity) for module in MODULES)
    assert compiled[0] == plain[0] == first_bad
    if first_bad < 0:
        for a, b in zip(compiled[1:], plain[1:]):
            np.testing.assert_array_equal(a, b)


def test_overlaps_are_those_of_the_pixels(backend):
    rng = np.random.default_rng(1)
    sizes = [(13, 17), (17, 13)]

    def track(num_frames):
        frames = [random_masks(rng, 1, *sizes[int(rng.random() < 0.2)])[0] for _ in range(num_frames)]
        return [None if rng.random() < 0.2 else frame for frame in frames]

    def read(tracks):
        return read_masks([[None if mask is None else coco_mask.encode(np.asfortranarray(mask)) for mask in frames]
                           for frames in tracks], [''] * len(tracks))

    first, second = [track(n) for n in (6, 4, 0, 9)], [track(n) for n in (7, 5, 3)]
    pairs = np.array([(a, b) for a in range(4) for b in range(3)])
    inter, union = track_overlap(read(first), read(second), pairs)
    for p, (a, b) in enumerate(pairs):
        for t in range(inter.shape[1]):
            both = [None, None] if t >= min(len(first[a]), len(second[b])) else [first[a][t], second[b][t]]
            both = [
                np.zeros(sizes[0], np.uint8)
                if other is None and mask is None else np.zeros_like(other) if mask is None else mask
                for mask, other in zip(both, both[::-1])
            ]
            if both[0].shape != both[1].shape:
                both = [np.zeros(sizes[0], np.uint8)] * 2
            assert (inter[p, t], union[p, t]) == ((both[0] & both[1]).sum(), (both[0] | both[1]).sum())
