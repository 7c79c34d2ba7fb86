"""Which tracks are chosen at the end, against the mean of all frames' logits."""
import numpy as np
import torch

from mmvis.records import EndRanking, Record, best_of_row


def test_records_are_the_best_pairs_of_the_mean_logits():
    logits = torch.randn(30, 50, 9, generator=torch.Generator().manual_seed(0)) * 3
    ranking = EndRanking(10)
    for frame in logits:
        ranking.add(frame.numpy())
    probs = logits.mean(0).softmax(-1)[:, :-1]
    np.testing.assert_allclose(ranking.probabilities(), probs.numpy(), rtol=1e-5, atol=1e-7)
    scores, places = probs.flatten().topk(10)
    records = ranking.records()
    assert [(row * 8 + label) for row, label, _ in records] == places.tolist()
    np.testing.assert_allclose([record.score for record in records], scores.numpy(), rtol=1e-5)
    assert [type(x) for x in records[0]] == [int, int, float]


def test_probabilities_of_the_mean_are_not_the_mean_of_probabilities():
    ranking = EndRanking(1)
    for logits in ([[9., 0., 0.]], [[-3., 1., 0.]], [[-3., 1., 0.]]):
        ranking.add(np.array(logits, np.float32))
    assert ranking.records()[0].label == 0


def test_equal_scores_stand_by_row_and_class():
    ranking = EndRanking(4)
    ranking.add(np.zeros((3, 3), np.float32))
    assert [record[:2] for record in ranking.records()] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_rows_may_come_later_and_pause():
    ranking = EndRanking(10)
    ranking.add(np.array([[2., 0.], [0., 2.]], np.float32))
    ranking.add(np.array([[4., 0.], [1., 0.]], np.float32), rows=np.array([0, 3]))
    expected = torch.tensor([[3., 0.], [0., 2.], [0., 0.], [1., 0.]]).softmax(-1)[:, 0]
    expected[2] = 0                                                    # never seen
    np.testing.assert_allclose(ranking.probabilities()[:, 0], expected, rtol=1e-6)
    assert len(ranking) == 4 and [record.row for record in ranking.records()] == [0, 3, 1, 2]
    assert [record.row for record in ranking.records(min_score=0.5)] == [0, 3]
    assert EndRanking(5).records() == []
    ranking.add(np.zeros((0, 2), np.float32))
    assert len(ranking) == 4


def test_best_of_row():
    records = [Record(3, 1, .9), Record(0, 2, .8), Record(3, 0, .7)]
    assert best_of_row(records) == records[:2]
