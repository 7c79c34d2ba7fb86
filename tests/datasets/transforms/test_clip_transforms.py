"""What all clip transforms have in common, and flip, crop, pad, choice by hand."""
import numpy as np
import pytest
from helpers.transform_clips import assert_frames_equal, assert_valid, make_clip, same_frames

from mmvis.datasets.clip import pack_clip
from mmvis.datasets.transforms import (
    ClipBoxesFromMasks,
    ClipClampBoxes,
    ClipCompose,
    ClipCrop,
    ClipFlip,
    ClipPad,
    ClipRandomChoice,
    ClipResize,
)
from mmvis.datasets.transforms.boxes import masks_to_boxes
from mmvis.registry import TRANSFORMS

SCALES = [(120, 30), (120, 60), (120, 72)]
GEOMETRIC = dict(
    resize_mmcv=[dict(type='ClipResize', scale=[(60, 36), (140, 80)], multiscale_mode='range')],
    resize_detectron2=[dict(type='ClipResize', scale=SCALES, rule='detectron2')],
    resize_detr=[dict(type='ClipResize', scale=SCALES, rule='detr')],
    flip=[dict(type='ClipFlip')],
    crop=[dict(type='ClipCrop', size=(20, 40))],
    crop_relative=[dict(type='ClipCrop', size=(0.5, 0.7), mode='relative_range')],
    pad=[dict(type='ClipPad', divisor=32)],
    detr=[dict(type='ClipFlip'), dict(type='ClipRandomChoice', branches=[
        [dict(type='ClipResize', scale=SCALES, rule='detr')],
        [dict(type='ClipResize', scale=[(None, 50), (None, 60)], rule='detr'), dict(type='ClipCrop', size=(30, 45)),
         dict(type='ClipResize', scale=SCALES, rule='detr')]])],
    warp=[dict(type='ClipWarp', perspective=0.05)],
)
COLOUR = dict(
    photometric=[dict(type='ClipPhotometric')],
    jitter=[dict(type='ClipColorJitter', brightness=(0.9, 1.1), contrast=(0.9, 1.1), saturation=(0.9, 1.1), hue=18)],
    shift=[dict(type='ClipColorShift')],
    motion_blur=[dict(type='ClipBlur', prob=0.8)],
    gaussian_blur=[dict(type='ClipBlur', kind='gaussian', prob=0.8)],
)
ALL = {**GEOMETRIC, **COLOUR}


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('inclusive', [False, True])
def test_one_draw_for_all_frames(name, inclusive):
    for seed in range(5):
        clip = ClipCompose(ALL[name])(same_frames(inclusive=inclusive), np.random.default_rng(seed))
        assert_valid(clip)
        for frame in clip.frames[1:]:
            assert_frames_equal(clip.frames[0], frame)


@pytest.mark.parametrize('name', ALL)
def test_function_of_the_generator_and_input_untouched(name):
    pipeline = ClipCompose(ALL[name])
    source = make_clip()
    copies = [frame.image.copy() for frame in source.frames]
    boxes = [frame.boxes.copy() for frame in source.frames]
    frames = source.frames
    once, again = (pipeline(make_clip(), np.random.default_rng(3)) for _ in range(2))
    for first, second in zip(once.frames, again.frames):
        assert_frames_equal(first, second)
    assert (once.scale_factor, once.flip) == (again.scale_factor, again.flip)
    pipeline(source, np.random.default_rng(3))
    for frame, image, box in zip(frames, copies, boxes):
        np.testing.assert_array_equal(frame.image, image)
        np.testing.assert_array_equal(frame.boxes, box)


@pytest.mark.parametrize('name', [name for name in ALL if name != 'pad'])
def test_draws_differ(name):
    pipeline = ClipCompose(ALL[name])
    images = {pipeline(make_clip(1), np.random.default_rng(seed)).frames[0].image.tobytes() for seed in range(12)}
    assert len(images) > 1


