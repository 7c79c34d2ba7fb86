"""Which points learn which object."""
import pytest
import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.models.condinst_iai.head import level_points
from mmvis.models.condinst_iai.targets import frame_targets, mask_centroids

SIZES, STRIDES, RANGES = [(8, 12), (4, 6)], (8, 16), ((-1, 20), (20, 1e8))
POINTS = level_points(SIZES, STRIDES, 'cpu')
NUM_CLASSES, MAX_OBJ_NUM = 5, 6


def sample_of(boxes, labels=None, masks=None):
    """A frame of 64 x 96 whose masks fill their boxes x1 y1 x2 y2."""
    if masks is None:
        masks = torch.zeros(len(boxes), 64, 96, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes):
            mask[y1:y2, x1:x2] = 1
    sample = FrameSample()
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4), masks=masks,
        labels=torch.arange(len(boxes)) if labels is None else torch.tensor(labels))
    return sample


def targets_of(sample, slots, center_radius=1.5):
    return frame_targets(POINTS, [sample], [torch.tensor(slots, dtype=torch.long)], NUM_CLASSES, MAX_OBJ_NUM, STRIDES,
                         RANGES, center_radius)


def owners(targets):
    """(level, x, y) -> object, of the points that have one."""
    level = torch.tensor([0] * len(POINTS[0]) + [1] * len(POINTS[1]))
    return {(int(level[i]), *targets.points[i].int().tolist()): int(targets.gt_index[0, i])
            for i in (targets.gt_index[0] >= 0).nonzero()[:, 0]}


def test_points_near_the_centre_of_a_small_object_take_it():
    targets = targets_of(sample_of([[20, 12, 44, 36]], labels=[3]), [4])       # centroid 31.5, 23.5
    fine = {(0, x, y): 0 for x in (28, 36) for y in (20, 28)}                  # 20 and 12 lie on the sides of the box
    coarse = {(1, 24, 24): 0, (1, 40, 24): 0}                                  # the farthest side is 20 away, no less
    assert owners(targets) == {**fine, **coarse}
    chosen = targets.gt_index[0] >= 0
    assert targets.labels[0][chosen].unique().tolist() == [3]
    assert targets.identities[0][chosen].unique().tolist() == [4]
    assert targets.labels[0][~chosen].unique().tolist() == [NUM_CLASSES]
    assert targets.identities[0][~chosen].unique().tolist() == [MAX_OBJ_NUM]
    point = (targets.points == torch.tensor([28., 20.])).all(1).nonzero()[0]
    assert targets.distances[0, point[0]].tolist() == [8, 8, 16, 16]


def test_a_large_object_belongs_to_the_coarse_level():
    found = owners(targets_of(sample_of([[0, 0, 90, 60]]), [0]))
    assert {level for level, _, _ in found} == {1}
    assert all(abs(x - 44.5) < 24 and abs(y - 29.5) < 24 for _, x, y in found)


def test_the_smaller_box_wins_whatever_the_masks_are():
    masks = torch.zeros(2, 64, 96, dtype=torch.uint8)
    masks[0, 24:26, 30:32] = 1                                        # box 0 is larger, its mask smaller
    masks[1, 16:34, 22:40] = 1
    found = owners(targets_of(sample_of([[20, 14, 46, 38], [22, 16, 40, 34]], masks=masks), [0, 1]))
    assert found[0, 28, 28] == found[0, 36, 28] == 1
    alone = owners(targets_of(sample_of([[20, 14, 46, 38]], masks=masks[:1]), [0]))
    assert found[0, 36, 20] == 1 and alone[0, 28, 28] == 0


def test_the_centre_is_that_of_the_mask_not_of_the_box():
    mask = torch.zeros(1, 64, 96, dtype=torch.uint8)
    mask[0, 10:14, 10:14] = 1                                         # the box spans 10..50, the pixels its corner
    found = owners(targets_of(sample_of([[10, 10, 50, 50]], masks=mask), [0], center_radius=1))
    assert {(x, y) for level, x, y in found if level == 1} == {(24, 24)}
    assert mask_centroids(mask).tolist() == [[11.5, 11.5]]


def test_an_object_without_a_pixel_takes_no_point():
    empty = torch.zeros(1, 64, 96, dtype=torch.uint8)
    assert not owners(targets_of(sample_of([[0, 0, 20, 20]], masks=empty), [0]))


def test_a_frame_without_objects():
    targets = targets_of(sample_of([]), [])
    assert (targets.labels == NUM_CLASSES).all() and (targets.identities == MAX_OBJ_NUM).all()
    assert (targets.gt_index == -1).all() and not targets.distances.any()


def test_levels_and_ranges_have_to_fit():
    with pytest.raises(ValueError, match='2 levels, but 2 strides and 1 regress_ranges'):
        frame_targets(POINTS, [], [], 1, 2, STRIDES, RANGES[:1])
