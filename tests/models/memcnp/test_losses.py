"""Losses and targets of MemCNP against libraries, loops and hand-made cases."""
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torchvision.ops import generalized_box_iou_loss

from mmvis.models.memcnp.losses import box_mixture_loss, contrastive_loss, cosine_logits, giou_loss
from mmvis.models.memcnp.targets import (
    ASSIGNERS,
    CentreAssigner,
    PointTargets,
    UncertaintyAssigner,
    memory_boxes,
    point_targets,
)
from mmvis.models.memcnp.tracker import CosineTracker
from mmvis.models.sipmask.points import level_points

SIZES = [(8, 12), (4, 6), (2, 3), (1, 2)]
POINTS = level_points(SIZES, (8, 16, 32, 64), torch.device('cpu'))
BOXES = torch.tensor([[8., 8., 56., 40.], [40., 20., 88., 60.]])


def test_giou_is_torchvisions():
    torch.manual_seed(0)
    corner, size = torch.rand(2, 6, 2) * 50, torch.rand(2, 6, 2) * 30 + 1
    a, b = torch.cat([corner, corner + size], dim=2)
    torch.testing.assert_close(giou_loss(a, b), generalized_box_iou_loss(a, b, reduction='mean'))


def test_box_mixture_is_a_mixture_of_gaussians():
    torch.manual_seed(0)
    boxes, sigmas, weights, target = torch.rand(3, 4), torch.rand(3, 4) + 0.1, torch.rand(3), torch.rand(4)
    mixture = MixtureSameFamily(Categorical(weights / weights.sum()), Independent(Normal(boxes, sigmas), 1))
    torch.testing.assert_close(box_mixture_loss(boxes, sigmas, weights, target), -mixture.log_prob(target))


def test_contrastive_loss_by_hand():
    torch.manual_seed(0)
    a, b = torch.randn(3, 8), torch.randn(2, 8)

    def like(u, v):
        return (10 * F.cosine_similarity(u, v, dim=0)).exp()

    same = like(a[0], b[1]) + like(a[2], b[0])
    others = sum(like(a[i], a[j]) for i in range(3) for j in range(3) if i != j)
    across = sum(max(like(x, y) for y in b) for x in a)                      # one negative each, its own included
    among = sum(max(like(a[i], a[j]) for j in range(3) if j != i) for i in range(3))
    positive = torch.tensor([1, -1, 0])
    full = contrastive_loss(a, b, positive, 2)
    torch.testing.assert_close(full, -(same / (others + sum(like(x, y) for x in a for y in b))).log())
    torch.testing.assert_close(contrastive_loss(a, b, positive, 2, num_negatives=1), -(same / (among + across)).log())


def test_contrastive_loss_without_a_common_object():
    a = torch.tensor([[1., 0.], [0., 1.]])
    loss = contrastive_loss(a, a[:0], torch.tensor([-1, -1]), 3)
    torch.testing.assert_close(loss, torch.tensor(2.).log() - (10 + torch.tensor(3.).log()))


def test_contrastive_loss_of_one_object_alone_is_nothing():
    a = torch.tensor([[1., 2.]], requires_grad=True)
    loss = contrastive_loss(a, a.detach()[:0], torch.tensor([-1]), 1)
    loss.backward()
    assert loss == 0 and torch.equal(a.grad, torch.zeros(1, 2))


def test_tracker_compares_cosines():
    a, b = torch.tensor([[3., 4.], [0., 0.]]), torch.tensor([[6., 8.], [-4., 3.]])
    similarity = CosineTracker().similarity(a, b)
    torch.testing.assert_close(similarity, torch.tensor([[10., 0.], [0., 0.]]))
    assert torch.equal(similarity, cosine_logits(a, b))