@pytest.mark.parametrize('name', [name for name in GEOMETRIC if name != 'detr'])  # a chain of the others
@pytest.mark.parametrize('inclusive', [False, True])
def test_boxes_follow_masks(name, inclusive):
    pipeline = ClipCompose(GEOMETRIC[name])
    compared = 0
    for seed in range(20):
        clip = pipeline(make_clip(seed=seed, inclusive=inclusive), np.random.default_rng(seed))
        for frame in clip.frames:
            keep = frame.masks.any((1, 2))
            tight = masks_to_boxes(frame.masks[keep], inclusive)
            # One pixel, but for two published conventions: boxes are multiplied by the float factor, masks have the
            # rounded size (half a pixel at the far side); scaling the last pixel of an inclusive box by f > 1 leaves
            # out f - 1 pixels of it.
            tolerance = 1 + 0.5 * (name == 'resize_mmcv') + inclusive * max(0, clip.scale_factor - 1)
            assert np.abs(frame.boxes[keep] - tight).max(initial=0) <= tolerance + 1e-3
            compared += keep.sum()
            for box, mask in zip(frame.boxes[~keep], frame.masks[~keep]):
                assert min(box[2:] - box[:2]) <= 1, 'a mask may vanish only where hardly a pixel of the box is left'
    assert compared > 50


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('inclusive', [False, True])
def test_no_objects_and_one_frame(name, inclusive):
    for num_frames, num_objects in ((1, 0), (3, 0), (1, 1)):
        clip = make_clip(num_frames, num_objects=num_objects, inclusive=inclusive)
        clip = ClipCompose(ALL[name])(clip, np.random.default_rng(0))
        assert_valid(clip)
        item = pack_clip(clip)
        assert item['inputs'].shape == (num_frames, 3, *clip.frames[0].image.shape[:2])


@pytest.mark.parametrize('inclusive, expected', [(False, [50, 5, 70, 20]), (True, [49, 5, 69, 20])])
def test_flip_by_hand(inclusive, expected):
    clip = make_clip(1, 48, 80, num_objects=1, inclusive=inclusive)
    clip.frames[0].boxes[0] = [10, 5, 30, 20]
    before = clip.frames[0]
    clip = ClipFlip(1.0)(clip, np.random.default_rng(0))
    np.testing.assert_array_equal(clip.frames[0].boxes, [expected])
    np.testing.assert_array_equal(clip.frames[0].image, before.image[:, ::-1])
    np.testing.assert_array_equal(clip.frames[0].masks, before.masks[:, :, ::-1])
    assert clip.flip
    assert not ClipFlip(1.0)(clip, np.random.default_rng(0)).flip


def test_resize_then_flip_clips_as_flip_then_clip():
    # an inclusive box that touches the right border may exceed the rounded width: 23 * 0.3 = 6.9 < 7 = int(7.5)
    clip = make_clip(1, 16, 25, num_objects=1, inclusive=True)
    clip.frames[0].boxes[0] = [3, 2, 24, 9]
    clip = ClipFlip(1.0)(ClipResize((5, 5))(clip, np.random.default_rng(0)), np.random.default_rng(0))
    width = clip.frames[0].image.shape[1]
    raw = np.array([3, 2, 24, 9]) * 0.2
    expected = np.clip([width - raw[2] - 1, raw[1], width - raw[0] - 1, raw[3]], 0, [width, 3, width, 3])
    np.testing.assert_allclose(clip.frames[0].boxes[0], expected, rtol=1e-6)


def test_flip_rate_and_per_frame():
    rng = np.random.default_rng(0)
    flipped = sum(ClipFlip(0.3).draw(1, 1, rng) for _ in range(2000))
    assert 520 < flipped < 680
    clip = ClipFlip(0.5, per_frame=True)(same_frames(12), rng)
    assert len({frame.image.tobytes() for frame in clip.frames}) == 2


@pytest.mark.parametrize('inclusive', [False, True])
def test_crop_by_hand(inclusive):
    clip = make_clip(2, 40, 60, num_objects=3, inclusive=inclusive)
    one = int(inclusive)
    for frame in clip.frames:
        frame.boxes[:] = [[5, 5, 20 - one, 20 - one], [25, 12, 59 - one, 39 - one], [50, 30, 60 - one, 40 - one]]
    before = clip.frames
    crop = ClipCrop((20, 30), mode='absolute')
    crop.draw = lambda height, width, rng: (10, 20, 20, 30, height, width)
    clip = crop(clip, np.random.default_rng(0))
    for frame, old in zip(clip.frames, before):
        np.testing.assert_array_equal(frame.boxes, [[5, 2, 30 - one, 20 - one]])
        assert frame.instance_ids.tolist() == [11] and frame.labels.tolist() == [1]
        np.testing.assert_array_equal(frame.image, old.image[10:30, 20:50])
        np.testing.assert_array_equal(frame.masks, old.masks[1:2, 10:30, 20:50])


