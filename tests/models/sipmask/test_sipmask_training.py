"""Targets, losses and recipe of SipMask-VIS."""
import copy
import re

import pytest
import torch
from helpers.tiny_masktrack import tiny_batch
from helpers.tiny_sipmask import tiny_model
from mmengine.optim import build_optim_wrapper

from mmvis.engine import load_config
from mmvis.models.layers.legacy_boxes import box_iou, paired_iou
from mmvis.models.sipmask import head as head_module
from mmvis.models.sipmask.losses import focal_loss, iou_loss, mask_loss, mask_weights, masks_at
from mmvis.models.sipmask.points import level_points
from mmvis.models.sipmask.targets import assign_places, centerness_targets
from mmvis.registry import MODELS

LOSSES = {'loss_cls', 'loss_bbox', 'loss_centerness', 'loss_mask', 'loss_match'}


def losses_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model.loss(data['inputs'], data['data_samples'])


def slow_assign(points, boxes, strides, ranges, radius):
    out = []
    for level, stride, (low, high) in zip(points, strides, ranges):
        for x, y in level.tolist():
            best = (float('inf'), -1)
            for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
                inside = max(cx - radius * stride, x1) < x < min(cx + radius * stride, x2) \
                    and max(cy - radius * stride, y1) < y < min(cy + radius * stride, y2)
                if inside and low <= max(x - x1, y - y1, x2 - x, y2 - y) <= high:
                    best = min(best, ((x2 - x1 + 1) * (y2 - y1 + 1), i))
            out.append(best[1])
    return out


def test_assignment():
    draw = torch.Generator().manual_seed(0)
    corner = (torch.rand(8, 2, generator=draw) * 60).round()
    boxes = torch.cat([corner, corner + (torch.rand(8, 2, generator=draw) * 60).round()], dim=1)
    boxes = torch.cat([boxes, boxes[:1]])                                     # of two equal boxes the first
    strides, ranges = (8, 16), ((-1, 24), (24, 1e8))
    points = level_points([(12, 16), (6, 8)], strides, torch.device('cpu'))
    assigned = assign_places(points, boxes, strides, ranges, 1.5)
    assert assigned.tolist() == slow_assign(points, boxes, strides, ranges, 1.5)
    assert len(set(assigned.tolist())) > 5 and 8 not in assigned
    assert (assign_places(points, boxes[:0], strides, ranges) == -1).all()


def test_centerness():
    distances = torch.tensor([[4., 4., 4., 4.], [1., 2., 4., 2.], [2., 1., 2., 4.]])
    assert centerness_targets(distances).tolist() == [1, .5, .5]


def test_focal_loss_of_background_and_classes():
    logits, labels = torch.tensor([[2., -1.], [0.5, 0.]]), torch.tensor([1, 2])
    p = logits.sigmoid()
    negative = -0.75 * p ** 2 * (1 - p).log()
    positive = -0.25 * (1 - p) ** 2 * p.log()
    expected = negative[0, 0] + positive[0, 1] + negative[1].sum()
    torch.testing.assert_close(focal_loss(logits, labels), expected)


def test_box_loss_counts_pixels():
    boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 1., 1.]])
    targets = torch.tensor([[0., 0., 9., 4.], [5., 5., 6., 6.]])
    assert torch.equal(paired_iou(boxes, targets), box_iou(boxes, targets).diagonal())
    torch.testing.assert_close(iou_loss(boxes, targets), torch.tensor([2., 1e6]).log())


def test_mask_loss_by_hand():
    masks = torch.zeros(2, 6, 8)
    masks[:, 1:3] = 1
    boxes = torch.tensor([[0., 0., 4., 4.], [2., 0., 8., 2.]])
    probabilities = torch.full((2, 6, 8), 0.25) * (torch.arange(6) < 4).view(-1, 1) * (torch.arange(8) < 4)
    probabilities[1] = 0
    inside = -8 * torch.tensor(0.25).log() - 8 * torch.tensor(0.75).log()     # 4 x 4 pixels, half of them object
    outside = 6 * torch.tensor(100.)                      # 6 x 1 of 6 x 2 pixels; the logarithm ends at -100
    weights = torch.tensor([1.5, 0.5])
    expected = (1.5 * inside / 16 + 0.5 * outside / 12) / 2
    torch.testing.assert_close(mask_loss(probabilities, masks, boxes, weights), expected)
    assert mask_loss(probabilities[:0], masks[:0], boxes[:0], weights[:0]) == 0


