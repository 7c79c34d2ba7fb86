import cv2
import numpy as np
import pytest
from helpers.transform_clips import make_clip, same_frames
from mmdet.datasets.transforms import PhotoMetricDistortion

from mmvis.datasets.transforms import ClipBlur, ClipColorJitter, ClipColorShift, ClipPhotometric


def test_photometric_equals_mmdet():
    ours, theirs = ClipPhotometric(), PhotoMetricDistortion()
    rng = np.random.default_rng(0)
    frame = make_clip(1).frames[0]
    for _ in range(40):
        drawn = ours.draw(1, 1, rng)
        theirs._random_flags = lambda: (
            int(drawn.contrast_first), drawn.brightness is not None, drawn.contrast is not None,
            drawn.saturation is not None, drawn.hue is not None, drawn.channels is not None, drawn.brightness,
            drawn.contrast, drawn.saturation, drawn.hue, drawn.channels)
        expected = theirs.transform(dict(img=frame.image))['img']
        got = ours.apply(frame, drawn, False).image
        np.testing.assert_array_equal(got, np.clip(np.rint(expected), 0, 255))


def test_photometric_steps_are_drawn_by_half():
    draws = [ClipPhotometric().draw(1, 1, np.random.default_rng(seed)) for seed in range(1000)]
    for name in ('brightness', 'contrast', 'saturation', 'hue', 'channels'):
        assert 440 < sum(getattr(drawn, name) is not None for drawn in draws) < 560, name
    assert 440 < sum(drawn.contrast_first for drawn in draws) < 560
    values = np.array([drawn.brightness for drawn in draws if drawn.brightness is not None])
    assert -32 <= values.min() < -30 and 30 < values.max() <= 32
    assert ClipPhotometric(swap_channels=False).draw(1, 1, np.random.default_rng(0)).channels is None


def test_photometric_clips_instead_of_wrapping():
    clip = make_clip(1)
    clip.frames[0].image[:] = 250
    bright = ClipPhotometric()
    bright.draw = lambda *args: bright_draw
    bright_draw = ClipPhotometric().draw(1, 1, np.random.default_rng(0))._replace(
        brightness=30.0, contrast=None, saturation=None, hue=None, channels=None)
    assert (bright(clip, np.random.default_rng(0)).frames[0].image == 255).all()


def test_per_frame_and_keep_first():
    clip = same_frames(6)
    first = clip.frames[0]
    clip = ClipPhotometric(per_frame=True, keep_first=True)(clip, np.random.default_rng(0))
    np.testing.assert_array_equal(clip.frames[0].image, first.image)
    assert len({frame.image.tobytes() for frame in clip.frames}) > 3


def test_color_jitter_by_hand():
    image = np.array([[[10, 20, 30], [100, 200, 250]]], np.uint8)
    frame = make_clip(1, num_objects=0).frames[0]
    frame.image = image
    jitter = ClipColorJitter()
    np.testing.assert_array_equal(jitter.apply(frame, [1, 1, 1, 0], False).image, image)
    np.testing.assert_array_equal(jitter.apply(frame, [1.1, 1, 1, 0], False).image, [[[11, 22, 33], [110, 220, 255]]])
    # mean 610 / 6 = 101.667
    np.testing.assert_array_equal(jitter.apply(frame, [1, 0.5, 1, 0], False).image, [[[55, 60, 65], [100, 150, 175]]])
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    got = jitter.apply(frame, [1, 1, 0, 0], False).image
    assert np.abs(got.astype(int) - grey).max() <= 1 and (got == got[..., :1]).all()


def test_hue_of_the_jitter_turns_red_into_green():
    frame = make_clip(1, num_objects=0).frames[0]
    frame.image[:] = [0, 0, 255]
    got = ClipColorJitter().apply(frame, [1, 1, 1, 120], False).image
    np.testing.assert_array_equal(got, np.broadcast_to(np.uint8([0, 255, 0]), got.shape))


def test_color_shift_draws_one_or_both():
    draws = [ClipColorShift(40, 5).draw(1, 1, np.random.default_rng(seed)) for seed in range(400)]
    assert {abs(add) <= 40 and abs(turn) <= 5 for add, turn in draws} == {True}
    assert any(add and turn for add, turn in draws) and any(add and not turn for add, turn in draws)
    assert any(turn and not add for add, turn in draws)
    frame = make_clip(1).frames[0]
    np.testing.assert_array_equal(ClipColorShift().apply(frame, (40, 0), False).image,
                                  np.minimum(frame.image.astype(int) + 40, 255))


@pytest.mark.parametrize('kind', ['motion', 'gaussian'])
def test_blur_keeps_a_flat_picture_and_smooths_noise(kind):
    clip = make_clip(1)
    noisy = clip.frames[0].image
    blur = ClipBlur(1.0, kind=kind, sigma=(1, 2))
    assert blur(clip, np.random.default_rng(0)).frames[0].image.std() < 0.6 * noisy.std()
    clip.frames[0].image = np.full_like(noisy, 77)
    assert np.abs(blur(clip, np.random.default_rng(0)).frames[0].image.astype(int) - 77).max() <= 1
    clip.frames[0].image = noisy
    assert ClipBlur(0.0, kind=kind)(clip, np.random.default_rng(0)).frames[0].image is noisy


def test_wrong_blur():
    with pytest.raises(ValueError, match='kind'):
        ClipBlur(kind='x')
