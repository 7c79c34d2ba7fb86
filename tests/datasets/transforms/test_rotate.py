"""Turning pseudo-clips, and polygons on their way."""
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.datasets.transforms import ClipCrop, ClipDrawPolygons, ClipFlip, ClipResize, ClipRotate
from mmvis.datasets.transforms.base import select_objects
from mmvis.datasets.transforms.rotate import draw_polygons


def frame(outline=((20, 10), (50, 12), (40, 30)), **changes):
    polygons = [[np.array(outline, np.float64)], [np.array([(60, 40), (75, 41), (70, 50)], np.float64)]]
    masks = draw_polygons(polygons, 60, 80)
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    boxes = np.array([[20, 10, 50, 30], [60, 40, 75, 50]], np.float32)
    return ClipFrame(0, image, boxes, np.array([3, 1]), np.array([7, 9]), masks, np.zeros(2, bool), polygons, **changes)


def clip(num=4, **changes):
    return Clip(1, num, (60, 80), [replace(frame(), frame_idx=t, **changes) for t in range(num)])


def test_angles_are_steady_and_the_centre_is_one():
    up = down = 0
    for seed in range(40):
        angles, centre = ClipRotate(15, (.4, .6)).draw(5, 60, 80, np.random.default_rng(seed))
        steps = np.diff(angles)
        up, down = up + (steps > 0).all(), down + (steps < 0).all()
        assert np.abs(angles).max() <= 15 and 32 <= centre[0] <= 48 and 24 <= centre[1] <= 36
    assert up + down == 40 and 10 < up < 30


def test_a_quarter_turn_anticlockwise():
    square = ClipFrame(0, np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.zeros((1, 4), np.float32), np.array([0]),
                       np.array([1]), np.array([[[1, 0], [0, 0]]], np.uint8), np.zeros(1, bool))
    turned = ClipRotate.turn(square, 90., (1, 1), False)
    np.testing.assert_array_equal(turned.image, np.rot90(square.image))
    np.testing.assert_array_equal(turned.masks[0], np.rot90(square.masks[0]))
    assert turned.boxes.tolist() == [[0, 1, 1, 2]]


def test_masks_follow_the_image():
    out = ClipRotate(15)(clip(), np.random.default_rng(1))
    plain = ClipRotate(15)(clip(polygons=None), np.random.default_rng(1))
    for a, b in zip(out.frames, plain.frames):
        assert a.image.shape == (60, 80, 3) and np.array_equal(a.image, b.image)
        assert (a.masks != b.masks).sum() < 60 and a.instance_ids.tolist() == [7, 9] and b.polygons is None


def test_objects_that_leave_the_picture_are_dropped():
    out = ClipRotate.turn(frame(), 180., (60, 20), False)              # 60, 40 goes to 60, 0; 50, 12 to 70, 28
    assert out.instance_ids.tolist() == [7] and len(out.polygons) == len(out.boxes) == 1
    empty = frame()
    assert len(ClipRotate.turn(ClipFrame(0, empty.image), 10., (40, 30), False).masks) == 0


@pytest.mark.parametrize('transform,drawn', [(ClipResize((None, 30), rule='detectron2'), (None, 30)), (ClipFlip(), True),
                                             (ClipCrop((40, 50), mode='absolute'), (5, 10, 40, 50, 60, 80))])
def test_polygons_go_where_the_masks_go(transform, drawn):
    before = frame()
    after = transform.apply(before, drawn, False)
    assert len(after.polygons) == len(after.masks) > 0
    redrawn = ClipDrawPolygons()(Clip(1, 1, (60, 80), [after]), None).frames[0]
    assert (redrawn.masks != after.masks).mean() < 0.02 and redrawn.masks.any((1, 2)).all()
    assert np.array_equal(before.polygons[0][0], frame().polygons[0][0])                 # the given frame stays


def test_polygons_are_chosen_with_their_objects():
    chosen = select_objects(frame(), np.array([False, True]))
    assert len(chosen['polygons']) == 1 and chosen['polygons'][0][0][0].tolist() == [60, 40]


def test_an_object_of_which_there_is_a_mask_alone_turns_with_it():
    """A crowd beside others: its mask by the nearest pixel, theirs by their outlines."""
    both, masks, mixed = (ClipRotate.turn(replace(frame(), polygons=polygons), 10., (40, 30), False)
                          for polygons in (frame().polygons, None, [None, frame().polygons[1]]))
    assert np.array_equal(mixed.masks[0], masks.masks[0]) and np.array_equal(mixed.masks[1], both.masks[1])
    assert mixed.polygons[0] is None and not np.array_equal(both.masks, masks.masks)
    drawn = ClipDrawPolygons()(Clip(1, 1, (60, 80), [mixed]), None).frames[0]
    assert np.array_equal(drawn.masks, mixed.masks)


def test_what_was_cut_off_does_not_come_back_when_the_frame_turns():
    """The outline reaches far over the window: after the turn there is no mask on what is black."""
    before = frame(((-200, 10), (50, -300), (300, 30), (60, 400)))
    window = ClipCrop((20, 30), 'absolute').apply(before, (20, 30, 20, 30, 60, 80), False)
    assert window.masks[0].all()
    white = replace(window, image=np.full_like(window.image, 255))
    for angle in (-30., 10., 45.):
        turned = ClipRotate.turn(white, angle, (15, 10), False)
        lit, near = (turned.image[..., 0] > 127).astype(np.uint8), np.ones((3, 3), np.uint8)
        assert (turned.masks[0] <= cv2.dilate(lit, near)).all() and (lit <= cv2.dilate(turned.masks[0], near)).all()
        assert lit.mean() < 0.95
