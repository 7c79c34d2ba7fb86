"""Who is who in a training clip."""
import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.models.condinst_iai.clip_identities import clip_identities, identity_map

M = 5


def clip_of(*frames, size=(8, 8)):
    """A clip whose frames show the objects with these ids, each on a column of its own."""
    clip = []
    for ids in frames:
        sample = FrameSample()
        masks = torch.zeros(len(ids), *size, dtype=torch.uint8)
        for column, mask in enumerate(masks):
            mask[:, column] = 1
        sample.gt_instances = InstanceData(instance_ids=torch.tensor(ids, dtype=torch.long), masks=masks)
        clip.append(sample)
    return clip


def listed(frames):
    return [[x.tolist() for x in images] for images in frames]


def test_slots_are_ranks_and_whoever_was_not_seen_before_is_new():
    ids = clip_identities([clip_of([70, 12], [12], [70, 90, 12], [90])], M)
    assert listed(ids.slots) == [[[1, 0]], [[0]], [[1, 2, 0]], [[2]]]
    assert listed(ids.targets) == [[[4, 4]], [[0]], [[1, 4, 0]], [[2]]]        # 70 comes back after a gap


def test_the_marking_goes_by_value_however_many_and_however_ordered():
    order = [33, 2, 17, 40, 8, 25, 11, 30, 1]
    ids = clip_identities([clip_of(order, order[::-1] + [5], size=(8, 12))], 20)
    ranks = {number: rank for rank, number in enumerate(sorted([*order, 5]))}
    assert listed(ids.targets)[1][0] == [*(ranks[i] for i in order[::-1]), 19]


def test_clips_of_a_batch_are_numbered_apart():
    ids = clip_identities([clip_of([7], [7]), clip_of([3, 7], [7])], M)
    assert listed(ids.slots) == [[[0], [0, 1]], [[0], [1]]]
    assert listed(ids.targets) == [[[4], [4, 4]], [[0], [1]]]


def test_objects_beyond_the_slots_stay_new_and_are_background():
    ids = clip_identities([clip_of([1, 2, 3, 4, 5, 6])] * 2, M)
    again = clip_identities([clip_of([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])], M)
    assert listed(again.targets)[1][0] == [0, 1, 2, 3, 4, 4]
    assert listed(ids.slots)[0][0] == [0, 1, 2, 3, M, M]
    maps = ids.maps(0)
    assert maps.shape == (2, M + 1, 8, 8)
    assert maps[0].sum((1, 2)).tolist() == [8, 8, 8, 8, 0, 8 * 4]             # nobody is painted as "new"


def test_shuffled_slots_are_distinct_and_reach_all():
    drawn = [listed(clip_identities([clip_of([1, 2, 3], [1, 2, 3])], M, shuffle=True).targets)[1][0] for _ in range(60)]
    assert all(len(set(x)) == 3 for x in drawn)
    assert {slot for x in drawn for slot in x} == set(range(M - 1))


def test_the_smallest_mask_wins_and_padding_is_background():
    masks = torch.zeros(2, 6, 6, dtype=torch.uint8)
    masks[0, 1:3, 1:3] = 1
    masks[1, :4, :4] = 1
    painted = identity_map(masks, torch.tensor([3, 0]), M)
    assert painted.sum(0).eq(1).all()
    assert painted[3].nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert painted[0].sum() == 12 and painted[M].sum() == 36 - 16
    assert painted[M, 4:].all() and painted[M, :, 4:].all()


def test_a_clip_without_objects():
    ids = clip_identities([clip_of([], [])], M)
    assert listed(ids.targets) == [[[]], [[]]] and ids.maps(1)[0, M].all()
