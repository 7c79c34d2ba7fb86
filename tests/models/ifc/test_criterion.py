import math

import pytest
import torch
from helpers.tiny_ifc import NUM_CLASSES, sample

from mmvis.models.ifc.criterion import ClipCriterion, reduced_targets
from mmvis.models.layers.clip_targets import ClipTargets

SIZE = (48, 64)


def test_targets_join_the_frames_of_a_clip():
    frames = [sample([3, 1], SIZE), sample([1], SIZE, 2), sample([], SIZE)]
    frames[1].gt_instances.masks[:] = 0                    # cut away in this frame
    target = reduced_targets(frames)
    assert target.instance_ids.tolist() == [1, 3] and target.labels.tolist() == [1, 3]
    assert target.masks.shape == (2, 3, 12, 16)
    assert target.masks[:, 0].flatten(1).sum(1).tolist() == [16., 16.] and not target.masks[:, 1:].any()
    # 16 x 16 pixels that do not start at a multiple of 4 have soft borders
    soft = reduced_targets([sample([1], SIZE, 2)]).masks
    assert soft.sum() == 16 and soft.unique().tolist() == [0, 0.25, 0.5, 1]


def test_objects_without_a_pixel_in_any_frame_are_no_targets():
    frames = [sample([1, 2], SIZE), sample([1, 2], SIZE)]
    for frame in frames:
        frame.gt_instances.masks[0] = 0
    assert reduced_targets(frames).labels.tolist() == [2]
    empty = reduced_targets([sample([], (45, 62))])
    assert len(empty.labels) == 0 and empty.masks.shape == (0, 1, 12, 16)


def perfect(target, num_queries=6):
    """Outputs of queries 4, 2, ... that are just the objects; the others are no object."""
    logits = torch.full((num_queries, NUM_CLASSES + 1), -9.)
    logits[:, -1] = 9
    masks = torch.full((num_queries, *target.masks.shape[1:]), -20.)
    for place, query in enumerate((4, 2)[:len(target.labels)]):
        logits[query] = -9
        logits[query, target.labels[place]] = 9
        masks[query] = 40 * target.masks[place].round() - 20
    return logits, masks


def test_matching_and_losses_of_perfect_outputs():
    criterion = ClipCriterion(NUM_CLASSES)
    targets = [reduced_targets([sample([1, 3], SIZE), sample([3], SIZE)]), reduced_targets([sample([], SIZE)] * 2)]
    logits, masks = (torch.stack(x) for x in zip(*[perfect(target) for target in targets]))
    assert [x.tolist() for x in criterion.match([(logits[0], masks[0], targets[0])])[0]] == [[2, 4], [1, 0]]
    losses = criterion(torch.stack([logits, logits * 0, logits]), torch.stack([masks, masks * 0, masks]), targets)
    names = {f'{name}{suffix}' for name in ('loss_ce', 'loss_mask', 'loss_dice') for suffix in ('', '_0', '_1')}
    assert {name for name in losses if 'loss' in name} == names
    assert all(losses[name] < 1e-3 for name in names if not name.endswith('_1'))
    assert losses['class_error'] == 0 and losses['cardinality_error'] == 0 and losses['cardinality_error_1'] > 0
    # all logits 0: cross-entropy of the uniform distribution, whatever the class weights
    assert losses['loss_ce_1'] == pytest.approx(math.log(NUM_CLASSES + 1))
    # p = 1/2: focal (weights .25 and .75) averaged over the tube, and dice, both divided by 2 objects, times 3
    area = targets[0].masks.flatten(1).sum(1)
    pixels = targets[0].masks[0].numel()
    focal = (.25 * area + .75 * (pixels - area)) / pixels * .25 * math.log(2)
    dice = 1 - (area + 1) / (pixels / 2 + area + 1)
    assert losses['loss_mask_1'] == pytest.approx(3 * float(focal.sum()) / 2, rel=1e-5)
    assert losses['loss_dice_1'] == pytest.approx(3 * float(dice.sum()) / 2, rel=1e-5)


def test_no_object_counts_a_tenth():
    criterion = ClipCriterion(2)
    target = ClipTargets(torch.tensor([0]), torch.tensor([7]), torch.ones(1, 1) > 0, torch.ones(1, 1, 2, 2))
    logits = torch.tensor([[[[3., 0., 0.], [0., 2., 0.]]]])
    masks = torch.zeros(1, 1, 2, 1, 2, 2)
    log_probs = logits[0, 0].log_softmax(-1)
    expected = -(log_probs[0, 0] + .1 * log_probs[1, 2]) / 1.1
    assert criterion(logits, masks, [target])['loss_ce'] == pytest.approx(float(expected), rel=1e-5)


def test_the_matching_weighs_overlap_and_class():
    criterion = ClipCriterion(2)
    target = ClipTargets(torch.tensor([1]), torch.tensor([7]), torch.ones(1, 1) > 0, torch.ones(1, 1, 2, 2))
    masks = torch.tensor([5., 5., -5.]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    logits = torch.tensor([[4., 0., 0.], [0., 4., 0.], [0., 4., 0.]])
    assert criterion.match([(logits, masks, target)])[0][0].tolist() == [1]
    assert criterion.match([(logits, masks.flip(0), target)])[0][0].tolist() == [1]
    assert criterion.match([(logits[:1].expand(3, -1), -masks, target)])[0][0].tolist() == [2]


def test_no_objects_at_all_still_train_the_classes():
    logits, masks = torch.zeros(3, 1, 4, 3, requires_grad=True), torch.zeros(3, 1, 4, 2, 6, 8, requires_grad=True)
    losses = ClipCriterion(2)(logits, masks, [reduced_targets([sample([], SIZE)] * 2)])
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert logits.grad.abs().sum() > 0 and masks.grad.abs().sum() == 0
    assert losses['loss_mask'] == losses['loss_dice'] == 0


def test_the_number_of_objects_is_the_mean_over_all_processes(monkeypatch):
    """The others of four processes have no object here: with two of ours the mean is a half, counted as one."""
    def other_processes(data, op):
        assert op == 'mean'
        data /= 4

    criterion = ClipCriterion(NUM_CLASSES)
    logits, masks = torch.zeros(1, 1, 4, NUM_CLASSES + 1), torch.zeros(1, 1, 4, 1, 6, 8)
    targets = [reduced_targets([sample(range(1, 3), SIZE)])]
    alone = criterion(logits, masks, targets)
    monkeypatch.setattr('mmvis.models.ifc.criterion.all_reduce', other_processes)
    together = criterion(logits, masks, targets)
    for name in ('loss_mask', 'loss_dice'):
        assert together[name] == pytest.approx(2 * float(alone[name]))
    assert together['loss_ce'] == alone['loss_ce']


def test_a_training_that_explodes_ends_in_a_loss_that_is_not_finite():
    criterion = ClipCriterion(NUM_CLASSES)
    targets = [reduced_targets([sample([1, 3], SIZE)])]
    logits, masks = torch.zeros(1, 1, 4, NUM_CLASSES + 1), torch.zeros(1, 1, 4, 1, 6, 8)
    assert criterion(logits.fill_(math.nan), masks, targets)['loss_ce'].isnan()
    assert criterion(logits.fill_(0.), masks.fill_(math.nan), targets)['loss_mask'].isnan()
