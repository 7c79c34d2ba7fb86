"""Several training sets as one."""
from typing import Any, Dict, List, Sequence, Union

import numpy as np
from torch.utils.data import Dataset

from mmvis.errors import InputError
from mmvis.registry import DATASETS

from .samplers import SampleKey
from .vis_dataset import VISDataset


@DATASETS.register_module()
class JointDataset(Dataset):
    """The items of several training sets one after another; an epoch goes through all of them (a ``MixtureSampler``
    draws from each as often as it is told).

    Args:
        datasets: configs or objects, all with the same classes and clips of the same length.
        repeats: how many times each set is gone through in an epoch; once if not given.

    Raises:
        ValueError: classes differ (a label would mean two things), or the numbers of sets and repeats.
    """

    def __init__(self, datasets: Sequence[Union[Dict, VISDataset]], repeats: Sequence[int] = ()) -> None:
        self.datasets: List[VISDataset] = [DATASETS.build(d) if isinstance(d, dict) else d for d in datasets]
        repeats = list(repeats) or [1] * len(self.datasets)
        if not self.datasets or len(repeats) != len(self.datasets) or min(repeats) < 1:
            raise InputError(f'JointDataset: repeats is {repeats} for {len(self.datasets)} sets; give one positive '
                             'number a set.')
        first = self.datasets[0]
        for dataset in self.datasets[1:]:
            if (dataset.classes, dataset.category_ids) != (first.classes, first.category_ids):
                raise InputError(f'{dataset.NAME} ({dataset.ann_file}) and {first.NAME} ({first.ann_file}) have '
                                 'different classes; COCO takes those of a video set by target=...')
        self._repeats = repeats
        #: int64 [number of sets + 1]: where the items of each set begin, and where those of the last one end.
        self.starts = np.cumsum([0] + [len(d) * times for d, times in zip(self.datasets, repeats)])
        #: bool [len(self)], as of ``VISDataset``.
        self.landscape = np.concatenate([np.tile(d.landscape, times) for d, times in zip(self.datasets, repeats)])

    @property
    def metainfo(self) -> Dict[str, Any]:
        """That of the first set, under the names of all."""
        return {**self.datasets[0].metainfo, 'name': ' and '.join(d.NAME for d in self.datasets)}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, key: Union[int, SampleKey]) -> Dict[str, Any]:
        seed, epoch, index = key if isinstance(key, tuple) else (0, 0, int(key))
        if not 0 <= index < len(self):
            raise IndexError(f'item {index} of {len(self)}')
        part = int(np.searchsorted(self.starts, index, side='right')) - 1
        offset = index - int(self.starts[part])
        size = len(self.datasets[part])
        # A repeated item is another draw: its pass goes into the epoch.
        own = SampleKey(seed, epoch * self._repeats[part] + offset // size, offset % size)
        return self.datasets[part][own]