def test_mask_weights_and_small_masks():
    boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 9.]])
    weights = mask_weights(torch.tensor([0.8, 0.4]), boxes, torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 4.]]))
    torch.testing.assert_close(weights, torch.tensor([1.6, 0.4]), rtol=1e-3, atol=1e-3)
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    masks[0, :2, :1], masks[0, 2:, 1:] = 1, 1
    assert masks_at(masks, (2, 2))[0].tolist() == [[False, False], [False, True]]
    assert masks_at(masks, (4, 4)).sum() == 8


@pytest.mark.parametrize('counts', [((3, 2), (2, 3)), ((1, 1),), ((0, 2), (2, 2)), ((3, 0), (2, 0)), ((0, 0),)])
def test_every_parameter_gets_a_gradient_whatever_the_frames_hold(counts):
    model = tiny_model().train()
    losses = losses_of(model, tiny_batch(counts))
    assert losses.keys() == LOSSES | {'match_acc'}
    total, logged = model.parse_losses(losses)
    assert torch.isfinite(total) and 'match_acc' in logged
    total.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained.values())
    if counts == ((3, 2), (2, 3)):
        silent = {name for name, p in trained.items() if name.startswith('bbox_head') and not p.grad.abs().sum() > 0}
        assert silent <= {f'bbox_head.scales.{i}.scale' for i in range(5)}      # levels without an object


def test_boxes_that_shrank_to_nothing_make_no_masks():
    model = tiny_model(head=dict(aug_ref_bbox_param=None))
    torch.nn.init.zeros_(model.bbox_head.fcos_reg.weight)
    torch.nn.init.constant_(model.bbox_head.fcos_reg.bias, 0.01)
    losses = losses_of(model, tiny_batch())
    assert losses['loss_mask'] == losses['loss_match'] == losses['match_acc'] == 0 and losses['loss_bbox'] > 0


def test_boxes_far_off_the_map_still_find_an_embedding():
    model = tiny_model()
    torch.nn.init.constant_(model.bbox_head.fcos_reg.bias, -500.)
    assert all(torch.isfinite(value) for value in losses_of(model, tiny_batch()).values())


def test_reference_frame_is_trained_through():
    model = tiny_model()
    data = model.data_preprocessor(tiny_batch(((3, 3),)), True)
    clips = data['inputs'].requires_grad_()
    losses = model.loss(clips, data['data_samples'])
    grad, = torch.autograd.grad(losses['loss_match'], clips, retain_graph=True)
    assert grad[:, 0].abs().sum() > 0 and grad[:, 1].abs().sum() > 0
    grad, = torch.autograd.grad(losses['loss_cls'] + losses['loss_bbox'] + losses['loss_mask'], clips)
    assert grad[:, 0].abs().sum() > 0 and grad[:, 1].abs().sum() == 0


def test_jitter_moves_reference_boxes_and_follows_the_seed(monkeypatch):
    batch, totals = tiny_batch(((3, 3),), size=(192, 256)), []
    for model, seed in ((tiny_model(), 1), (tiny_model(), 1), (tiny_model(head=dict(aug_ref_bbox_param=(.5, .5))), 1),
                        (tiny_model(head=dict(aug_ref_bbox_param=None)), 1)):
        torch.manual_seed(seed)
        totals.append(losses_of(model, batch)['loss_match'].item())
    assert totals[0] == totals[1] and totals[2] not in totals[:2] + totals[3:]


