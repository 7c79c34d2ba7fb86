"""Masks: both sizes against plain interpolation, disjointness, painting."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.utils.misc import aligned_bilinear

from mmvis.models.condinst_iai.masks import CroppedMask, MaskUpsampler, claim, make_disjoint, paint


def blobs(num, height, width, seed=0):
    """Smooth probabilities [num, height, width], each over one half in some places only."""
    noise = torch.randn(num, 1, 4, 6, generator=torch.Generator().manual_seed(seed))
    return (3 * F.interpolate(noise, (height, width), mode='bicubic') - 2).sigmoid()[:, 0]


@pytest.mark.parametrize('pad, img, ori', [((96, 160), (90, 150), (108, 180)), ((384, 640), (360, 640), (720, 1280)),
                                           ((64, 96), (64, 96), (33, 50)), ((96, 64), (80, 60), (240, 180))])
def test_both_sizes_are_those_of_plain_interpolation(pad, img, ori):
    upsampler = MaskUpsampler(pad, img, ori)
    for mask in blobs(4, pad[0] // 4, pad[1] // 4):
        full = aligned_bilinear(mask[None, None], 4)
        frame = F.interpolate(full[..., :img[0], :img[1]], ori, mode='bilinear', align_corners=False)[0, 0]
        for ours, expected in ((upsampler.to_input(mask), full[0, 0]), (upsampler.to_frame(mask), frame)):
            wrong = torch.from_numpy(ours.whole()) != (expected > 0.5)
            assert not (wrong & ((expected - 0.5).abs() > 1e-5)).any()
            assert ours.whole().any() and ours.area() == ours.whole().sum()


def test_corners_single_cells_and_nothing():
    upsampler = MaskUpsampler((64, 96), (60, 90), (120, 180))
    corner = torch.zeros(16, 24)
    corner[0, 0] = corner[15, 23] = 1.
    inside, outside = upsampler.to_input(corner).whole(), upsampler.to_frame(corner).whole()
    assert inside[0, 0] and inside[63, 95] and outside[0, 0]
    assert not upsampler.to_input(torch.full((16, 24), 0.5)).whole().any()
    padding = torch.zeros(16, 24)
    padding[:, 23] = 1.
    assert upsampler.to_input(padding).area() and not upsampler.to_frame(padding).area()


def rectangle(y0, y1, x0, x1, size=(20, 30)):
    return CroppedMask(x0, y0, np.ones((y1 - y0, x1 - x0), bool), size)


def test_the_first_mask_takes_the_pixels_and_hidden_ones_give_theirs_to_nobody():
    first, hidden, third = rectangle(0, 10, 0, 10), rectangle(0, 10, 0, 11), rectangle(0, 20, 5, 15)
    nothing = rectangle(3, 3, 3, 3)
    rows, kept = make_disjoint([first, hidden, nothing, third])
    assert rows == [0, 3]                                    # of the second 10 of 110 pixels are left
    assert [x.area() for x in kept] == [100, 200 - 50 - 10]
    assert not (kept[0].whole() & kept[1].whole()).any() and not kept[1].whole()[5, 10]
    assert first.area() == 100 and third.area() == 200       # not changed in place
    assert make_disjoint([rectangle(0, 10, 0, 10), rectangle(0, 10, 1, 11)])[0] == [0, 1]     # exactly a tenth is left
    assert make_disjoint([]) == ([], [])


def test_claimed_pixels_are_free_no_more():
    free = np.ones((20, 30), bool)
    assert claim(rectangle(0, 5, 0, 5), free).area() == 25
    assert claim(rectangle(0, 6, 0, 5), free).area() == 5
    assert free.sum() == 600 - 30


def test_of_masks_with_one_slot_the_last_is_painted_and_the_others_are_nobody():
    masks = [rectangle(0, 2, 0, 2), rectangle(4, 6, 0, 2), rectangle(8, 10, 0, 2)]
    owner = paint(masks, [3, 5, 3], 7, (20, 30))
    assert (owner[0:2, 0:2] == 8).all() and (owner[4:6, 0:2] == 5).all() and (owner[8:10, 0:2] == 3).all()
    assert (owner == 7).sum() == 600 - 12
    assert (paint([], [], 7, (2, 3)) == 7).all()


def test_overlap():
    a, b = rectangle(0, 10, 0, 10), rectangle(5, 15, 0, 10)
    assert a.overlap(b) == b.overlap(a) == pytest.approx(50 / 150)
    assert a.overlap(a) == 1 and a.overlap(rectangle(12, 14, 12, 14)) == 0 == a.overlap(rectangle(2, 2, 2, 2))
