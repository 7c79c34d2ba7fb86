from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from mmvis.datasets import samplers
from mmvis.datasets.samplers import (
    ClipBatchSampler,
    ClipSampler,
    InfiniteClipSampler,
    MixtureSampler,
    SampleKey,
    VideoSampler,
)
from mmvis.errors import InputError


class Items:
    """Stands for a training set: some items are landscape, the rest portrait."""

    def __init__(self, num, num_portrait=0):
        self.landscape = np.arange(num) >= num_portrait

    def __len__(self):
        return len(self.landscape)


def on_rank(monkeypatch, rank, world_size):
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world_size))


def per_rank(monkeypatch, world_size, make):
    """``list(make())`` on every process of ``world_size``."""
    found = []
    for rank in range(world_size):
        on_rank(monkeypatch, rank, world_size)
        found.append(list(make()))
    return found


def test_an_epoch_has_every_item_once_in_an_order_of_its_own():
    sampler = ClipSampler(Items(20), seed=3)
    first = list(sampler)
    assert sorted(key.index for key in first) == list(range(20)) and first == list(sampler)
    assert {(key.seed, key.epoch) for key in first} == {(3, 0)}
    sampler.set_epoch(1)
    second = list(sampler)
    assert {key.epoch for key in second} == {1} and [k.index for k in first] != [k.index for k in second]
    assert [key.index for key in ClipSampler(Items(4), shuffle=False, seed=3)] == [0, 1, 2, 3]
    assert isinstance(ClipSampler(Items(4)).seed, int)


@pytest.mark.parametrize('round_up, sizes', [(True, [4, 4, 4]), (False, [4, 3, 3])])
def test_processes_share_an_epoch(monkeypatch, round_up, sizes):
    found = per_rank(monkeypatch, 3, lambda: ClipSampler(Items(10), seed=1, round_up=round_up))
    assert [len(keys) for keys in found] == sizes
    assert {key.index for keys in found for key in keys} == set(range(10))
    for rank in range(3):
        on_rank(monkeypatch, rank, 3)
        assert len(ClipSampler(Items(10), seed=1, round_up=round_up)) == sizes[rank]


@pytest.mark.parametrize('world_size', [1, 2])
def test_grouped_batches_are_full_and_of_one_orientation(monkeypatch, world_size):
    data = Items(23, num_portrait=3)
    found = per_rank(monkeypatch, world_size, lambda: ClipBatchSampler(ClipSampler(data, seed=5), batch_size=4))
    assert len({len(batches) for batches in found}) == 1
    batches = [batch for of_rank in found for batch in of_rank]
    assert all(len(batch) == 4 and len({bool(data.landscape[key.index]) for key in batch}) == 1 for batch in batches)
    assert {key.index for batch in batches for key in batch} == set(range(23))
    # 20 landscape and 3 portrait items, rounded up to whole batches on all processes.
    assert len(batches) == {1: 5 + 1, 2: 6 + 2}[world_size]
    assert len(ClipBatchSampler(ClipSampler(data, seed=5), batch_size=4)) == len(found[0])


def test_groups_follow_each_other_in_random_order():
    data = Items(40, num_portrait=20)
    sampler = ClipSampler(data, seed=0)
    orders = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        orders.append([bool(data.landscape[batch[0].index]) for batch in ClipBatchSampler(sampler, 2)])
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


def test_drop_last(monkeypatch):
    data = Items(23, num_portrait=3)
    grouped = ClipBatchSampler(ClipSampler(data, seed=5), batch_size=4, drop_last=True)
    assert len(list(grouped)) == len(grouped) == 5
    plain = ClipBatchSampler(ClipSampler(data, seed=5), 4, group_by_aspect=False)
    assert [len(batch) for batch in plain] == [4] * 5 + [3] and len(plain) == 6
    plain = ClipBatchSampler(ClipSampler(data, seed=5), 4, group_by_aspect=False, drop_last=True)
    assert [len(batch) for batch in plain] == [4] * 5 and len(plain) == 5


@pytest.mark.parametrize('group_by_aspect', [True, False])
@pytest.mark.parametrize('endless', [True, False])
def test_skipped_batches_are_left_out_once(endless, group_by_aspect):
    def make():
        sampler = (InfiniteClipSampler if endless else ClipSampler)(Items(30, num_portrait=7), seed=2)
        return ClipBatchSampler(sampler, batch_size=3, group_by_aspect=group_by_aspect)

    whole = list(islice(make(), 9))
    resumed = make()
    resumed.skip_batches = 4
    assert list(islice(resumed, 5)) == whole[4:]
    assert resumed.skip_batches == 0 and list(islice(resumed, 9)) == whole
    assert len(resumed) == len(make())


def test_the_endless_stream_passes_over_all_items_again_and_again():
    keys = list(islice(InfiniteClipSampler(Items(7), seed=4), 21))
    for epoch in range(3):
        part = keys[7 * epoch:7 * epoch + 7]
        assert sorted(key.index for key in part) == list(range(7)) and {key.epoch for key in part} == {epoch}
    assert [key.index for key in keys[:7]] != [key.index for key in keys[7:14]]