def test_crop_sizes():
    rng = np.random.default_rng(0)
    drawn = np.array([ClipCrop((384, 600)).draw(500, 900, rng) for _ in range(3000)])
    assert drawn[:, 2].min() == 384 and drawn[:, 2].max() == 500
    assert drawn[:, 3].min() == 384 and drawn[:, 3].max() == 600
    assert drawn[:, 0].min() == 0 and (drawn[:, 0] + drawn[:, 2]).max() == 500
    assert drawn[:, 1].min() == 0 and (drawn[:, 1] + drawn[:, 3]).max() == 900
    assert ClipCrop((384, 600)).draw(100, 90, rng)[:4] == (0, 0, 100, 90)
    assert ClipCrop((0.5, 0.3), 'relative').draw(101, 90, rng)[2:4] == (51, 27)
    assert ClipCrop((600, 50), 'absolute').draw(101, 90, rng)[2:4] == (101, 50)
    for _ in range(50):
        height, width = ClipCrop((0.5, 1.0), 'relative_range').draw(100, 80, rng)[2:4]
        assert 50 <= height <= 100 and width == 80


def test_objects_leave_single_frames_only():
    clip = make_clip(8, num_objects=3)
    kept = [set(f.instance_ids.tolist()) for f in ClipCrop((20, 30))(clip, np.random.default_rng(0)).frames]
    assert len(set(map(frozenset, kept))) > 1


def test_crop_needs_equal_frames():
    clip = make_clip(2)
    clip.frames[1] = make_clip(1, 50, 70).frames[0]
    with pytest.raises(ValueError, match='size'):
        ClipCrop((20, 30))(clip, np.random.default_rng(0))


def test_pad():
    clip = make_clip(2, 48, 80)
    clip.frames[1] = make_clip(1, 50, 70).frames[0]
    old = clip.frames
    clip = ClipPad(32, value=(1, 2, 3))(clip, np.random.default_rng(0))
    assert_valid(clip)
    for frame, before in zip(clip.frames, old):
        height, width = before.image.shape[:2]
        assert frame.image.shape == (64, 96, 3)
        np.testing.assert_array_equal(frame.image[:height, :width], before.image)
        assert (frame.image[height:] == [1, 2, 3]).all() and (frame.image[:, width:] == [1, 2, 3]).all()
        assert frame.masks.sum() == before.masks.sum()
        np.testing.assert_array_equal(frame.boxes, before.boxes)
    assert ClipPad(size=(70, 100))(clip, np.random.default_rng(0)).frames[0].image.shape == (70, 100, 3)
    with pytest.raises(ValueError, match='size'):
        ClipPad(size=(60, 200))(clip, np.random.default_rng(0))


def test_clamp_boxes_to_the_last_pixel():
    clip = make_clip(1, 30, 50, num_objects=1, inclusive=True)
    clip.frames[0].boxes[0] = [0, 2, 50, 29.5]
    np.testing.assert_array_equal(ClipClampBoxes()(clip, np.random.default_rng(0)).frames[0].boxes, [[0, 2, 49, 29]])


@pytest.mark.parametrize('inclusive', [False, True])
def test_boxes_from_masks(inclusive):
    clip = make_clip(1, num_objects=4, inclusive=inclusive)
    frame = clip.frames[0]
    expected = frame.boxes[[0, 2, 3]].copy()
    frame.masks[1] = 0
    frame.boxes[:] = 0
    frame = ClipBoxesFromMasks()(clip, np.random.default_rng(0)).frames[0]
    np.testing.assert_array_equal(frame.boxes, expected)
    assert frame.instance_ids.tolist() == [10, 12, 13]


def test_random_choice():
    choice = ClipRandomChoice([[], [dict(type='ClipFlip', prob=1.0)]], prob=[0.25, 0.75])
    rng = np.random.default_rng(0)
    flips = sum(choice(make_clip(1, num_objects=0), rng).flip for _ in range(400))
    assert 260 < flips < 340
    with pytest.raises(ValueError, match='prob'):
        ClipRandomChoice([[], []], prob=[1.0])


def test_scale_factor_of_a_chain():
    pipeline = ClipCompose([ClipResize((160, 96)), ClipFlip(1.0), ClipResize((40, 24))])
    clip = pipeline(make_clip(1, 48, 80), np.random.default_rng(0))
    assert clip.scale_factor == 0.5 and clip.flip and clip.frames[0].image.shape == (24, 40, 3)


@pytest.mark.parametrize('kwargs', [dict(size=(1, 2, 3)), dict(size=(600, 384)), dict(size=(2, 1), mode='relative'),
                                    dict(size=(1, 1), mode='x')])
def test_wrong_crop(kwargs):
    with pytest.raises(ValueError, match='ClipCrop: (size|mode)'):
        ClipCrop(**kwargs)


def test_registered_in_our_own_scope():
    for name in ('ClipResize', 'ClipFlip', 'ClipCrop', 'ClipPhotometric', 'ClipPad', 'ClipRandomChoice'):
        assert TRANSFORMS.get(name).__module__.startswith('mmvis.datasets.transforms')