def test_processes_with_few_and_many_objects_train_as_one(monkeypatch):
    """The mean over two processes of losses and gradients is that of the whole batch."""
    batch = tiny_batch(((1, 2), (5, 4)))
    halves = [{name: value[i:i + 1] for name, value in batch.items()} for i in range(2)]
    names = ('loss_cls', 'loss_bbox', 'loss_centerness', 'loss_mask', 'loss_match')
    model = tiny_model(head=dict(aug_ref_bbox_param=None))

    def run(data):
        losses = losses_of(model, data)
        grads = torch.autograd.grad(sum(losses[name] for name in names), list(model.bbox_head.parameters()))
        return torch.stack([losses[name].detach() for name in names]), grads

    whole, whole_grads = run(batch)
    seen = []
    original = head_module.mean_over_ranks
    monkeypatch.setattr(head_module, 'mean_over_ranks', lambda *sums: seen.append(original(*sums)) or seen[-1])
    for half in halves:
        run(half)
    mean = torch.stack([torch.stack(x) for x in seen]).mean(0)
    assert seen[0][0] < seen[1][0]
    monkeypatch.setattr(head_module, 'mean_over_ranks', lambda *sums: list(mean))
    (first, first_grads), (second, second_grads) = map(run, halves)
    torch.testing.assert_close((first + second) / 2, whole, rtol=1e-4, atol=1e-5)
    for a, b, both in zip(first_grads, second_grads, whole_grads):
        torch.testing.assert_close((a + b) / 2, both, rtol=1e-3, atol=1e-4)


def test_autocast_trains():
    model = tiny_model().train()
    with torch.autocast('cpu', torch.bfloat16):
        total, _ = model.parse_losses(losses_of(model, tiny_batch()))
    total.backward()
    assert torch.isfinite(total) and total.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_clips_of_another_length_are_refused():
    with pytest.raises(ValueError, match='pairs of frames'):
        tiny_model().loss(torch.zeros(1, 3, 3, 64, 96), [[]])


def test_optimizer_follows_the_official_rule():
    """SGD 0.005, decay 1e-4; biases twice the rate and no decay, but for norms that are named bn or gn."""
    cfg = load_config('sipmask_r50_caffe_fpn_gn_1x.py')
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert type(wrapper.optimizer) is torch.optim.SGD and not wrapper.clip_grad_kwargs
    groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    doubled = set()
    for name, parameter in trained.items():
        group = groups[id(parameter)]
        is_bias = name.endswith('.bias') and not re.search(r'(bn|gn)(\d+)?.(weight|bias)', name)
        assert group['lr'] == pytest.approx(0.01 if is_bias else 0.005), name
        assert group['weight_decay'] == (0 if is_bias else 1e-4) and group['momentum'] == 0.9, name
        doubled |= {name} if is_bias else set()
    assert {'bbox_head.feat_align.norm.bias', 'bbox_head.fcos_cls.bias', 'neck.lateral_convs.0.conv.bias'} <= doubled
    assert 'bbox_head.cls_convs.0.gn.bias' in trained.keys() - doubled
    assert not any(name.startswith(('backbone.conv1', 'backbone.layer1')) for name in trained)
    assert not any(re.search(r'\.bn\d', name) for name in trained)
    assert cfg.train_cfg.max_epochs == 12 and cfg.train_dataloader.batch_size == 8
    warm_up, steps = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end, list(steps.milestones), steps.gamma) == (1 / 80, 1001, [8, 11], 0.1)


def test_initial_weights():
    head = MODELS.build(load_config('sipmask_r50_caffe_fpn_gn_1x.py').model).bbox_head
    assert (head.feat_align.conv_offset.weight == 0).all()
    assert head.fcos_cls.bias[0].item() == pytest.approx(-4.595, abs=1e-3)
    for weight in (head.cls_convs[0].conv.weight, head.feat_align.conv_adaption.weight, head.sip_cof.weight):
        assert weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert head.sipmask_track.weight.abs().max() <= 768 ** -0.5 and head.sipmask_track.bias.abs().max() > 0
