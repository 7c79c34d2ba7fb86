"""Which boxes are trained: assignment, crowd regions, random subset."""
import torch

from mmvis.models.masktrack_rcnn.rpn_head import MaskTrackRPNHead, base_anchors
from mmvis.models.masktrack_rcnn.sampling import BoxSampler, IoUAssigner, random_choice, sample_proposals

GT = torch.tensor([[0., 0., 9., 9.], [50., 50., 69., 59.]])


def test_thresholds_and_the_best_box_of_an_object():
    boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 4.], [0., 0., 9., 3.], [20., 20., 29., 29.],
                          [50., 50., 59., 59.]])
    assign = IoUAssigner(pos_iou_thr=0.7, neg_iou_thr=0.45, min_pos_iou=0.3)
    # the last one is below 0.7, but the best that the second object has
    assert assign(boxes, GT).tolist() == [1, -1, 0, 0, 2]
    assert IoUAssigner(0.7, 0.45, min_pos_iou=0.6)(boxes, GT).tolist() == [1, -1, 0, 0, -1]


def test_boxes_in_a_crowd_take_no_part():
    boxes = torch.tensor([[20., 20., 29., 29.], [25., 20., 34., 29.], [40., 0., 49., 9.], [0., 0., 9., 9.]])
    crowd = torch.tensor([[18., 18., 31., 31.], [0., 0., 9., 9.]])
    assert IoUAssigner(0.5, 0.5, 0.5, ignore_iof_thr=0.5)(boxes, GT, crowd).tolist() == [-1, -1, 0, -1]
    assert IoUAssigner(0.5, 0.5, 0.5, ignore_iof_thr=0.75)(boxes, GT, crowd).tolist() == [-1, 0, 0, -1]
    assert IoUAssigner(0.5, 0.5, 0.5)(boxes, GT, crowd).tolist() == [0, 0, 0, 1]
    assert IoUAssigner(0.5, 0.5, 0.5, 0.5)(boxes, GT[:0], crowd).tolist() == [-1, -1, 0, -1]


def test_sampler_limits_and_sorts():
    assigned = torch.tensor([0, 1, 1, 0, 2, -1, 0, 1, 0, 0])
    positive, negative = BoxSampler(num=5, pos_fraction=0.5)(assigned, lambda indices, num: indices.flip(0)[:num])
    assert positive.tolist() == [4, 7] and negative.tolist() == [6, 8, 9]
    positive, negative = BoxSampler(num=100, pos_fraction=0.5, neg_pos_ub=1)(assigned)
    assert positive.tolist() == [1, 2, 4, 7] and len(negative) == 4


def test_random_choice_draws_without_replacement_from_the_torch_generator():
    indices = torch.arange(100, 200)
    torch.manual_seed(5)
    first = random_choice(indices, 30)
    torch.manual_seed(5)
    assert torch.equal(first, random_choice(indices, 30))
    assert len(set(first.tolist())) == 30 and set(first.tolist()) <= set(indices.tolist())
    assert not torch.equal(first, random_choice(indices, 30))


def test_ground_truth_stands_before_the_proposals():
    proposals = torch.tensor([[1., 1., 9., 9.], [80., 80., 90., 90.]])
    sampled, = sample_proposals([proposals], [GT], [None], IoUAssigner(0.5, 0.5, 0.5), BoxSampler(128, 0.25))
    assert sampled.gt_index.tolist() == [0, 1, 0] and sampled.num_pos == 3
    assert torch.equal(sampled.boxes, torch.cat([GT, proposals]))
    without, = sample_proposals([proposals], [GT], [None], IoUAssigner(0.5, 0.5, 0.5), BoxSampler(128, 0.25), add_gt=False)
    assert without.gt_index.tolist() == [0] and len(without.boxes) == 2


def test_anchors_are_whole_pixels():
    assert base_anchors(4, [8], [0.5, 1., 2.]).tolist() == [[-21, -9, 24, 12], [-14, -14, 17, 17], [-9, -21, 12, 24]]


def test_anchors_outside_the_image_are_not_trained():
    head = MaskTrackRPNHead(in_channels=4, feat_channels=4, anchor_scales=[2], anchor_strides=[8],
                            train_cfg=dict(sampler=dict(num=10 ** 6, pos_fraction=0.5)))
    anchors = head.level_anchors(0, (8, 8), torch.device('cpu'))
    (positive, negative, _), = head._targets(anchors, [GT[:1]], [None], [(40, 48)], random_choice)
    used = anchors[torch.cat([positive, negative])]
    assert (used[:, :2] >= 0).all() and (used[:, 2] < 48).all() and (used[:, 3] < 40).all() and len(used) > 10
