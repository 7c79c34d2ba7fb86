"""The losses of a frame against their formulas."""
import pytest
import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.models.condinst_iai import losses
from mmvis.models.condinst_iai.head import IAIHead, level_points
from mmvis.models.condinst_iai.losses import centerness_targets, clip_loss_mean, dice_loss, frame_losses
from mmvis.models.condinst_iai.targets import frame_targets

STRIDES = (8, 16, 32, 64, 128)
NAMES = ['loss_cls', 'loss_id', 'loss_bbox', 'loss_centerness', 'loss_mask']


@pytest.fixture(scope='module')
def frame():
    """A tiny head, its outputs for two images of 64 x 96, and their samples: two objects and one."""
    torch.manual_seed(0)
    head = IAIHead(num_classes=3, max_obj_num=4, in_channels=8, feat_channels=8, stacked_convs=1,
                   mask_branch_channels=8, mask_branch_convs=1, norm_cfg=dict(type='GN', num_groups=2))
    features = [torch.randn(2, 8, -(-64 // stride), -(-96 // stride)) for stride in STRIDES]
    return head, features, [sample_of([[8, 8, 40, 48], [50, 20, 90, 60]], [0, 2]), sample_of([[20, 10, 60, 50]], [1])]


def sample_of(boxes, labels):
    masks = torch.zeros(len(boxes), 64, 96, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = 1
    sample = FrameSample()
    sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4), masks=masks,
                                       labels=torch.tensor(labels, dtype=torch.long))
    return sample


def losses_of(head, features, samples):
    outputs = head(features)
    points = level_points([x.shape[2:] for x in features], STRIDES, 'cpu')
    slots = [torch.arange(len(s.gt_instances)) for s in samples]
    targets = frame_targets(points, samples, slots, 3, 4, STRIDES, head.regress_ranges)
    return frame_losses(head, outputs, targets, [s.gt_instances.masks for s in samples]), outputs, targets


def test_focal_losses_are_sums_over_all_points_by_the_number_of_positives(frame):
    result, outputs, targets = losses_of(*frame)
    num = int((targets.gt_index >= 0).sum())
    assert num > 4
    for name, levels, wanted, columns in (('loss_cls', outputs.cls_logits, targets.labels, 3),
                                          ('loss_id', outputs.id_logits, targets.identities, 4)):
        total = 0.
        for b in range(2):
            scores = torch.cat([x[b].flatten(1) for x in levels], 1).sigmoid().tolist()
            for p, own in enumerate(wanted[b].tolist()):
                for c in range(columns):
                    s = scores[c][p]
                    total -= float(0.25 * (1 - s) ** 2 * torch.tensor(s).log() if c == own
                                   else 0.75 * s ** 2 * torch.tensor(1 - s).log())
        assert result[name].item() == pytest.approx(total / num, rel=1e-4)


def test_box_loss_is_weighted_with_the_centerness(frame):
    head, features, samples = frame
    result, outputs, targets = losses_of(*frame)
    distances = torch.cat([x.flatten(2) for x in outputs.distances], 2)
    total = weight = 0.
    for b, p in (targets.gt_index >= 0).nonzero().tolist():
        left, top, right, bottom = distances[b, :, p].tolist()
        wl, wt, wr, wb = targets.distances[b, p].tolist()
        wanted, area = (wl + wr) * (wt + wb), (left + right) * (top + bottom)
        inner = (min(left, wl) + min(right, wr)) * (min(top, wt) + min(bottom, wb))
        outer = (max(left, wl) + max(right, wr)) * (max(top, wt) + max(bottom, wb))
        union = wanted + area - inner
        c = (min(wl, wr) / max(wl, wr) * min(wt, wb) / max(wt, wb)) ** 0.5
        total, weight = total + c * (1 - inner / union + (outer - union) / outer), weight + c
    assert result['loss_bbox'].item() == pytest.approx(total / weight, rel=1e-4)


def test_centerness():
    assert centerness_targets(torch.tensor([[4., 9., 4., 9.], [1., 2., 4., 8.]])).tolist() == [1, 0.25]


def test_dice():
    scores, wanted = torch.tensor([[[0.5, 1.], [0., 0.]]]), torch.tensor([[[1., 1.], [0., 0.]]])
    assert dice_loss(scores, wanted).item() == pytest.approx(1 - 2 * 1.5 / (1.25 + 2 + 1e-5))
    assert dice_loss(wanted, wanted).item() == pytest.approx(0, abs=1e-5)


def test_each_point_is_compared_with_the_mask_of_its_own_object(frame):
    head, features, samples = frame
    _, outputs, targets = losses_of(*frame)

    class Oracle:
        """Answers with the mask whose centre is nearest."""
        @staticmethod
        def dynamic_masks(mask_features, kernels, points, strides, image_index):
            logits = []
            for point, image in zip(points, image_index.tolist()):
                truth = samples[image].gt_instances
                nearest = ((truth.bboxes[:, :2] + truth.bboxes[:, 2:]) / 2 - point).abs().sum(1).argmin()
                logits.append(truth.masks[nearest][2::4, 2::4].float() * 40 - 20)
            return torch.stack(logits)

    masks = [s.gt_instances.masks for s in samples]
    assert frame_losses(Oracle, outputs, targets, masks)['loss_mask'].item() == pytest.approx(0, abs=1e-5)


def test_a_frame_without_objects_has_zero_losses_that_reach_every_weight(frame):
    head, features, _ = frame
    result, _, _ = losses_of(head, features, [sample_of([], [])] * 2)
    assert list(result) == NAMES
    assert [result[name].item() for name in NAMES[2:]] == [0, 0, 0] and result['loss_cls'] > 0
    head.zero_grad()
    sum(result.values()).backward()
    assert [name for name, x in head.named_parameters() if x.grad is None] == []
    assert all(torch.isfinite(x.grad).all() for x in head.parameters())
    head.zero_grad()


def test_divisors_are_means_over_the_gpus(frame, monkeypatch):
    alone, _, _ = losses_of(*frame)
    monkeypatch.setattr(losses, 'reduce_mean', lambda x: x * 2)      # the other GPU has three times as many points
    together, _, _ = losses_of(*frame)
    for name in NAMES[:4]:
        assert together[name].item() == pytest.approx(alone[name].item() / 2, rel=1e-5)
    assert together['loss_mask'] == alone['loss_mask']               # divided by the points of its own GPU


def test_mean_over_the_frames():
    mean = clip_loss_mean([dict(a=torch.tensor(1.), b=torch.tensor(0.)), dict(a=torch.tensor(3.), b=torch.tensor(5.))])
    assert mean == dict(a=torch.tensor(2.), b=torch.tensor(2.5))
