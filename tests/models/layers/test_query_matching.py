"""Matching of queries with objects, against the definition."""
import itertools

import pytest
import torch
import torch.nn.functional as F

from mmvis.models.layers.clip_targets import ClipTargets
from mmvis.models.layers.query_matching import MatchingCost, assign, match_consistent, match_frames, match_tubes

SIZE = (8, 12)


def clip(present, num_queries=6, num_classes=4, seed=0):
    """Targets whose object i is row i of a picture, and logits of queries; returns logits, masks, targets."""
    torch.manual_seed(seed)
    present = torch.tensor(present, dtype=torch.bool)
    num, num_frames = present.shape
    masks = torch.zeros(num, num_frames, *SIZE, dtype=torch.uint8)
    for i, t in present.nonzero().tolist():
        masks[i, t, 2 * i:2 * i + 2, 2 * t:2 * t + 6] = 1
    targets = ClipTargets(torch.arange(num) % num_classes, torch.arange(num) + 7, present, masks)
    return torch.randn(num_frames, num_queries, num_classes + 1), torch.randn(num_frames, num_queries, *SIZE), targets


def looks_like(logits, masks, targets, t, query, row):
    masks[t, query] = 20 * (targets.masks[row, t].float() - 0.5)
    logits[t, query, targets.labels[row]] += 8


def test_cost_is_that_of_the_paper(monkeypatch):
    logits, masks, targets = clip([[1, 1, 1], [1, 1, 0]])
    points = torch.rand(1, 50, 2)
    monkeypatch.setattr(torch, 'rand', lambda *size, **_: points.clone() if size == (1, 50, 2) else pytest.fail(str(size)))
    cost = MatchingCost(2., 5., 3., num_points=50)(logits[0], masks, targets.labels, targets.masks.transpose(0, 1))
    for q, n in itertools.product(range(6), range(2)):
        a, g = (F.grid_sample(x.float()[:, None], 2 * points[:, :, None].expand(3, -1, -1, -1) - 1, align_corners=False)
                .flatten() for x in (masks[:, q], targets.masks[n]))
        entropy = F.binary_cross_entropy_with_logits(a, g)
        dice = 1 - (2 * (a.sigmoid() * g).sum() + 1) / (a.sigmoid().sum() + g.sum() + 1)
        expected = 5 * entropy - 2 * logits[0, q].softmax(-1)[targets.labels[n]] + 3 * dice
        torch.testing.assert_close(cost[q, n], expected)


def test_a_label_beyond_the_classes_counts_as_no_object():
    logits, masks, targets = clip([[1], [1]])
    torch.manual_seed(0)
    bad = MatchingCost(num_points=9)(logits[0], masks, torch.tensor([54, 4]), targets.masks.transpose(0, 1))
    torch.manual_seed(0)
    good = MatchingCost(num_points=9)(logits[0], masks, torch.tensor([4, 4]), targets.masks.transpose(0, 1))
    assert torch.equal(bad, good)


def without_objects(targets):
    return ClipTargets(targets.labels[:0], targets.instance_ids[:0], targets.present[:0], targets.masks[:0])


def test_frames_are_matched_by_themselves_with_what_is_in_them():
    logits, masks, targets = clip([[1, 0], [1, 1], [0, 0]])
    for t, query, row in ((0, 5, 0), (0, 2, 1), (1, 3, 1)):
        looks_like(logits, masks, targets, t, query, row)
    pairs = match_frames(MatchingCost(num_points=200), logits, masks, targets)
    assert [[x.tolist() for x in one] for one in pairs] == [[[2, 5], [1, 0]], [[3], [1]]]


def test_objects_keep_the_query_of_their_first_frame():
    logits, masks, targets = clip([[1, 1, 1], [0, 1, 1], [0, 1, 0]])
    # query 4 looks like object 0 in frame 0, and like object 1 in frame 1, where it is taken: object 1 gets the next best
    for t, query, row in ((0, 4, 0), (1, 4, 1), (1, 1, 1), (1, 0, 2), (2, 5, 1)):
        looks_like(logits, masks, targets, t, query, row)
    masks[1, 1] *= 0.5
    (queries, objects), = match_consistent(MatchingCost(num_points=200), [logits], [masks], [targets])
    assert queries.tolist() == [4, 0, 1] and objects.tolist() == [0, 2, 1]


def test_tubes_are_compared_over_all_frames():
    logits, masks, targets = clip([[1, 1], [1, 1]])
    for t in (0, 1):
        masks[t, 2], masks[t, 3] = (20 * (targets.masks[row, t].float() - 0.5) for row in (1, 0))
    none = without_objects(targets)
    empty, (queries, objects) = match_tubes(MatchingCost(num_points=200), logits[:1].repeat(2, 1, 1), [masks, masks],
                                            [none, targets])
    assert queries.tolist() == [2, 3] and objects.tolist() == [1, 0] and len(empty[0]) == 0


def test_without_objects_there_are_no_pairs():
    logits, masks, targets = clip([[1, 1]])
    none = without_objects(targets)
    for pairs in (*match_tubes(MatchingCost(), logits[:1], [masks], [none]),
                  match_consistent(MatchingCost(), [logits], [masks], [none])[0],
                  *match_frames(MatchingCost(), logits, masks, none)):
        assert [x.tolist() for x in pairs] == [[], []] and all(x.dtype == torch.int64 for x in pairs)


def test_a_cost_that_is_no_number_costs_no_traceback():
    queries, objects = assign(torch.tensor([[float('nan'), 1.], [0., float('inf')], [2., 2.]]))
    assert queries.tolist() == [0, 1] and objects.tolist() == [1, 0]
