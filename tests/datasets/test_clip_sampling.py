from collections import Counter

import numpy as np
import pytest

from mmvis.datasets.clip_sampling import GapClips, KeyReferencePairs, NeighbourClips, RandomClips

ELIGIBLE = [np.array([0, 2, 5]), np.array([3]), np.array([], np.int64), np.arange(30)]
LENGTHS = np.array([8, 8, 4, 30])


def draws(strategy, eligible, length, key, num=400):
    return [strategy.draw(eligible, length, key, np.random.default_rng((7, 0, i))) for i in range(num)]


def test_pairs_have_every_eligible_frame_as_key():
    items = KeyReferencePairs().items(ELIGIBLE, LENGTHS)
    assert items.tolist() == [[0, 0], [0, 2], [0, 5]] + [[3, t] for t in range(30)]


def test_pairs_draw_the_reference_uniformly_from_the_other_frames():
    counts = Counter(tuple(pair) for pair in draws(KeyReferencePairs(), ELIGIBLE[0], 8, 2, 1000))
    assert set(counts) == {(2, 0), (2, 5)}
    assert abs(counts[2, 0] - 500) < 100


def test_pairs_within_a_range():
    strategy = KeyReferencePairs(reference=5)
    assert {pair[1] for pair in draws(strategy, ELIGIBLE[3], 30, 10)} == set(range(5, 16)) - {10}
    # No eligible frame is near: any other one.
    assert {pair[1] for pair in draws(strategy, np.array([0, 10, 20]), 30, 10)} == {0, 20}
    with pytest.raises(ValueError, match="'nearest'"):
        KeyReferencePairs(reference='nearest')


def test_random_clips_with_replacement():
    strategy = RandomClips(num_frames=5, range=3)
    assert strategy.items(ELIGIBLE, LENGTHS).tolist() == [[0, -1], [1, -1], [2, -1], [3, -1]]
    clips = draws(strategy, ELIGIBLE[3], 30, -1)
    assert all(len(clip) == 5 and clip == sorted(clip) and clip[-1] - clip[0] <= 6 for clip in clips)
    assert any(len(set(clip)) < 5 for clip in clips)
    assert {t for clip in clips for t in clip} == set(range(30))


def test_random_clips_without_replacement():
    clips = draws(RandomClips(num_frames=5, range=3, replace=False), ELIGIBLE[3], 30, -1)
    full = [clip for clip in clips if 2 <= clip[0] and clip[-1] <= 27]
    assert full and all(len(set(clip)) == 5 for clip in full)
    short = draws(RandomClips(num_frames=5, range=9, replace=False), None, 3, -1)
    assert all(len(clip) == 5 and set(clip) == {0, 1, 2} for clip in short)


def test_random_clips_of_a_video_with_one_frame():
    assert RandomClips(num_frames=3).draw(None, 1, -1, np.random.default_rng(0)) == [0, 0, 0]


def test_gap_clips():
    strategy = GapClips(num_frames=5, max_gap=3, repeats=2)
    assert strategy.items(ELIGIBLE, LENGTHS)[:, 0].tolist() == [0, 1, 3, 0, 1, 3]
    eligible = np.arange(0, 60, 2)
    clips = draws(strategy, eligible, 60, -1)
    gaps = np.diff(clips)
    assert set(np.unique(gaps)) == {2, 4, 6}
    assert {clip[0] for clip in clips} == set(range(0, 52, 2))
    # Exactly as many frames as asked for leave no choice; fewer are repeated.
    assert strategy.draw(np.arange(5), 5, -1, np.random.default_rng(0)) == [0, 1, 2, 3, 4]
    assert strategy.draw(np.array([4, 9]), 12, -1, np.random.default_rng(0)) == [4, 9, 4, 9, 4]


def test_neighbour_clips():
    strategy = NeighbourClips(num_frames=3)
    assert strategy.items(ELIGIBLE, LENGTHS)[:5].tolist() == [[0, 0], [0, 2], [0, 5], [1, 3], [3, 0]]
    clips = draws(strategy, None, 30, 10)
    assert {clip[0] for clip in clips} == {7, 8, 9} and {clip[2] for clip in clips} == {11, 12, 13}
    assert all(clip[1] == 10 for clip in clips)
    assert strategy.draw(None, 8, 0, np.random.default_rng(0))[:2] == [0, 0]
    assert strategy.draw(None, 8, 7, np.random.default_rng(0))[1:] == [7, 7]
    assert NeighbourClips(num_frames=1).draw(None, 8, 4, np.random.default_rng(0)) == [4]


def test_neighbour_clips_with_distant_frames():
    clips = draws(NeighbourClips(num_frames=6), None, 30, 10)
    assert all(len(clip) == 6 and clip == sorted(clip) and 10 in clip for clip in clips)
    assert {t for clip in clips for t in clip} > set(range(7)) | set(range(14, 30))
    # Too few frames outside: the whole video; too few at all: repeats.
    assert all(len(clip) == 9 for clip in draws(NeighbourClips(num_frames=9), None, 5, 2, 20))
