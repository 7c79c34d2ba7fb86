"""Overlaps, compiled and in NumPy, against pycocotools."""
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvis.evaluation.masks import read_masks, track_overlap

pytest.importorskip('numba')


def random_masks(rng, count, height, width):
    """Masks from empty to full, noisy and with large patches, so that runs take one byte and several."""
    masks = rng.random((count, height, width)) < rng.choice([0, 0.001, 0.3, 1], (count, 1, 1))
    masks[:, height // 3:height // 2, width // 4:] ^= True
    return masks.astype(np.uint8)


def test_overlaps_are_those_of_the_pixels(backend):
    rng = np.random.default_rng(1)
    sizes = [(13, 17), (17, 13)]

    def track(num_frames):
        frames = [random_masks(rng, 1, *sizes[int(rng.random() < 0.2)])[0] for _ in range(num_frames)]
        return [None if rng.random() < 0.2 else frame for frame in frames]

    def read(tracks):
        return read_masks([[None if mask is None else coco_mask.encode(np.asfortranarray(mask)) for mask in frames]
                           for frames in tracks], [''] * len(tracks))

    first, second = [track(n) for n in (6, 4, 0, 9)], [track(n) for n in (7, 5, 3)]
    pairs = np.array([(a, b) for a in range(4) for b in range(3)])
    inter, union = track_overlap(read(first), read(second), pairs)
    for p, (a, b) in enumerate(pairs):
        for t in range(inter.shape[1]):
            both = [None, None] if t >= min(len(first[a]), len(second[b])) else [first[a][t], second[b][t]]
            both = [
                np.zeros(sizes[0], np.uint8)
                if other is None and mask is None else np.zeros_like(other) if mask is None else mask
                for mask, other in zip(both, both[::-1])
            ]
            if both[0].shape != both[1].shape:
                both = [np.zeros(sizes[0], np.uint8)] * 2
            assert (inter[p, t], union[p, t]) == ((both[0] & both[1]).sum(), (both[0] | both[1]).sum())
