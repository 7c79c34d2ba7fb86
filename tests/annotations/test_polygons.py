"""Polygons against pycocotools, near and far."""
import time

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvis.annotations.polygons import clamp_polygon, rasterize


def pixels(counts, height, width):
    return coco_mask.decode({'size': [height, width], 'counts': counts})


def by_pycocotools(polygons, height, width):
    polygons = [polygon.tolist() for polygon in polygons]
    return pixels(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))['counts'], height, width)


def test_polygons_about_the_frame_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(400):
        height, width = rng.integers(1, 40, 2)
        spread = rng.choice([1, 1.3, 2.5])
        polygons = [((rng.random((rng.integers(3, 9), 2)) - 0.5) * spread + 0.5) * [width, height]
                    for _ in range(rng.integers(1, 4))]
        polygons = [polygon.round(rng.integers(0, 3)).ravel() for polygon in polygons]
        expected = by_pycocotools(polygons, height, width)
        np.testing.assert_array_equal(pixels(rasterize(polygons, height, width), height, width), expected)


def test_polygons_far_outside_differ_by_the_rounding_of_their_edges_alone():
    """pycocotools draws those, too, as long as they are not too far for its memory."""
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(400):
        height, width = rng.integers(10, 40, 2)
        polygon = (rng.normal(0, rng.choice([60, 300, 3000]), (rng.integers(3, 9), 2)) + [width / 2, height / 2]).ravel()
        expected = by_pycocotools([polygon], height, width)
        found = pixels(rasterize([polygon], height, width), height, width)
        shares.append((found != expected).mean())
    # An edge that is cut is rounded to another fifth of a pixel, so some pixels that it runs through change side.
    assert np.mean(shares) < 0.001 and np.max(shares) < 0.02


@pytest.mark.parametrize('far', [1e4, 1e8, 2.0**53, 1e300, 1.6e308])
def test_distance_costs_nothing(far):
    begin = time.process_time()
    whole = rasterize([np.array([-far, -far, far, -far, far, far, -far, far])], 60, 80)
    assert pixels(whole, 60, 80).all()
    half = rasterize([np.array([-far, 20, far, 20, far, far, -far, far])], 60, 80)
    np.testing.assert_array_equal(pixels(half, 60, 80)[:, 0], np.arange(60) >= 20)
    beside = rasterize([np.array([90, -far, far, 0, 90, far]), np.array([far, far, far, far, far, far])], 60, 80)
    assert not pixels(beside, 60, 80).any()
    assert time.process_time() - begin < 1


def test_what_is_near_comes_back_as_it_is():
    polygon = np.array([-30., 0, 200, 0, 200, 120])
    assert clamp_polygon(polygon, 60, 80) is polygon
    far = clamp_polygon(np.array([0., 0, 1e9, 0, 1e9, 10]), 60, 80)
    assert np.abs(far).max() <= 60 + 80 + 80


def test_an_outline_without_end_is_refused():
    zigzag = np.tile([0., 0, 4000, 4000], 2000)
    with pytest.raises(ValueError, match='2000000 pixels'):
        rasterize([zigzag], 4000, 4000)
    assert pixels(rasterize([zigzag[:80]], 4000, 4000), 4000, 4000).shape == (4000, 4000)
