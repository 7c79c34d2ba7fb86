"""Several training sets as one."""
import itertools
from typing import Any, Dict, List, Sequence, Union

import numpy as np
from torch.utils.data import Dataset

from mmvis.errors import InputError, shown
from mmvis.registry import DATASETS

from .samplers import SampleKey
from .vis_dataset import VISDataset


@DATASETS.register_module()
class JointDataset(Dataset):
    """The items of several training sets one after another; an epoch goes through all of them (a ``MixtureSampler``
    draws from each as often as it is told).

    Sets of one's own (``VISDataset``) are joined by the names of their classes, whatever ids and order their files
    have: labels and ids are those of the first set. Names that not all sets have need ``classes``.

    Args:
        datasets: configs or objects, all with clips of the same length; published sets all with the same classes.
        repeats: how many times each set is gone through in an epoch; once if not given.
        classes: names in label order, for sets of one's own: each must be in one of them, and other categories are not
            read. An object of a class that a set does not annotate is background there.

    Raises:
        InputError: classes differ (a label would mean two things), or the numbers of sets and repeats.
    """

    def __init__(self, datasets: Sequence[Union[Dict, VISDataset]], repeats: Sequence[int] = (),
                 classes: Sequence[str] = ()) -> None:
        self.datasets: List[VISDataset] = [DATASETS.build(d) if isinstance(d, dict) else d for d in datasets]
        repeats = list(repeats) or [1] * len(self.datasets)
        if not self.datasets or len(repeats) != len(self.datasets) or min(repeats) < 1:
            raise InputError(f'JointDataset: repeats is {repeats} for {len(self.datasets)} sets; give one positive '
                             'number a set.')
        self._join_classes(list(classes))
        self._repeats = repeats
        #: int64 [number of sets + 1]: where the items of each set begin, and where those of the last one end.
        self.starts = np.cumsum([0] + [len(d) * times for d, times in zip(self.datasets, repeats)])
        #: bool [len(self)], as of ``VISDataset``.
        self.landscape = np.concatenate([np.tile(d.landscape, times) for d, times in zip(self.datasets, repeats)])

    def _join_classes(self, classes: List[str]) -> None:
        """Give all sets the same labels."""
        first = self.datasets[0]
        same = all((d.classes, d.category_ids) == (first.classes, first.category_ids) for d in self.datasets)
        if same and (not classes or tuple(classes) == first.classes):
            return
        other = next((d for d in self.datasets if not d.is_own), None)
        if other is not None:
            raise InputError(f'{other.NAME} ({other.ann_file}) and the sets beside it have different classes: only sets '
                             "of one's own are joined by names; COCO takes the classes of a video set by target=...")
        if not classes:
            for dataset in self.datasets[1:]:
                odd = sorted(set(dataset.classes) ^ set(first.classes))
                if odd:
                    raise InputError(f'{dataset.ann_file} and {first.ann_file} have different classes: {shown(odd)} '
                                     'are in one of them alone; if that is meant, name all by classes=[...] of JointDataset.')
        names = classes or list(first.classes)
        ids: Dict[str, Any] = {}
        for dataset in self.datasets:
            ids.update((name, number) for name, number in zip(dataset.classes, dataset.category_ids)
                       if name not in ids and number not in ids.values())
        for name in names:
            if not any(name in dataset.classes for dataset in self.datasets):
                raise InputError(f'JointDataset: the class {shown(name)} of classes is in none of the sets.')
        free = itertools.filterfalse(set(ids.values()).__contains__, itertools.count(1))
        numbers = [ids[name] if name in ids else next(free) for name in names]
        for dataset in self.datasets:
            dataset.take_classes(names, numbers)

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
