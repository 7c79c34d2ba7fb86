"""Which slots become tracks, and their class and score."""
from collections import Counter

import pytest
import torch

from mmvis.models.instanceformer.scoring import STREAM_SCORES, TrackScores, candidate_slots


def official_verdict(scores, count):
    """Class and score of one track, [T, C], by the words of the rule."""
    entries = sorted(((float(value), index % scores.shape[1]) for index, value in enumerate(scores.flatten())),
                     reverse=True)[:count]
    votes = Counter(unit for _, unit in entries)
    most = max(votes.values())
    best = min(unit for unit, number in votes.items() if number == most)
    values = [value for value, unit in entries if unit == best]
    return best, sum(values) / len(values)


@pytest.mark.parametrize('num_frames', [1, 3, 4, 9, 40])
@pytest.mark.parametrize('length_known', [True, False])
def test_verdicts_follow_the_rule(num_frames, length_known):
    scores = torch.rand(num_frames, 6, 7, generator=torch.Generator().manual_seed(num_frames))
    tracks = TrackScores.of_video(num_frames if length_known else None)
    for frame in scores:
        tracks.add(frame)
    expected = [official_verdict(scores[:, track], max(1, num_frames // 4)) for track in range(6)]
    for (unit, score), (other_unit, other_score) in zip(tracks.verdicts(num_frames), expected):
        assert unit == other_unit and score == pytest.approx(other_score, rel=1e-6)


def test_of_equally_frequent_classes_the_first_wins():
    tracks = TrackScores.of_video(8)                                    # two scores count
    tracks.add(torch.tensor([[.1, .9, .2, .8]]))
    assert tracks.verdicts(8) == [(1, pytest.approx(.9))]
    tracks.add(torch.tensor([[.85, .1, .2, .3]]))
    assert tracks.verdicts(8) == [(0, pytest.approx(.85))]


def test_what_is_kept_is_bounded():
    for length, kept in ((100, 25), (None, STREAM_SCORES)):
        tracks = TrackScores.of_video(length)
        for _ in range(100):
            tracks.add(torch.rand(3, 8))
        assert tracks.scores.shape == (3, kept)


def test_candidates_come_once_each_in_order_of_their_best_score():
    scores = torch.zeros(3, 5, 2)
    scores[0, 4, 1], scores[2, 1, 0], scores[1, 4, 0], scores[0, 2, 0] = .9, .8, .7, .6
    assert candidate_slots(scores, 4).tolist() == [4, 1, 2]
    assert candidate_slots(scores, 3).tolist() == [4, 1]
    assert sorted(candidate_slots(scores, 1000).tolist()) == [0, 1, 2, 3, 4]
