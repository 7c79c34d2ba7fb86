import mmcv
import numpy as np
import pytest
import torch
from helpers.transform_clips import assert_valid, make_clip
from mmdet.structures.mask import BitmapMasks
from PIL import Image
from torchvision.transforms import v2

from mmvis.datasets.transforms import ClipResize, resized_shape

SIZES = [(h, w) for h in range(97, 1300, 83) for w in range(101, 1300, 79)]


@pytest.mark.parametrize('args, expected', [
    ((180, 320, (152, 96)), (86, 152, 0.475)),
    ((720, 1280, (640, 360)), (360, 640, 0.5)),
    ((640, 480, (640, 360)), (480, 360, 0.75)),
    ((720, 1280, (960, 480)), (480, 853, 2 / 3)),
    ((180, 320, (1333, 96), 'detectron2'), (96, 171, 96 / 180)),
    ((720, 1280, (1333, 800), 'detectron2'), (750, 1333, 1333 / 1280)),
    ((721, 1283, (None, 360), 'detr'), (360, 640, 360 / 721)),
    ((427, 640, (768, 512), 'detr'), (512, 767, 512 / 427)),
    ((360, 640, (768, 512), 'detr'), (432, 768, 1.2)),
    ((300, 900, (768, 512), 'detr'), (256, 768, 256 / 300)),
])
def test_resized_shape_by_hand(args, expected):
    height, width, factor = resized_shape(*args)
    assert (height, width) == expected[:2]
    assert factor == pytest.approx(expected[2], rel=1e-12)


@pytest.mark.parametrize('rule', ['mmcv', 'detectron2', 'detr'])
@pytest.mark.parametrize('height, width', [(9000, 16), (16, 9000)])
def test_a_very_thin_image_keeps_a_pixel(rule, height, width):
    new_h, new_w, factor = resized_shape(height, width, (40, 20), rule)
    assert min(new_h, new_w) == 1 and factor > 0
    clip = ClipResize((40, 20), rule)(make_clip(1, height, width), np.random.default_rng(0))
    assert_valid(clip)
    assert clip.frames[0].image.shape[:2] == (new_h, new_w)


def test_shape_agrees_with_mmcv():
    for height, width in SIZES:
        for scale in ((640, 360), (960, 480), (649, 353)):
            (new_w, new_h), factor = mmcv.rescale_size((width, height), scale, return_scale=True)
            assert resized_shape(height, width, scale) == (new_h, new_w, factor)
        new_w, new_h = mmcv.rescale_size((width, height), (1333, 480))
        assert resized_shape(height, width, (1333, 480), 'detectron2')[:2] == (new_h, new_w)


def test_shape_agrees_with_torchvision():
    for height, width in SIZES[::7]:
        expected = v2.functional.resize(torch.zeros(1, height, width), [60]).shape[1:]
        assert resized_shape(height, width, (None, 60), 'detr')[:2] == tuple(expected)


def test_mmcv_rule_equals_mmcv_and_mmdet():
    for height, width in ((48, 80), (83, 61)):
        clip = make_clip(2, height, width, inclusive=True)
        before = [(f.image, f.masks, f.boxes) for f in clip.frames]
        clip = ClipResize((47, 33))(clip, np.random.default_rng(0))
        assert_valid(clip)
        for frame, (image, masks, boxes) in zip(clip.frames, before):
            expected, factor = mmcv.imrescale(image, (47, 33), return_scale=True)
            np.testing.assert_array_equal(frame.image, expected)
            np.testing.assert_array_equal(frame.masks, BitmapMasks(masks, height, width).rescale((47, 33)).masks)
            np.testing.assert_array_equal(frame.boxes, boxes * factor)
            assert clip.scale_factor == factor


