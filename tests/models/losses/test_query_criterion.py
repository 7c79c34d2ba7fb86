"""Losses on points, against the definition with a point in every pixel."""
import pytest
import torch
import torch.nn.functional as F

from mmvis.models.losses import QueryCriterion, mean_over_processes


def setting():
    torch.manual_seed(0)
    layers = [(torch.randn(2, 5, 4), torch.randn(2, 5, 6, 8)) for _ in range(3)]
    labels = [torch.tensor([1, 2]), torch.tensor([], dtype=torch.int64)]
    masks = [(torch.rand(2, 24, 32) > 0.5).to(torch.uint8), torch.zeros(0, 24, 32, dtype=torch.uint8)]
    pairs = [(torch.tensor([0, 3]), torch.tensor([1, 0])), (torch.tensor([], dtype=torch.int64),) * 2]
    return layers, labels, masks, pairs


def every_pixel(monkeypatch):
    y, x = torch.meshgrid((torch.arange(24) + .5) / 24, (torch.arange(32) + .5) / 32, indexing='ij')
    grid = torch.stack([x, y], -1).view(1, -1, 2)
    monkeypatch.setattr('mmvis.models.losses.query_criterion.unsure_points', lambda maps, *_: grid.expand(len(maps), -1, -1))


def test_losses_of_a_layer(monkeypatch):
    every_pixel(monkeypatch)
    layers, labels, masks, pairs = setting()
    losses = QueryCriterion(3).layer_losses(layers[0], pairs, labels, masks, 2.)
    logits, maps = layers[0]
    classes = torch.full((2, 5), 3)
    classes[0, 0], classes[0, 3] = 2, 1
    torch.testing.assert_close(losses['loss_ce'], F.cross_entropy(
        logits.view(10, 4), classes.view(10), torch.tensor([1., 1., 1., .1])))
    full = F.pad(maps[0, [0, 3]], (1, 1, 1, 1))                                     # zeros outside
    full = F.interpolate(full[:, None], scale_factor=4, mode='bilinear', align_corners=False)[:, 0, 4:-4, 4:-4]
    target = masks[0][[1, 0]].float()
    torch.testing.assert_close(losses['loss_mask'], F.binary_cross_entropy_with_logits(full, target) * 2 / 2)
    p = full.sigmoid()
    dice = 1 - (2 * (p * target).sum((1, 2)) + 1) / (p.sum((1, 2)) + target.sum((1, 2)) + 1)
    torch.testing.assert_close(losses['loss_dice'], dice.sum() / 2)


def test_layers_are_named_and_weighted_and_the_last_comes_first():
    layers, labels, masks, pairs = setting()
    criterion, seen = QueryCriterion(3, num_points=16), []
    losses = criterion(layers, lambda *layer: seen.append(layer[0]) or pairs, labels, masks, 2.)
    assert list(losses) == [f'loss_{kind}{i}' for i in ('', '_0', '_1') for kind in ('ce', 'mask', 'dice')]
    assert [next(i for i, x in enumerate(layers) if x[0] is y) for y in seen] == [2, 0, 1]
    plain = criterion.layer_losses(layers[0], pairs, labels, masks, 2.)
    assert losses['loss_ce_0'] == 2 * plain['loss_ce'] and criterion.cost.num_points == 16


def test_without_objects_only_the_classes_are_trained():
    layers, labels, masks, pairs = setting()
    layer = tuple(x.clone().requires_grad_() for x in layers[0])
    none = [pairs[1], pairs[1]]
    losses = QueryCriterion(3, num_points=8).layer_losses(layer, none, [labels[1]] * 2, [masks[1]] * 2, 1.)
    assert losses['loss_mask'] == losses['loss_dice'] == 0 and losses['loss_ce'] > 0
    sum(losses.values()).backward()
    assert layer[0].grad.any() and layer[1].grad is not None and not layer[1].grad.any()


def test_half_precision_is_summed_in_float32():
    layers, labels, masks, pairs = setting()
    with torch.autocast('cpu', torch.bfloat16):
        losses = QueryCriterion(3, num_points=8).layer_losses(tuple(x.bfloat16() for x in layers[0]), pairs, labels, masks, 2.)
    assert {x.dtype for x in losses.values()} == {torch.float32}


@pytest.mark.parametrize('number,expected', [(0, 1.), (3, 3.)])
def test_mean_over_processes_is_at_least_one(number, expected):
    assert float(mean_over_processes(number, torch.device('cpu'))) == expected
