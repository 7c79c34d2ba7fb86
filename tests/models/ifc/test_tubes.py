"""Joining windows: against the rule written out with full arrays, and at its edges."""
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from mmvis.models.ifc.tubes import TubeJoiner


def by_the_book(windows, length, threshold=0.05):
    """The published rule on arrays [windows, tubes, frames, h, w], NaN where nothing is held."""
    size = windows[0][2].shape[-2:]
    most = sum(len(window[1]) for window in windows)
    logits = np.full((len(windows), most, length, *size), np.nan)
    classes = np.full((len(windows), most, windows[0][1].shape[1]), np.nan)
    covered, num, assigned = np.zeros(length, bool), 0, []
    for k, (first, probs, masks) in enumerate(windows):
        frames = np.arange(first, first + masks.shape[1])
        shared = frames[covered[frames]]
        score = np.zeros((num, len(probs)))
        new = 1 / (1 + np.exp(-masks[:, shared - first].astype(np.float64)))
        for i in range(num):
            ious = []
            for old in 1 / (1 + np.exp(-logits[max(0, k - len(frames)):k, i][:, shared])):
                held = ~np.isnan(old).any((1, 2))
                if held.any():
                    a, b = old[held], new[:, held]
                    ious.append((a * b).sum((1, 2, 3)) / ((a + b - a * b).sum((1, 2, 3)) + 1e-6))
            score[i] = np.sum(ious, 0) / (len(ious) + 1e-6) if ious else 0
        score[score <= threshold] = 0
        tubes = np.full(len(probs), -1)
        for i, j in zip(*linear_sum_assignment(score, maximize=True)):
            if score[i, j] > threshold:
                tubes[j] = i
        for j in np.flatnonzero(tubes < 0):
            tubes[j], num = num, num + 1
        for j, tube in enumerate(tubes):
            logits[k, tube, frames], classes[k, tube] = masks[j], probs[j]
        covered[frames] = True
        assigned.append(tubes.tolist())
    return assigned, np.nanmean(classes[:, :num], 0), logits[:, :num]


def random_windows(length, num_frames, stride, seed=0, num_objects=6):
    """Windows that see a changing subset of blobs, in a changing order, and now and then nothing."""
    rng = np.random.default_rng(seed)
    blobs = rng.normal(0, 3, (num_objects, length, 4, 6))
    windows = []
    for first in [*range(0, length - num_frames, stride), length - num_frames]:
        seen = rng.permutation(num_objects)[:rng.integers(0, num_objects + 1) if len(windows) else 3]
        masks = blobs[seen, first:first + num_frames] + rng.normal(0, 1, (len(seen), num_frames, 4, 6))
        probs = rng.dirichlet(np.ones(4), len(seen))
        windows.append((first, probs.astype(np.float32), masks.astype(np.float32)))
    return windows


def test_the_published_rule_on_random_windows():
    joined = 0
    for seed, (length, num_frames, stride) in enumerate([(9, 3, 1), (12, 5, 2), (10, 4, 4), (11, 5, 3), (4, 4, 1)]):
        windows = random_windows(length, num_frames, stride, seed)
        assigned, classes, logits = by_the_book(windows, length)
        joiner, found, means = TubeJoiner(), [], {}
        for first, probs, masks in windows:
            found.append(joiner.add(first, torch.from_numpy(probs), torch.from_numpy(masks)).tolist())
            means.update({t: x for t, *x in joiner.take(first + 1)})
        means.update({t: x for t, *x in joiner.take(length)})
        assert found == assigned
        joined += sum(len(x) for x in found) - len(joiner)
        np.testing.assert_allclose(torch.stack([joiner.class_probs(i) for i in range(len(joiner))]), classes, atol=1e-6)
        assert sorted(means) == list(range(length))
        for t, (tubes, mean) in means.items():
            held = [i for i in range(len(joiner)) if not np.isnan(logits[:, i, t]).all()]
            assert tubes.tolist() == held
            if held:
                np.testing.assert_allclose(mean, np.nanmean(logits[:, held, t], 0), atol=1e-5)
    assert joined > 5


def test_more_tubes_than_the_official_limit_of_50():
    joiner = TubeJoiner()
    one_place_each = torch.full((100, 2, 10, 10), -8.)
    one_place_each.view(100, 2, 100)[torch.arange(100), :, torch.arange(100)] = 8
    probs = torch.full((100, 3), 1 / 3)
    assert joiner.add(0, probs, one_place_each).tolist() == list(range(100))
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert joiner.add(1, probs, one_place_each[order]).tolist() == order.tolist()
    # elsewhere: nobody is matched
    assert joiner.add(2, probs, torch.zeros_like(one_place_each) - 8).tolist() == list(range(100, 200))


def test_a_tube_comes_back_while_a_window_that_holds_it_overlaps():
    blob = torch.full((1, 3, 4, 4), 5.)
    probs, none = torch.tensor([[.5, .5]]), torch.zeros(0, 2)
    joiner = TubeJoiner()
    assert joiner.add(0, probs, blob).tolist() == [0]
    assert joiner.add(1, none, blob[:0]).tolist() == []
    assert joiner.add(2, probs, blob).tolist() == [0]          # frame 2 is held by the first window
    joiner = TubeJoiner()
    joiner.add(0, probs, blob)
    joiner.add(1, none, blob[:0])
    joiner.add(2, none, blob[:0])
    assert joiner.add(3, probs, blob).tolist() == [1]          # no window that overlaps holds it


def test_classes_are_averaged_and_every_class_above_the_bound_is_a_verdict():
    joiner, blob = TubeJoiner(), torch.full((1, 2, 4, 4), 5.)
    joiner.add(0, torch.tensor([[.9, .0, .1]]), blob)
    joiner.add(1, torch.tensor([[.5, .018, .482]]), blob)
    assert [(t, k) for t, k, _ in joiner.verdicts(0.01)] == [(0, 0)]          # 0.009 is below
    assert [(t, k, round(s, 4)) for t, k, s in joiner.verdicts(0.005)] == [(0, 0, .7), (0, 1, .009)]
    assert TubeJoiner().verdicts(0.) == []


def test_overlaps_are_float32_in_half_precision_too():
    masks = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (4, 3, 20, 30)).astype(np.float32))
    joiner, probs = TubeJoiner(), masks.sigmoid().flatten(2)
    joiner.add(0, torch.full((4, 3), 1 / 3), masks)
    expected = joiner.scores(1, probs)[1]
    with torch.autocast('cpu', torch.bfloat16):
        np.testing.assert_array_equal(joiner.scores(1, probs)[1], expected)


def test_a_tube_keeps_no_more_than_its_classes():
    joiner = TubeJoiner()
    joiner.add(0, torch.full((50, 3), 1 / 3), torch.zeros(50, 1, 2, 2))
    assert {vector.untyped_storage().nbytes() for vector in joiner.class_sums} == {3 * 4}
