import numpy as np
import pytest
from helpers.transform_clips import assert_frames_equal, assert_valid, make_clip

from mmvis.datasets.transforms import ClipCompose, ClipRepeat, ClipShuffle, ClipWarp


def test_quarter_turn_equals_rot90():
    clip = make_clip(1, 41, 41, num_objects=2)
    before = clip.frames[0]
    frame = ClipWarp(rotate=(90, 90), translate=0)(clip, np.random.default_rng(0)).frames[0]
    np.testing.assert_array_equal(frame.image, np.rot90(before.image))
    np.testing.assert_array_equal(frame.masks, np.rot90(before.masks, axes=(1, 2)))


def test_shift_of_both_axes_by_one_fraction():
    warp = ClipWarp(rotate=(0, 0), translate=0.2, same_shift=True)
    matrix = warp.draw(40, 100, np.random.default_rng(0))
    np.testing.assert_allclose(matrix[:2, :2], np.eye(2), atol=1e-9)
    assert matrix[0, 2] / 100 == pytest.approx(matrix[1, 2] / 40) and abs(matrix[0, 2]) <= 20


def test_perspective_enlarges():
    matrix = ClipWarp(rotate=(0, 0), translate=0, perspective=0.08).draw(41, 101, np.random.default_rng(0))
    for corner in ([0, 0], [100, 0], [100, 40], [0, 40]):
        x, y, z = matrix @ [*corner, 1.0]
        assert not (1e-6 < x / z < 100 - 1e-6 and 1e-6 < y / z < 40 - 1e-6), 'a corner moves out of the frame, not in'


def test_without_overlaps_later_objects_cover_earlier_ones():
    clip = make_clip(1, num_objects=2)
    clip.frames[0].masks[:] = 0
    clip.frames[0].masks[0, 10:30, 10:30] = 1
    clip.frames[0].masks[1, 20:40, 20:40] = 1
    still = dict(rotate=(0, 0), translate=0)
    both = ClipWarp(**still)(make_clip(1, num_objects=0), np.random.default_rng(0))
    assert_valid(both)
    frame = ClipWarp(overlaps=False, **still)(clip, np.random.default_rng(0)).frames[0]
    assert frame.masks.sum((1, 2)).tolist() == [300, 400] and frame.masks.sum(0).max() == 1


def test_a_crowd_takes_nothing_from_an_object():
    clip = make_clip(1, num_objects=2)
    frame = clip.frames[0]
    frame.masks[:] = 0
    frame.masks[0, 10:30, 10:30] = 1
    frame.masks[1] = 1
    frame.crowd[:] = [False, True]
    warped = ClipWarp(rotate=(0, 0), translate=0, overlaps=False)(clip, np.random.default_rng(0)).frames[0]
    assert warped.masks[0].sum() == 400 and warped.crowd.tolist() == [False, True]


def test_pseudo_clip():
    pipeline = ClipCompose([
        dict(type='ClipRepeat', num_frames=5), dict(type='ClipColorShift', per_frame=True, keep_first=True),
        dict(type='ClipWarp', perspective=0.08, same_shift=True, overlaps=False, per_frame=True, keep_first=True),
        dict(type='ClipBlur', per_frame=True, keep_first=True), dict(type='ClipShuffle')])
    source = make_clip(1)
    image = source.frames[0]
    clip = pipeline(source, np.random.default_rng(0))
    assert_valid(clip)
    assert clip.num_frames == 5 and [frame.frame_idx for frame in clip.frames] == [0, 1, 2, 3, 4]
    same = [frame for frame in clip.frames if np.array_equal(frame.image, image.image)]
    assert len(same) == 1, 'the image itself stands among the copies, and no copy equals another'
    assert_frames_equal(same[0], image)
    assert len({frame.image.tobytes() for frame in clip.frames}) == 5
    assert all(set(frame.instance_ids.tolist()) <= {10, 11, 12, 13} for frame in clip.frames)
    positions = {int(np.argmax([np.array_equal(f.image, image.image) for f in
                                pipeline(make_clip(1), np.random.default_rng(seed)).frames])) for seed in range(20)}
    assert len(positions) > 2


def test_repeat_takes_images_only():
    with pytest.raises(ValueError, match='2 frames'):
        ClipRepeat(3)(make_clip(2), np.random.default_rng(0))


def test_shuffle_keeps_all_frames():
    clip = make_clip(6)
    before = {frame.image.tobytes() for frame in clip.frames}
    clip = ClipShuffle()(clip, np.random.default_rng(0))
    assert {frame.image.tobytes() for frame in clip.frames} == before
    assert [frame.frame_idx for frame in clip.frames] == list(range(6))
