"""Which item comes when, on which process.

Training samplers yield SampleKeys: the dataset draws everything from (seed, epoch, index), so the number of workers,
their start method and a restart in the middle change nothing. Samplers hold integers only: skipping loads nothing.
"""
from itertools import count, islice
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from mmvis.errors import InputError
from mmvis.registry import DATA_SAMPLERS

#: So many draws of a mixture are made at a time.
_BLOCK = 1024


class SampleKey(NamedTuple):
    """Names one training item and all its random draws."""
    seed: int
    epoch: int
    index: int


@DATA_SAMPLERS.register_module()
class ClipSampler(Sampler):
    """All items once an epoch, shared out over the processes.

    Args:
        dataset: a training dataset.
        shuffle: a new order every epoch.
        seed: of the order and of the draws; the same on all processes. ``None``: drawn once and shared.
        round_up: repeat items from the start so that all processes get the same number.
    """

    def __init__(self, dataset: Dataset, shuffle: bool = True, seed: Optional[int] = None,
                 round_up: bool = True) -> None:
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.round_up = round_up
        self.epoch = 0
        self.rank, self.world_size = get_dist_info()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self) -> np.ndarray:
        """The indices of this epoch over all processes, int64 [len(dataset)]."""
        if self.shuffle:
            return epoch_rng(self.seed, self.epoch).permutation(len(self.dataset))
        return np.arange(len(self.dataset))

    def __iter__(self) -> Iterator[SampleKey]:
        indices = self.order()
        if self.round_up:
            indices = np.resize(indices, _round_up(len(indices), self.world_size))
        return (SampleKey(self.seed, self.epoch, int(index)) for index in indices[self.rank::self.world_size])

    def __len__(self) -> int:
        num = len(self.dataset)
        if self.round_up:
            num = _round_up(num, self.world_size)
        return len(range(self.rank, num, self.world_size))


@DATA_SAMPLERS.register_module()
class InfiniteClipSampler(Sampler):
    """One shuffled pass over the items after another, without end: for training counted in iterations.

    The stream is the same for any number of processes; process r of n takes every n-th item from r on. The epoch in the
    keys is the number of the pass. ``start`` items of this process are skipped by the next ``iter``.

    Args:
        dataset, shuffle, seed: see ``ClipSampler``.
        start: how many items of this process to skip.
    """

    def __init__(self, dataset: Dataset, shuffle: bool = True, seed: Optional[int] = None, start: int = 0) -> None:
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.start = start
        self.rank, self.world_size = get_dist_info()

    def __iter__(self) -> Iterator[SampleKey]:
        start, self.start = self.start, 0
        yield from self._stream(self.rank + start * self.world_size)

    def _stream(self, position: int) -> Iterator[SampleKey]:
        num = len(self.dataset)
        while True:
            epoch, first = divmod(position, num)
            order = epoch_rng(self.seed, epoch).permutation(num) if self.shuffle else np.arange(num)
            for index in order[first::self.world_size]:
                yield SampleKey(self.seed, epoch, int(index))
                position += self.world_size

    def __len__(self) -> int:
        """Items of all processes in one pass; the stream itself has no end."""
        return len(self.dataset)


@DATA_SAMPLERS.register_module()
class MixtureSampler(InfiniteClipSampler):
    """Items of the sets of a ``JointDataset``, of each with its own probability and in a shuffled stream of its own
    (VidEoMT: as many clips of videos as of images, whatever the sizes of the sets).

    As of ``InfiniteClipSampler`` the stream is the same for any number of processes. The epoch in the keys is the number
    of the pass over the item's set.

    Args:
        dataset: a ``JointDataset``.
        ratio: a positive number for each of its sets; equal if not given.
        seed, start: see ``InfiniteClipSampler``.
    """

    def __init__(self, dataset: Dataset, ratio: Optional[Sequence[float]] = None, seed: Optional[int] = None,
                 start: int = 0) -> None:
        super().__init__(dataset, True, seed, start)
        if not hasattr(dataset, 'starts'):
            raise InputError(f'MixtureSampler draws from a JointDataset, not from a {type(dataset).__name__}.')
        num_sets = len(dataset.starts) - 1
        ratio = [1.] * num_sets if ratio is None else ratio
        if len(ratio) != num_sets or not min(ratio) > 0 or not sum(ratio) < float('inf'):
            raise InputError(f'MixtureSampler: ratio is {ratio!r}; it needs a positive number for each of the {num_sets} '
                             'sets.')
        self.ratio = np.asarray(ratio, np.float64) / sum(ratio)

    def _stream(self, position: int) -> Iterator[SampleKey]:
        sizes = np.diff(self.dataset.starts)
        orders = {}  # the present pass over each set: its number and the order
        done = np.zeros(len(sizes), np.int64)  # items of each set before the block
        for block in count():
            sources = np.random.default_rng((self.seed, block, 2)).choice(len(sizes), _BLOCK, p=self.ratio)
            while position < (block + 1) * _BLOCK:
                place, position = position - block * _BLOCK, position + self.world_size
                source = int(sources[place])
                number = int(done[source] + np.count_nonzero(sources[:place] == source))
                epoch, offset = divmod(number, int(sizes[source]))
                if orders.get(source, (None,))[0] != epoch:
                    rng = np.random.default_rng((self.seed, epoch, 3 + source))
                    orders[source] = epoch, rng.permutation(sizes[source])
                yield SampleKey(self.seed, epoch, int(self.dataset.starts[source] + orders[source][1][offset]))
            done += np.bincount(sources, minlength=len(sizes))


