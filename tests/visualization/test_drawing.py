"""Overlays: the right pixels in the right colour."""
import numpy as np
import pytest

from mmvis.structures import FrameInstances, encode_mask
from mmvis.visualization import draw_frame, track_color


def make_frame(scores=(0.9, 0.2)):
    masks = np.zeros((2, 120, 200), np.uint8)
    masks[0, 60:100, 20:80] = 1
    masks[1, 60:100, 120:180] = 1
    boxes = np.float32([[20, 60, 80, 100], [120, 60, 180, 100]])
    return FrameInstances(0, np.array([3, 7]), np.array([0, 1]), np.float32(scores), boxes,
                          [encode_mask(mask) for mask in masks])


def test_a_track_keeps_its_colour_and_differs_from_its_neighbours():
    colors = [track_color(track_id) for track_id in range(60)]
    assert colors == [track_color(track_id) for track_id in range(60)]
    assert len(set(colors)) == 60
    assert all(0 <= value <= 255 for color in colors for value in color)
    for one, other in zip(colors, colors[1:]):
        assert np.abs(np.subtract(one, other)).sum() > 100


def test_masks_above_the_threshold_are_blended_over_the_frame():
    image = np.full((120, 200, 3), 100, np.uint8)
    picture = draw_frame(image, make_frame(), ['cat', 'dog'], thresh=0.3, alpha=0.5)
    assert picture.dtype == np.uint8 and picture.shape == image.shape
    np.testing.assert_allclose(picture[85, 50], np.array(track_color(3)) * 0.5 + 50, atol=1)
    assert (picture[:, 110:] == 100).all()  # the weak instance is not drawn
    assert (picture[110:] == 100).all() and (image == 100).all()  # nothing outside; the frame itself is left alone
    both = draw_frame(image, make_frame(), ['cat', 'dog'], thresh=0.1)
    assert (both[85, 150] != 100).any()


def test_an_instance_without_pixels_and_boxes_at_and_beyond_the_edge():
    image = np.zeros((40, 60, 3), np.uint8)
    boxes = np.float32([[-5, -3, 70, 45], [59, 39, 59, 39], [np.nan, 0, 5, 5]])
    frame = FrameInstances(0, np.arange(3), np.zeros(3, np.int64), np.ones(3, np.float32), boxes,
                           [None, encode_mask(np.zeros((40, 60), np.uint8)), None])
    picture = draw_frame(image, frame)
    assert picture.shape == image.shape and picture.any()


def test_a_frame_without_instances_is_a_copy():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    picture = draw_frame(image, FrameInstances(0))
    assert picture is not image
    np.testing.assert_array_equal(picture, image)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r'\(120, 200\) does not fit the picture of size \(60, 100\)'):
        draw_frame(np.zeros((60, 100, 3), np.uint8), make_frame())
