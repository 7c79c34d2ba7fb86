"""Decoding run-length masks, compiled and in NumPy, against pycocotools."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mmvis.structures import rle_kernels_numpy
from mmvis.structures.rle_decode import compress_runs, decode_counts, describe_damage

rle_kernels_numba = pytest.importorskip('mmvis.structures.rle_kernels_numba')
MODULES = [rle_kernels_numba, rle_kernels_numpy]


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
            runs = rle_kernels_numpy.run_lengths(string)
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


def foreground(found, mask):
    """The spans of one mask as pairs."""
    return found.spans[found.starts[mask]:found.starts[mask + 1]].tolist()


@pytest.mark.parametrize('batch', [4, 1 << 20])
def test_all_spellings_side_by_side(monkeypatch, batch):
    monkeypatch.setattr('mmvis.structures.rle_decode._BATCH', batch)
    runs = [[8, 4, 4, 4, 60], [80], [0, 80], [1, 1, 78], [0, 3, 0, 2, 75]]
    texts = [compress_runs(one, 8, 10) for one in runs]
    counts = [runs[0], texts[1], texts[2].decode(), texts[0], runs[3], runs[4], runs[1]]
    found = decode_counts(counts, np.full(7, 80))
    assert found.areas.tolist() == [8, 0, 80, 8, 1, 5, 0]
    expected = [[[8, 12], [16, 20]], [], [[0, 80]], [[8, 12], [16, 20]], [[1, 2]], [[0, 3], [3, 5]], []]
    assert [foreground(found, m) for m in range(7)] == expected
    assert decode_counts(counts, np.full(7, 80), areas_only=True).areas.tolist() == found.areas.tolist()
    assert decode_counts([], np.zeros(0, np.int64)).areas.tolist() == []


@pytest.mark.parametrize('counts, words', [
    ([3, '4', 73], "hold '4', not a whole number"), ([3, None, 77], 'hold None'), ([True, 79], 'hold True'),
    ([2.0, 78], 'hold 2.0'), ([2**70, 10], 'cover 11805'), ([90, -10], 'negative length'), ([80, 1], 'cover 81 pixels'),
    ([2**62] * 4 + [80], 'cover 18446744073709551696'), ([], 'cover 0 pixels, but size 8 x 10 has 80'),
    ('', 'cover 0 pixels'), ('PPP', 'are not a compressed RLE string'), ('\u20ac', 'are not a compressed RLE string'),
    ('\ud800', 'are not'), ('~', 'are not'), ('5N`2', 'negative length'), (b'0', 'cover 0 pixels')])
def test_what_is_no_mask_is_named(counts, words, backend):
    good = [[80], compress_runs([0, 80], 8, 10)]
    for before, behind in ((good, good), (good[:1], []), ([], good[1:]), ([], [])):
        assert decode_counts([*before, counts, *behind], np.full(len(before) + 1 + len(behind), 80)) == len(before)
    assert words in describe_damage(counts, 8, 10)
