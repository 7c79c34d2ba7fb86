"""Large-scale jitter."""
import numpy as np
import pytest

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.datasets.transforms import ClipLSJ


def clip(height=60, width=80, num=2):
    image = np.zeros((height, width, 3), np.uint8)
    image[10:30, 20:60] = 200
    masks = (image[None, ..., 0] > 0).astype(np.uint8)
    outline = np.array([(20, 10), (60, 10), (60, 30), (20, 30)], np.float64)
    return Clip(1, num, (height, width), [
        ClipFrame(t, image, np.array([[20, 10, 60, 30]], np.float32), np.array([3]), np.array([7]), masks,
                  np.zeros(1, bool), [[outline]]) for t in range(num)])


def test_what_is_smaller_stays_whole():
    out = ClipLSJ((40, 40), (0.5, 0.5))(clip(), np.random.default_rng(0))
    frame = out.frames[0]
    assert frame.image.shape == (15, 20, 3) and out.scale_factor == 0.25
    np.testing.assert_allclose(frame.boxes, [[5, 2.5, 15, 7.5]])
    np.testing.assert_allclose(frame.polygons[0][0], np.array([(20, 10), (60, 10), (60, 30), (20, 30)]) / 4)
    assert frame.masks.shape == (1, 15, 20) and frame.masks.sum() == 50


def test_a_window_of_what_is_larger():
    sizes = set()
    for seed in range(30):
        out = ClipLSJ((40, 40), (0.6, 2.0))(clip(), np.random.default_rng(seed))
        first, second = out.frames
        assert np.array_equal(first.image, second.image) and max(first.image.shape[:2]) <= 40
        sizes.add(first.image.shape[:2])
        if len(first.masks):
            overlap = (first.masks[0] > 0) == (first.image[..., 0] > 100)
            assert overlap.mean() > 0.9
    assert (40, 40) in sizes and len(sizes) > 5


def test_sides_are_rounded_down():
    out = ClipLSJ((33, 50), (1, 1))(clip(), np.random.default_rng(0))          # 60 x 80 times 0.55
    assert out.frames[0].image.shape == (33, 44, 3)
    out = ClipLSJ((33, 50), (0.999, 0.999))(clip(), np.random.default_rng(0))
    assert out.frames[0].image.shape == (32, 43, 3)


def test_ranges_that_are_none():
    for scale in ((0, 1), (2, 1), (1,)):
        with pytest.raises(ValueError, match='ClipLSJ: scale is'):
            ClipLSJ(scale=scale)