def test_the_endless_stream_starts_anywhere_and_is_shared_out(monkeypatch):
    whole = list(islice(InfiniteClipSampler(Items(7), seed=4), 40))
    assert list(islice(InfiniteClipSampler(Items(7), seed=4, start=17), 10)) == whole[17:27]
    for rank in range(3):
        on_rank(monkeypatch, rank, 3)
        assert list(islice(InfiniteClipSampler(Items(7), seed=4), 13)) == whole[rank:39:3]
        assert list(islice(InfiniteClipSampler(Items(7), seed=4, start=5), 8)) == whole[rank:39:3][5:]


def test_endless_batches_are_of_one_orientation():
    data = Items(20, num_portrait=6)
    batches = list(islice(ClipBatchSampler(InfiniteClipSampler(data, seed=4), batch_size=4), 50))
    assert all(len(batch) == 4 and len({bool(data.landscape[key.index]) for key in batch}) == 1 for batch in batches)
    assert {bool(data.landscape[batch[0].index]) for batch in batches} == {True, False}
    assert all(isinstance(key, SampleKey) for key in batches[0])


def videos(*lengths):
    """Stands for a test set with chunks of one frame; video ids are 100, 101, ..."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return SimpleNamespace(video_lengths=np.array(lengths), video_ids=[100 + i for i in range(len(lengths))],
                           video_chunks=lambda video: range(int(starts[video]), int(starts[video + 1])))


def joint(*sizes):
    data = Items(sum(sizes))
    data.starts = np.cumsum([0, *sizes])
    return data


def test_a_mixture_draws_from_each_set_as_often_as_told():
    keys = list(islice(MixtureSampler(joint(5, 400), ratio=[1, 1], seed=3), 4000))
    small = [key for key in keys if key.index < 5]
    assert 1850 < len(small) < 2150
    large = [key for key in keys if key.index >= 5]
    for part, size in ((small, 5), (large, 400)):        # each set in passes of its own, every item once a pass
        for epoch in range(3):
            assert len({key.index for key in part if key.epoch == epoch}) == size
            assert [key.epoch for key in part[epoch * size:(epoch + 1) * size]] == [epoch] * size
    assert [key.index for key in small[:5]] != [key.index for key in small[5:10]]
    keys = list(islice(MixtureSampler(joint(50, 50), ratio=[1, 3], seed=3), 2000))
    assert 0.2 < sum(key.index < 50 for key in keys) / 2000 < 0.3


def test_a_mixture_is_one_stream_for_any_number_of_processes(monkeypatch):
    data = joint(7, 30)
    whole = list(islice(MixtureSampler(data, seed=1), 3000))
    assert whole == list(islice(MixtureSampler(data, seed=1), 3000)) != list(islice(MixtureSampler(data, seed=2), 3000))
    parts = per_rank(monkeypatch, 3, lambda: islice(MixtureSampler(data, seed=1), 1000))
    assert [key for three in zip(*parts) for key in three] == whole
    on_rank(monkeypatch, 1, 3)
    for start in (5, 341, 342, 700):                         # also on both sides of a block of draws
        assert list(islice(MixtureSampler(data, seed=1, start=start), 20)) == parts[1][start:start + 20]


def test_a_mixture_of_what(monkeypatch):
    with pytest.raises(InputError, match='draws from a JointDataset, not from a Items'):
        MixtureSampler(Items(3), seed=0)
    for ratio in ([1], [1, 0], [1, -1], [1, float('inf')], [1, float('nan')]):
        with pytest.raises(InputError, match='a positive number for each of the 2 sets'):
            MixtureSampler(joint(3, 3), ratio=ratio, seed=0)


def test_videos_are_shared_out_by_length(monkeypatch):
    data = videos(3, 50, 4, 20, 25, 5)
    found = []
    for rank in range(2):
        on_rank(monkeypatch, rank, 2)
        sampler = VideoSampler(data, seed=0)
        found.append(sampler.rank_videos())
        assert len(sampler) == len(list(sampler))
    assert sorted(found[0] + found[1]) == list(range(6))
    assert all(mine == sorted(mine) for mine in found)
    loads = [sum(data.video_lengths[video] for video in mine) for mine in found]
    assert max(loads) - min(loads) <= 3


def test_chunks_come_in_order_and_finished_videos_are_left_out():
    data = videos(2, 3, 1)
    sampler = VideoSampler(data)
    assert list(sampler) == [0, 1, 2, 3, 4, 5]
    sampler.skip_videos([101])
    assert list(sampler) == [0, 1, 5] and sampler.rank_videos() == [0, 2] and len(sampler) == 3
    sampler.skip_videos([100, 101, 102])
    assert list(sampler) == []


def test_more_processes_than_videos(monkeypatch):
    assert per_rank(monkeypatch, 3, lambda: VideoSampler(videos(2, 2))) == [[0, 1], [2, 3], []]
