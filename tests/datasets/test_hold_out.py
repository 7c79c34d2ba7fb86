"""Cutting a training set by video."""
from collections import Counter

import numpy as np
import pytest

from mmvis.datasets.hold_out import cut_annotations, split_videos


def make_videos(num=400, seed=3):
    """One to three categories a video; category k is drawn in proportion to 1 / (k + 1)."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, 21)
    return [{int(c) for c in rng.choice(20, rng.integers(1, 4), p=weights / weights.sum())} for _ in range(num)]


def test_every_category_has_its_share_in_both_parts():
    videos = make_videos()
    train, val = split_videos(videos, 0.2, seed=0)
    assert len(val) == 80 and sorted(train + val) == list(range(400))
    whole = Counter(c for found in videos for c in found)
    part = Counter(c for video in val for c in videos[video])
    for category, count in whole.items():
        assert abs(part[category] - 0.2 * count) <= 1.5


def test_a_cut_is_a_function_of_the_seed():
    videos = make_videos(60)
    assert split_videos(videos, 0.25, seed=1) == split_videos(videos, 0.25, seed=1)
    assert split_videos(videos, 0.25, seed=1) != split_videos(videos, 0.25, seed=2)


def test_a_category_of_one_video_is_trained_and_videos_without_objects_are_shared_out():
    videos = [{'common'}] * 18 + [{'rare'}, {'other'}] + [set()] * 10
    train, val = split_videos(videos, 0.2, seed=5)
    assert {18, 19} <= set(train) and len(val) == 6
    assert sum(video >= 20 for video in val) == 2


@pytest.mark.parametrize('num, ratio', [(10, 0), (10, 1), (10, -0.5), (10, float('nan')), (1, 0.5)])
def test_ratios_that_leave_a_part_empty(num, ratio):
    with pytest.raises(ValueError, match='leaves one of the parts empty'):
        split_videos(make_videos(num), ratio)


@pytest.mark.parametrize('num, ratio, num_val', [(2, 0.2, 1), (2, 0.9, 1), (10, 0.001, 1), (10, 0.999, 9)])
def test_each_part_has_a_video_at_least(num, ratio, num_val):
    train, val = split_videos(make_videos(num), ratio)
    assert sorted(train + val) == list(range(num)) and len(val) == num_val


def test_cut_keeps_everything_else():
    data = dict(info={'x': 1}, categories=[{'id': 3}], videos=[{'id': 10}, {'id': 20}],
                annotations=[{'id': 1, 'video_id': 20}, {'id': 2, 'video_id': 10}])
    assert cut_annotations(data, [1]) == dict(info={'x': 1}, categories=[{'id': 3}], videos=[{'id': 20}],
                                              annotations=[{'id': 1, 'video_id': 20}])
    assert len(data['videos']) == 2
