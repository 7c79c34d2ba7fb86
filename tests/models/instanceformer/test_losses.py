"""Targets, matching and the loss terms by hand."""
import itertools

import pytest
import torch
import torch.nn.functional as F
from helpers.tiny_instanceformer import SIZE, tiny_sample

from mmvis.models.instanceformer.losses import box_losses, class_loss, contrastive_loss, mask_losses
from mmvis.models.instanceformer.matching import ClipTargets, clip_targets, match_layers


def test_an_object_is_a_target_in_every_frame_of_the_clip():
    samples = [tiny_sample([9, 4], 0), tiny_sample([4], 1)]
    targets = clip_targets(samples, torch.arange(10, 15), SIZE)         # label k has unit 10 + k
    assert targets.classes.tolist() == [14, 14] and targets.boxes.shape == (2, 2, 4)
    row = [4, 9].index(9)
    assert (targets.boxes[1, row] == 1e-6).all() and targets.masks[1, row].sum() == 0
    x1, y1, x2, y2 = samples[1].gt_instances.bboxes[0].tolist()
    height, width = SIZE
    expected = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    assert targets.boxes[1, 1 - row].tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(targets.masks[1, 1 - row], samples[1].gt_instances.masks[0, 2::4, 2::4].float())


def test_matching_is_the_cheapest_assignment():
    draw = torch.Generator().manual_seed(0)
    logits, boxes = torch.randn(5, 3, generator=draw), torch.rand(5, 4, generator=draw) * .4 + .2
    wanted = torch.rand(1, 3, 4, generator=draw) * .4 + .2
    targets = ClipTargets(torch.tensor([2, 0, 2]), wanted, torch.zeros(1, 3, 2, 2), torch.arange(3))

    def cost(slot, target):
        a, b, s = boxes[slot], wanted[0, target], logits[slot, targets.classes[target]].sigmoid()
        corners = [(c[:2] - c[2:] / 2).tolist() + (c[:2] + c[2:] / 2).tolist() for c in (a, b)]
        (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = corners
        inner = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
        union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inner
        hull = (max(ax2, bx2) - min(ax1, bx1)) * (max(ay2, by2) - min(ay1, by1))
        giou = inner / union - (hull - union) / hull
        focal = .25 * (1 - s) ** 2 * -s.log() - .75 * s ** 2 * -(1 - s).log()
        return float(5 * (a - b).norm() + focal - 2 * giou)

    def total(slots):
        return sum(cost(slot, target) for target, slot in enumerate(slots))

    best = min(itertools.permutations(range(5), 3), key=total)
    (slots, objects), = match_layers([logits[None]], [boxes[None]], [targets])[0]
    assert dict(zip(objects.tolist(), slots.tolist())) == dict(enumerate(best))
    assert slots.tolist() == sorted(slots.tolist())


def test_no_object_matches_nothing():
    targets = ClipTargets(torch.zeros(0, dtype=torch.int64), torch.zeros(1, 0, 4), torch.zeros(1, 0, 2, 2),
                          torch.zeros(0, dtype=torch.int64))
    assert [len(x) for x in match_layers([torch.randn(1, 4, 3)], [torch.rand(1, 4, 4)], [targets])[0][0]] == [0, 0]


def test_class_loss_is_the_focal_loss_with_one_positive_a_match():
    logits = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1))
    targets = ClipTargets(torch.tensor([2, 1]), torch.zeros(1, 2, 4), torch.zeros(1, 2, 2, 2), torch.arange(2))
    p, expected = logits[0].sigmoid(), 0.
    positives = {(0, 1), (3, 2)}
    for slot, unit in itertools.product(range(4), range(3)):
        q = p[slot, unit]
        expected += -.25 * (1 - q) ** 2 * q.log() if (slot, unit) in positives else -.75 * q ** 2 * (1 - q).log()
    matches = [(torch.tensor([0, 3]), torch.tensor([1, 0]))]
    assert float(class_loss(logits, matches, [targets])) == pytest.approx(float(expected), rel=1e-5)


def test_box_and_mask_losses_vanish_where_they_should():
    boxes = torch.tensor([[.5, .5, .2, .4], [.3, .6, .1, .1]])
    assert [float(x) for x in box_losses(boxes, boxes)] == pytest.approx([0, 0], abs=1e-6)
    shifted = boxes + torch.tensor([.1, 0, 0, 0])
    assert float(box_losses(shifted, boxes)[0]) == pytest.approx(.2)
    wanted = (torch.rand(3, 4, 5) > .5).float()
    assert all(float(x) < 1e-3 for x in mask_losses(40 * (wanted - .5), wanted))
    focal, dice = mask_losses(torch.zeros(1, 2, 2), torch.ones(1, 2, 2))
    assert float(focal) == pytest.approx(.25 * .25 * torch.tensor(2.).log().item())
    assert float(dice) == pytest.approx(1 - (2 * 2 + 1) / (2 + 4 + 1))


def test_contrastive_loss_by_its_formula():
    features = torch.randn(6, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = torch.tensor([1, 2, 2, 1, 3, 1])                           # 3 is alone: it has no part as an anchor
    unit, terms = F.normalize(features, dim=-1), []
    for i in range(6):
        positives = [j for j in range(6) if j != i and labels[j] == labels[i]]
        others = torch.stack([unit[i] @ unit[k] / .07 for k in range(6) if k != i]).logsumexp(0)
        if positives:
            terms.append(-sum(unit[i] @ unit[j] / .07 - others for j in positives) / len(positives))
    assert float(contrastive_loss(features, labels)) == pytest.approx(float(sum(terms) / len(terms)), rel=1e-9)