def test_detectron2_rule_uses_pillow():
    clip = make_clip(1, 90, 150)
    image, masks, boxes = clip.frames[0].image, clip.frames[0].masks, clip.frames[0].boxes
    frame = ClipResize((1333, 40), rule='detectron2')(clip, np.random.default_rng(0)).frames[0]
    np.testing.assert_array_equal(frame.image, mmcv.imresize(image, (67, 40), backend='pillow'))
    assert frame.image.shape == (40, 67, 3)
    # Pillow's nearest takes the pixel under the centre
    rows, columns = ((np.arange(40) + 0.5) * 90 / 40).astype(int), ((np.arange(67) + 0.5) * 150 / 67).astype(int)
    np.testing.assert_array_equal(frame.masks, masks[:, rows][:, :, columns])
    np.testing.assert_allclose(frame.boxes, boxes * np.array([67 / 150, 40 / 90] * 2), rtol=1e-6)


@pytest.mark.parametrize('size', [(90, 150), (151, 77)])
def test_detr_rule_equals_torchvision(size):
    clip = make_clip(1, *size)
    image, masks, boxes = clip.frames[0].image, clip.frames[0].masks, clip.frames[0].boxes
    frame = ClipResize((None, 47), rule='detr')(clip, np.random.default_rng(0)).frames[0]
    np.testing.assert_array_equal(frame.image, np.array(v2.Resize(47)(Image.fromarray(image))))
    new_h, new_w = frame.image.shape[:2]
    expected = torch.nn.functional.interpolate(torch.from_numpy(masks)[None].float(), (new_h, new_w), mode='nearest')
    np.testing.assert_array_equal(frame.masks, expected[0].numpy())
    np.testing.assert_allclose(frame.boxes, boxes * np.array([new_w / size[1], new_h / size[0]] * 2), rtol=1e-6)


def test_backends_differ():
    frames = [ClipResize((640, 20), backend=backend)(make_clip(1), np.random.default_rng(0)).frames[0]
              for backend in ('cv2', 'pillow')]
    assert np.abs(frames[0].image.astype(int) - frames[1].image).max() > 20
    np.testing.assert_array_equal(frames[0].masks, frames[1].masks)


def test_inclusive_boxes_are_clipped_to_the_size_not_to_the_last_pixel():
    clip = make_clip(1, 30, 50, num_objects=1, inclusive=True)
    clip.frames[0].boxes[0] = [-3, 2, 51, 29]
    frame = ClipResize((100, 60))(clip, np.random.default_rng(0)).frames[0]
    np.testing.assert_array_equal(frame.boxes, [[0, 4, 100, 58]])


def test_value_and_range():
    rng = np.random.default_rng(1)
    scales = [(649, 360), (960, 480)]
    resize = ClipResize(scales)
    assert {resize.draw(720, 1280, rng) for _ in range(30)} == set(scales)
    draws = np.array([ClipResize(scales, multiscale_mode='range').draw(720, 1280, rng) for _ in range(3000)])
    assert draws.min(0).tolist() == [649, 360] and draws.max(0).tolist() == [960, 480]
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.1
    assert ClipResize([(None, 400), (None, 600)], 'detr', 'range').draw(720, 1280, rng)[0] is None


def test_per_frame_draws_differ():
    clip = make_clip(6)
    sizes = {f.image.shape for f in ClipResize([(50, 30), (160, 96)], multiscale_mode='range', per_frame=True)(
        clip, np.random.default_rng(0)).frames}
    assert len(sizes) > 1


@pytest.mark.parametrize('kwargs, word', [
    (dict(scale=(360, 640)), 'long >= short'), (dict(scale=[]), 'scale'), (dict(scale=(640, 360), rule='x'), 'rule'),
    (dict(scale=(640, 360), backend='x'), 'backend'), (dict(scale=(640, 360), multiscale_mode='x'), 'multiscale_mode')])
def test_wrong_settings(kwargs, word):
    with pytest.raises(ValueError, match=word):
        ClipResize(**kwargs)


def test_scale_as_list_of_a_config():
    assert ClipResize([640, 360]).scales == [(640, 360)]
    assert ClipResize([[768, 512], [768, 288]]).scales == [(768, 512), (768, 288)]
