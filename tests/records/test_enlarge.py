import numpy as np
import torch

from mmvis.records import enlarge_and_encode, enlarge_with_values
from mmvis.structures import decode_rle


def test_the_pixels_of_bilinear_interpolation():
    rng = np.random.default_rng(0)
    for (h, w), size in [((45, 80), (720, 1280)), ((12, 19), (180, 300)), ((7, 5), (7, 5)), ((9, 16), (50, 31)),
                         ((1, 1), (10, 20)), ((23, 40), (11, 17))]:
        for sparse in (0, 3, 5):                                   # the larger, the fewer positive logits
            logits = (rng.normal(0, 2, (h, w)) - sparse).astype(np.float32)
            full = torch.nn.functional.interpolate(torch.from_numpy(logits)[None, None], size, mode='bilinear',
                                                   align_corners=False)[0, 0].numpy()
            found = enlarge_and_encode(logits, size)
            if found is None:
                assert (full > 1e-5).sum() == 0
                continue
            rle, box = found
            mask = decode_rle(rle)
            assert rle['size'] == list(size)
            unsure = np.abs(full) < 1e-5
            np.testing.assert_array_equal(mask[~unsure], full[~unsure] > 0)
            rows, columns = mask.nonzero()
            assert box.dtype == np.float32
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_nothing_positive_gives_nothing():
    assert enlarge_and_encode(np.zeros((4, 6), np.float32), (40, 60)) is None
    # a positive logit between the places that a smaller frame looks at
    logits = np.full((9, 9), -5, np.float32)
    logits[0, 0] = 1
    assert enlarge_and_encode(logits, (2, 2)) is None


def test_values_are_those_of_the_pixels_of_the_mask():
    logits = np.random.default_rng(1).normal(-1, 2, (16, 24)).astype(np.float32)
    found = enlarge_with_values(logits, (80, 120), (64, 96), (60, 90))
    whole = torch.nn.functional.interpolate(torch.from_numpy(logits)[None, None], (64, 96), mode='bilinear')[..., :60, :90]
    whole = torch.nn.functional.interpolate(whole, (80, 120), mode='bilinear')[0, 0].numpy()
    np.testing.assert_allclose(np.sort(found.values[found.values > 1e-4]), np.sort(whole[whole > 1e-4]), atol=1e-5)
    rle, box = enlarge_and_encode(logits, (80, 120), (64, 96), (60, 90))
    assert found.rle == rle and found.box.tolist() == box.tolist() and len(found.values) == decode_rle(rle).sum()
    assert enlarge_with_values(np.full((4, 6), -1, np.float32), (40, 60)) is None
