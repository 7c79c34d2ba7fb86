"""Values at points and the choice of points."""
import torch
import torch.nn.functional as F

from mmvis.models.layers.point_sampling import sample_at_points, unsure_points


def test_corners_and_centres():
    maps = torch.tensor([[[[1., 2.], [3., 4.]]]])
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0., 0.], [0.5, 0.25]]])
    # a point on the outer edge mixes with the zeros around
    assert sample_at_points(maps, points).flatten().tolist() == [1., 2., 2.5, 0.25, 1.5]


def test_half_precision_is_sampled_in_float32():
    assert sample_at_points(torch.ones(1, 1, 2, 2).half(), torch.full((1, 3, 2), 0.5)).dtype == torch.float32


def test_most_points_are_where_the_logit_is_near_zero():
    torch.manual_seed(0)
    logits = torch.linspace(-8, 8, 40).expand(2, 30, 40).clone()
    points = unsure_points(logits, 400)
    assert points.shape == (2, 400, 2) and ((points >= 0) & (points <= 1)).all()
    unsure = F.grid_sample(logits[:, None], 2 * points[:, :, None] - 1, align_corners=False).abs()[:, 0, :, 0]
    assert unsure[:, :300].max() < 8 * 0.35                       # a quarter of the uniform ones
    assert unsure[:, 300:].max() > 6


def test_no_map_gives_no_point():
    assert unsure_points(torch.zeros(0, 4, 4), 8).shape == (0, 8, 2)
