"""The objects of a clip as rows."""
import torch
from helpers.tiny_videomt import tiny_samples

from mmvis.models.layers.clip_targets import clip_targets


def test_objects_are_joined_by_their_ids():
    samples = tiny_samples([[1], [0, 1], [0]], [3, 2])
    targets = clip_targets(samples)
    assert targets.instance_ids.tolist() == [100, 101] and targets.labels.tolist() == [3, 2] and len(targets) == 2
    assert targets.present.tolist() == [[False, True, True], [True, True, False]]
    assert targets.present.dtype == torch.bool
    assert targets.masks.dtype == torch.uint8 and targets.masks.shape == (2, 3, 48, 64)
    assert torch.equal(targets.masks[1, 1], samples[1].gt_instances.masks[1]) and not targets.masks[0, 0].any()


def test_an_object_without_a_pixel_is_left_out():
    samples = tiny_samples([[0, 1], [1]], [3, 2])
    for sample in samples:
        sample.gt_instances.masks[sample.gt_instances.instance_ids == 101] = 0
    targets = clip_targets(samples)
    assert targets.instance_ids.tolist() == [100] and targets.present.tolist() == [[True, False]]


def test_a_clip_without_objects():
    targets = clip_targets(tiny_samples([[], []], []))
    assert len(targets) == 0 and targets.present.shape == (0, 2) and targets.labels.dtype == torch.int64