def test_point_targets():
    targets = point_targets(POINTS, SIZES, BOXES)
    points = torch.cat(POINTS)
    assert targets.centreness.shape == targets.inside.shape == targets.nearest.shape == (len(points),)
    at = {tuple(p): i for i, p in enumerate(POINTS[0].int().tolist())}
    assert targets.centreness[at[36, 28]] > 0.6 and not targets.inside[at[4, 4]]
    assert targets.centreness[at[4, 4]] == 0
    # (28, 28) to the sides of the first box: 20, 20, 28, 12
    torch.testing.assert_close(targets.centreness[at[28, 28]], torch.tensor(20 / 28 * 12 / 20).sqrt())
    assert targets.nearest[at[4, 4]] == 0 and targets.nearest[at[92, 60]] == 1
    line = point_targets(POINTS, SIZES, torch.tensor([[12., 8., 12., 24.]]))     # one pixel wide, through points
    assert torch.isfinite(line.centreness).all()
    on_border = level_points([(2, 2)], (16,), torch.device('cpu'))
    assert point_targets(on_border, [(2, 2)], torch.tensor([[8., 8., 24., 24.]])).inside.all()
    coarse = targets.centreness[96:120].view(4, 6)
    expected = F.avg_pool2d(targets.centreness[:96].view(1, 1, 8, 12), 2)[0, 0]
    torch.testing.assert_close(coarse, expected)


def test_uncertainty_assigner_takes_the_best_points_of_each_level():
    points = [torch.zeros(6, 2), torch.zeros(2, 2)]
    targets = PointTargets(centreness=torch.tensor([.9, .8, .7, .6, .5, .4, .3, .2]),
                           inside=torch.tensor([1, 1, 0, 1, 1, 1, 1, 1]).bool(),
                           nearest=torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]))
    uncertainty = torch.tensor([.1, .7, .1, .2, 5., .3, .1, .4])
    positive, negative = UncertaintyAssigner(2)(targets, uncertainty, points, torch.zeros(2, 4))
    # level 0, object 0: quality .8 .1 .6 .4 -> points 0 and 2, but 2 lies outside; object 1: -.5 .1 -> both
    assert positive.tolist() == [True, False, False, False, True, True, True, True]
    assert not negative.any()
    positive, negative = UncertaintyAssigner(1)(targets, uncertainty, points, torch.zeros(2, 4))
    assert positive.tolist() == [True, False, False, False, False, True, True, False]
    assert torch.nonzero(negative).flatten().tolist() == [4, 7]              # 4: at most 1 of the uncertainty counts


def test_centre_assigner():
    targets = point_targets(POINTS, SIZES, BOXES)
    positive, negative = CentreAssigner((10., 10., 10., 10.))(targets, targets.centreness, POINTS, BOXES)
    assert torch.equal(negative, ~positive) and positive.any()
    centres = ((BOXES[:, :2] + BOXES[:, 2:]) / 2)[targets.nearest]
    distance = (torch.cat(POINTS) - centres).norm(dim=1)
    assert (distance[positive] < 10).all() and (distance[~positive & targets.inside] >= 10).all()


def test_memory_boxes():
    points = torch.tensor([[48., 30.], [10., 10.], [80., 50.], [2., 2.]])     # in both, first, second, none
    boxes = torch.cat([BOXES, torch.tensor([[44., 24., 60., 36.]])])
    out = memory_boxes(points, boxes, (64, 96))
    assert out.shape == (4, 4) and memory_boxes(points, boxes[:0], (64, 96)).isnan().all()
    chosen = [2, 1, 0, 0]      # the smallest for a point in all; else the first that the point lies outside of
    for row, point, index in zip(out, points, chosen):
        x1, y1, x2, y2 = boxes[index]
        sides = torch.stack([point[0] - x1, point[1] - y1, x2 - point[0], y2 - point[1]])
        torch.testing.assert_close(row, (sides / torch.tensor([96., 64., 96., 64.]) - 0.5) * 2)


@pytest.mark.parametrize('assigner', ['uncertainty', 'centre'])
def test_assigners_have_names(assigner):
    targets = point_targets(POINTS, SIZES, BOXES)
    positive, negative = ASSIGNERS[assigner]()(targets, torch.full((128,), 0.3), POINTS, BOXES)
    assert positive.any() and negative.any() and not (positive & negative).any()