@DATA_SAMPLERS.register_module()
class ClipBatchSampler(Sampler):
    """Batches of keys; with ``group_by_aspect`` a batch is all landscape (w > h) or all portrait.

    The rule of the official code bases (mmdetection 1.x): items are shuffled within their group; each group repeats
    items until it fills whole batches on all processes; then the batches are shuffled. Over an ``InfiniteClipSampler``
    the stream is sorted into the two groups and a batch leaves as soon as one is full.

    Args:
        sampler: a ``ClipSampler`` or ``InfiniteClipSampler``.
        batch_size: per process.
        group_by_aspect: see above; without it batches are cut from the sampler's order.
        drop_last: drop what does not fill a batch instead of repeating items (grouped) or giving a small batch.

    Attributes:
        skip_batches: batches that the next ``iter`` leaves out, once; nothing is loaded for them.
    """

    def __init__(self, sampler: Sampler, batch_size: int, group_by_aspect: bool = True,
                 drop_last: bool = False) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.group_by_aspect = group_by_aspect
        self.drop_last = drop_last
        self.skip_batches = 0
        self._endless = isinstance(sampler, InfiniteClipSampler)
        if not len(self):
            raise InputError(f'An epoch has no batch: the {len(sampler.dataset)} clips do not fill one of {batch_size} on each '
                             f'of {sampler.world_size} processes, and drop_last=True drops what does not. Take a smaller '
                             'batch_size, or drop_last=False.')

    def __iter__(self) -> Iterator[List[SampleKey]]:
        # A generator: a data loader with workers makes two iterators and uses the second, so the first must not take the skip.
        skip, self.skip_batches = self.skip_batches, 0
        if self._endless:
            batches = self._stream_groups() if self.group_by_aspect else self._cut(self.sampler, True)
        else:
            batches = iter(self._grouped()) if self.group_by_aspect else self._cut(self.sampler, self.drop_last)
        yield from islice(batches, skip, None)

    def __len__(self) -> int:
        """Batches of this process in an epoch (over an endless stream: in one pass), whatever is skipped."""
        if self._endless:
            return max(1, len(self.sampler) // (self.batch_size * self.sampler.world_size))
        if not self.group_by_aspect:
            num = len(self.sampler)
            return num // self.batch_size if self.drop_last else -(-num // self.batch_size)
        step = self.batch_size * self.sampler.world_size
        sizes = np.bincount(self.sampler.dataset.landscape.astype(np.int64), minlength=2).tolist()
        return sum(size // step if self.drop_last else -(-size // step) for size in sizes)

    def _cut(self, keys: Iterable[SampleKey], drop_last: bool) -> Iterator[List[SampleKey]]:
        keys = iter(keys)
        while True:
            batch = list(islice(keys, self.batch_size))
            if not batch or (drop_last and len(batch) < self.batch_size):
                return
            yield batch

    def _grouped(self) -> List[List[SampleKey]]:
        sampler, size = self.sampler, self.batch_size
        step = size * sampler.world_size
        order = sampler.order()
        landscape = sampler.dataset.landscape[order]
        batches = []
        for group in (order[~landscape], order[landscape]):
            num = len(group) // step * step if self.drop_last else _round_up(len(group), step)
            batches.extend(np.resize(group, num).reshape(-1, size).tolist())
        if sampler.shuffle:
            # Another stream than that of the order, of the same seed and epoch.
            turns = np.random.default_rng((sampler.seed, sampler.epoch, 1)).permutation(len(batches))
            batches = [batches[turn] for turn in turns]
        return [[SampleKey(sampler.seed, sampler.epoch, index) for index in batch]
                for batch in batches[sampler.rank::sampler.world_size]]

    def _stream_groups(self) -> Iterator[List[SampleKey]]:
        waiting: List[List[SampleKey]] = [[], []]
        for key in self.sampler:
            group = int(self.sampler.dataset.landscape[key.index])
            waiting[group].append(key)
            if len(waiting[group]) == self.batch_size:
                yield waiting[group]
                waiting[group] = []


@DATA_SAMPLERS.register_module()
class VideoSampler(Sampler):
    """Whole videos over the processes, balanced by length; yields the chunks of each video in order.

    The longest video goes first, each to the process with the least frames so far. A process runs its videos in the
    order of the annotation file.

    Args:
        dataset: a test dataset (its items are chunks of videos).
        seed: not used; mmengine hands one to every sampler.
    """

    def __init__(self, dataset: Dataset, seed: Optional[int] = None) -> None:
        self.dataset = dataset
        self.rank, self.world_size = get_dist_info()
        self._skipped = frozenset()

    def skip_videos(self, video_ids: Iterable) -> None:
        """Leave finished videos out; the rest is shared out anew, so every process must name the same ids."""
        self._skipped = frozenset(video_ids)

    def rank_videos(self) -> List[int]:
        """Indices of the videos that this process runs, in order."""
        lengths = self.dataset.video_lengths
        left = [index for index in range(len(lengths)) if self.dataset.video_ids[index] not in self._skipped]
        loads = [0] * self.world_size
        mine = []
        for index in sorted(left, key=lambda index: -lengths[index]):
            target = loads.index(min(loads))
            loads[target] += int(lengths[index])
            if target == self.rank:
                mine.append(index)
        return sorted(mine)

    def __iter__(self) -> Iterator[int]:
        for video in self.rank_videos():
            yield from self.dataset.video_chunks(video)

    def __len__(self) -> int:
        return sum(len(self.dataset.video_chunks(video)) for video in self.rank_videos())


def epoch_rng(seed: int, epoch: int) -> np.random.Generator:
    """The generator of an epoch's order."""
    return np.random.default_rng((seed, epoch))


def _round_up(num: int, step: int) -> int:
    return -(-num // step) * step
