"""COCO images as videos of one frame: for pre-training on images, and as pseudo-clips beside real ones."""
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import numpy as np

from mmvis.errors import InputError
from mmvis.registry import DATASETS

from .categories import match_published
from .coco_categories import COCO, find_category_map
from .vis_dataset import VISDataset


@DATASETS.register_module()
class COCOClipsDataset(VISDataset):
    """COCO 2017 instances; every image is a video of one frame, its id the video's.

    Training items are images with an object that is not a crowd, or all images. A pipeline that begins with ``ClipRepeat`` makes
    pseudo-clips of them.

    Args:
        target: 'ytvis2019', 'ytvis2021' or 'ovis': classes and category ids are those of that set, and only the
            categories with a counterpart are read (no side file is needed). ``None``: COCO's own 80 classes.
        category_map: 'fixed', 'official', InstanceFormer's published tables with their slips, or 'videomt', those of
            VidEoMT.
        max_objects: leave out images with more objects (of the categories read, crowds not counted).
        keep_empty: train on images without an object, too (IFC).
        clip: as for ``VISDataset``; by default the image itself.
        **kwargs: of ``VISDataset``.
    """
    TREE, NAME = 'coco', 'COCO 2017'

    def __init__(self, *args: Any, target: Optional[str] = None, category_map: str = 'fixed',
                 max_objects: Optional[int] = None, keep_empty: bool = False, clip: Union[Dict, Any, None] = None,
                 **kwargs: Any) -> None:
        self.target, self._category_map, self._max_objects = target, category_map, max_objects
        self._keep_empty = keep_empty
        super().__init__(*args, clip=dict(type='SingleFrames') if clip is None else clip, **kwargs)

    @classmethod
    def published_classes(cls, target: Optional[str] = None, category_map: str = 'fixed', **config: Any
                          ) -> Mapping[int, str]:
        """COCO's own 80 classes, or those of ``target``."""
        return COCO if target is None else find_category_map(target, category_map)[0]

    def _set_classes(self, classes: Optional[Sequence[str]]) -> None:
        if classes is not None:
            raise InputError('COCO has its own classes, or those of `target`: leave `classes` out.')
        table = [(category_id, name) for category_id, name in self.index.meta['categories']]
        try:
            match_published(table, COCO, self.NAME, self.ann_file)
        except InputError as error:
            raise InputError(f"{error} Images of one's own with classes of their own are read by type='VISDataset' with "
                             "clip=dict(type='SingleFrames').") from None
        chosen = self.published_classes(self.target, self._category_map)
        id_of: Mapping[int, int] = {category_id: category_id for category_id in COCO}
        if self.target is not None:
            id_of = find_category_map(self.target, self._category_map)[1]
        self.category_ids, self.classes = tuple(chosen), tuple(chosen.values())
        labels = {category_id: label for label, category_id in enumerate(self.category_ids)}
        self._label_of = np.array([labels.get(id_of.get(category_id), -1) for category_id, _ in table], np.int64)

    def _find_eligible(self) -> np.ndarray:
        eligible = super()._find_eligible()
        return np.ones_like(eligible) if self._keep_empty else eligible

    def _set_training_items(self) -> None:
        super()._set_training_items()
        if self._max_objects is None:
            return
        index = self.index
        counted = (self._label_of[index.object_categories] >= 0) & ~index.object_crowd
        total = np.concatenate([[0], np.cumsum(counted[index.entry_objects])])
        keep = np.diff(total[index.entry_ptr])[self._items[:, 0]] <= self._max_objects    # a frame an image
        if not keep.any():
            raise InputError(f'{self.ann_file}: no image has at most max_objects={self._max_objects} objects.')
        self._items, self.landscape = self._items[keep], self.landscape[keep]
