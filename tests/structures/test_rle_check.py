"""Measuring RLE strings without pycocotools, against pycocotools where it is safe."""
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvis.structures.rle_check import measure_strings


def compress(runs):
    """The string of a list of runs, whatever they sum up to."""
    size = [max(1, sum(runs)), 1]
    return coco_mask.frPyObjects({'size': size, 'counts': list(runs)}, *size)['counts'].decode()


def test_same_areas_as_pycocotools_on_random_masks():
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(300):
        size = tuple(rng.integers(1, 60, 2))
        kind = rng.integers(3)
        if kind == 0:
            masks.append((rng.random(size) < rng.random()).astype(np.uint8))
        else:
            masks.append(np.full(size, kind - 1, np.uint8))
    masks.append(np.ones((3000, 4000), np.uint8))
    rles = [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
    report = measure_strings([rle['counts'].decode() for rle in rles])
    assert report.is_rle.all()
    np.testing.assert_array_equal(report.covered, [mask.size for mask in masks])
    np.testing.assert_array_equal(report.area, [mask.sum() for mask in masks])


@pytest.mark.parametrize('broken', ['\x7f', 'a\u4e2d', ' ', '5P', 'oooooooo1', 'PPPPPPPPPPP0', 'O', '12\\~'])
def test_a_broken_string_is_told_and_its_neighbours_are_not_touched(broken):
    good = compress([3, 4, 5])
    report = measure_strings([good, broken, '', good])
    assert report.is_rle.tolist() == [True, False, True, True]
    assert report.covered[[0, 2, 3]].tolist() == [12, 0, 12] and report.area[[0, 2, 3]].tolist() == [4, 0, 4]


def test_runs_that_go_negative_are_no_rle():
    # runs 5, 1, 5, then a difference of -3 to the run of 1
    assert measure_strings([compress([5, 4, 5, 1])]).is_rle.tolist() == [True]
    assert measure_strings(['515M']).is_rle.tolist() == [False]


def test_a_string_that_does_not_fill_is_measured():
    report = measure_strings([compress([30, 10]), ''])
    assert report.is_rle.all() and report.covered.tolist() == [40, 0] and report.area.tolist() == [10, 0]
    assert [len(part) for part in measure_strings([])] == [0, 0, 0]
