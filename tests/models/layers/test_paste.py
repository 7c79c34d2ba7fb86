"""Masks in boxes to run lengths, against a whole canvas and pycocotools' own encoder."""
import cv2
import numpy as np
import pytest

from mmvis.models.layers.paste import paste_and_encode
from mmvis.structures import encode_crop, encode_mask


@pytest.mark.parametrize('seed', range(20))
def test_crop_is_coded_as_the_whole_frame(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2)
    h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
    x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    crop = rng.random((h, w)) < rng.choice([0.1, 0.5, 0.95])
    canvas = np.zeros((height, width), np.uint8)
    canvas[y:y + h, x:x + w] = crop
    assert encode_crop(crop, int(x), int(y), (int(height), int(width))) == encode_mask(canvas)


@pytest.mark.parametrize('value', [0, 1])
def test_full_and_empty_frames(value):
    mask = np.full((7, 5), value, bool)
    assert encode_crop(mask, 0, 0, (7, 5)) == encode_mask(mask)


@pytest.mark.parametrize('box', [(3.9, 4.2, 20.7, 15.1), (0, 0, 31.9, 23.9), (10.5, 8, 9.2, 7.9), (5, 5, 5, 5),
                                 (-4.2, -3.7, 12, 10), (25, 18, 40, 30)])
def test_box_is_cut_to_whole_pixels(box):
    rng = np.random.default_rng(1)
    probabilities = cv2.GaussianBlur(rng.random((28, 28)).astype(np.float32), (0, 0), 3)
    probabilities = (probabilities - probabilities.min()) / np.ptp(probabilities)
    x1, y1, x2, y2 = (int(v) for v in box)
    w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    canvas = np.zeros((24 + 100, 32 + 100), np.uint8)                       # room for what leaves the frame
    canvas[50 + y1:50 + y1 + h, 50 + x1:50 + x1 + w] = cv2.resize(probabilities, (w, h)) > 0.5
    found = paste_and_encode(probabilities, np.array(box, np.float32), (24, 32))
    assert found == encode_mask(canvas[50:74, 50:82])
