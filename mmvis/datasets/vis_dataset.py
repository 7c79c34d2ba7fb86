"""The one dataset class: a YouTube-VIS annotation file and its frames, as training clips or as test chunks."""
import logging
import os
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset

from mmvis.annotations import AnnotationIndex, Outlines, VideoRecord, load_annotations, load_outlines
from mmvis.annotations.foreign import name_folder
from mmvis.errors import InputError, InputFileError, InputMissingError, of_user_path, shown
from mmvis.registry import DATASETS, TRANSFORMS

from .categories import OVIS, YTVIS_2019, YTVIS_2021, choose_classes, match_published
from .clip import Clip, ClipFrame, pack_chunk, pack_clip
from .images import read_frame
from .samplers import SampleKey
from .transforms import ClipCompose
from .trees import find_frames, find_tree, frame_below

#: How often a clip without any object is drawn anew before the dataset gives up.
_MAX_REDRAWS = 50


@DATASETS.register_module()
class VISDataset(Dataset):
    """A set in YouTube-VIS layout; its classes are those of the annotation file.

    Training (``test_mode=False``): item ``SampleKey(seed, epoch, index)`` (or an int: seed and epoch 0) is
    ``dict(inputs=uint8 [T, 3, height, width] BGR, data_samples=[T FrameSample])``; every random draw is a function of
    the three numbers. Test: item i is chunk i, ``dict(inputs=uint8 [T, 3, height, width] BGR, video=VideoInfo,
    frame_idx=int, is_last=bool)``; a chunk never crosses a video, ``frame_idx`` is its first frame.

    Args:
        split: 'train', 'valid' or 'test' (or another that the set has), to find files that are not named.
        data_root: see ``find_tree``; also tried in front of a relative ``ann_file`` or ``img_prefix``.
        ann_file: annotation file; found by ``split`` if ``None``.
        img_prefix: folder that the file names start from; found if ``None``.
        pipeline: transforms (configs or callables) from ``Clip`` to ``Clip``; loading and packing are not among them.
        clip: clip strategy of the training items (config or object), such as ``dict(type='KeyReferencePairs')``.
        box_mode: 'inclusive' (x2 = x + w - 1: MaskTrackRCNN, SipMask, MemCNP) or 'half_open' (x2 = x + w).
        test_mode: test chunks instead of training clips.
        chunk_size: frames in a test chunk.
        max_videos: keep the first so many videos.
        classes: names of the classes in label order, for a set of one's own; by default the file's table.
        redraw_empty: draw another item in place of a clip that ends without any object (after cropping).
        damaged_frames: 'stop' at a frame that is damaged, or 'use' it as far as it can be decoded; ``used_damaged``
            tells which were.

    Raises:
        FileNotFoundError, ValueError: one sentence naming file, video and field.
    """

    #: Name of the tree (``find_tree``), of the set, and its published category table.
    TREE: str = 'own'
    NAME: str = 'own data'
    PUBLISHED: Optional[Mapping[int, str]] = None

    def __init__(self, split: str = 'train', data_root: str = 'data', ann_file: Optional[str] = None,
                 img_prefix: Optional[str] = None, pipeline: Sequence = (), clip: Union[Dict, Any, None] = None,
                 box_mode: str = 'half_open', test_mode: bool = False, chunk_size: int = 1,
                 max_videos: Optional[int] = None, classes: Optional[Sequence[str]] = None,
                 redraw_empty: bool = False, damaged_frames: str = 'stop') -> None:
        if box_mode not in ('inclusive', 'half_open'):
            raise InputError(f"box_mode is 'inclusive' or 'half_open', not {box_mode!r}.")
        if damaged_frames not in ('stop', 'use'):
            raise InputError(f"damaged_frames is 'stop' or 'use', not {damaged_frames!r}.")
        if chunk_size < 1:
            raise InputError(f'chunk_size is a number of frames, not {chunk_size!r}.')
        self.inclusive = box_mode == 'inclusive'
        self.test_mode = test_mode
        self.redraw_empty = redraw_empty
        self.ann_file, self.img_prefix = self._find_files(split, data_root, ann_file, img_prefix)
        self.index: AnnotationIndex = load_annotations(self.ann_file, note=partial(print_log, logger='current'))
        self.has_annotations: bool = self.index.meta['has_annotations']
        self._set_classes(classes)
        if max_videos is not None and max_videos < 1:
            raise InputError(f'max_videos is {max_videos}: a whole number of at least 1, or None for all videos, is expected.')
        num_videos = len(self.index) if max_videos is None else min(max_videos, len(self.index))
        self.videos = _Videos(self.index, num_videos)
        self.video_ids: List[Union[int, str]] = self.index.meta['video_ids'][:num_videos]
        self.video_lengths: np.ndarray = np.diff(self.index.frame_ptr[:num_videos + 1])
        #: uint8 [frames of all videos]: 1 for those that are damaged and were used, here or in a worker process, with
        #: which it is shared; None with ``damaged_frames='stop'``.
        self.used_damaged: Optional[torch.Tensor] = None
        if damaged_frames == 'use':
            self.used_damaged = torch.zeros(int(self.index.frame_ptr[num_videos]), dtype=torch.uint8).share_memory_()
        self._check_folders()
        self.pipeline = ClipCompose(pipeline)
        #: Of files that have them, where a transform moves them: the memory of the masks many times over.
        self.outlines: Optional[Outlines] = None
        if self.pipeline.wants_polygons and not test_mode:
            self.outlines = load_outlines(self.ann_file, note=partial(print_log, logger='current'))
        self.clip = TRANSFORMS.build(clip) if isinstance(clip, dict) else clip
        if test_mode:
            self.chunk_size = chunk_size
            self._chunk_ptr = np.concatenate([[0], np.cumsum(-(-self.video_lengths // chunk_size))])
        else:
            self._set_training_items()

    # -- what is in the set --------------------------------------------------------------------------------------------

    @property
    def metainfo(self) -> Dict[str, Any]:
        """``classes`` and ``category_ids`` by label, ``name``, ``ann_file``, ``has_annotations``."""
        return dict(classes=self.classes, category_ids=self.category_ids, name=self.NAME, ann_file=self.ann_file,
                    has_annotations=self.has_annotations)

    def load_image(self, video_index: int, frame_idx: int) -> np.ndarray:
        """One frame, uint8 [h, w, 3] BGR.

        Raises:
            FileNotFoundError, ValueError: the frame is missing, cut short, damaged or of another size.
        """
        video = self.videos[video_index]

        def use(path: str, complaint: str) -> None:
            flag = self.index.frame_ptr[video_index] + frame_idx
            if not self.used_damaged[flag]:
                self.used_damaged[flag] = 1
                print_log(f'{self.ann_file}: video {shown(video.video_id)}: frame {path} {complaint}; it is used.',
                          logger='current', level=logging.WARNING)

        try:
            return read_frame(self.img_prefix, video.file_names[frame_idx], video.height, video.width,
                              None if self.used_damaged is None else use)
        except InputError as error:
            raise type(error)(f'{self.ann_file}: video {shown(video.video_id)}: {error}') from None

    def frame_path(self, frame: int) -> str:
        """The file of a frame, by its number in the frames of all videos."""
        video_index = int(np.searchsorted(self.index.frame_ptr, frame, side='right')) - 1
        names = self.videos[video_index].file_names
        return os.path.join(self.img_prefix, names[frame - int(self.index.frame_ptr[video_index])])

    def load_frame(self, video_index: int, frame_idx: int) -> ClipFrame:
        """One frame with the objects present in it."""
        index = self.index
        entries = index.entries(video_index, frame_idx)
        objects = index.entry_objects[entries]
        labels = self._label_of[index.object_categories[objects]]
        entries, objects, labels = (array[labels >= 0] for array in (entries, objects, labels))
        boxes = index.entry_boxes[entries]
        boxes[:, 2:] += boxes[:, :2] - (1 if self.inclusive else 0)
        polygons = None if self.outlines is None else list(map(self.outlines.parts, objects.tolist()))
        return ClipFrame(frame_idx, self.load_image(video_index, frame_idx), boxes, labels, index.object_ids[objects],
                         index.masks(video_index, entries), index.object_crowd[objects], polygons)

    # -- items ---------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self._chunk_ptr[-1]) if self.test_mode else len(self._items)

    def __getitem__(self, key: Union[int, SampleKey]) -> Dict[str, Any]:
        if self.test_mode:
            return self._test_item(int(key))
        key = key if isinstance(key, tuple) else SampleKey(0, 0, int(key))
        return self._training_item(key)

    def video_chunks(self, video_index: int) -> range:
        """The items (test mode) of one video."""
        return range(int(self._chunk_ptr[video_index]), int(self._chunk_ptr[video_index + 1]))

    def _training_item(self, key: SampleKey) -> Dict[str, Any]:
        rng = np.random.default_rng(tuple(key))
        index = key[2]
        for _ in range(_MAX_REDRAWS):
            clip = self.pipeline(self._load_clip(index, rng), rng)
            if not self.redraw_empty or any((~frame.crowd).any() for frame in clip.frames):
                return pack_clip(clip)
            index = int(rng.integers(len(self._items)))
        raise InputError(f'{self.ann_file}: {_MAX_REDRAWS} clips in a row have no object left after the pipeline.')

    def _load_clip(self, index: int, rng: np.random.Generator) -> Clip:
        video_index, key_frame = self._items[index].tolist()
        video = self.videos[video_index]
        frames = self.clip.draw(self._eligible_frames(video_index), video.num_frames, key_frame, rng)
        return Clip(video.video_id, video.num_frames, (video.height, video.width),
                    [self.load_frame(video_index, frame_idx) for frame_idx in frames], self.inclusive)

    def _test_item(self, chunk: int) -> Dict[str, Any]:
        if not 0 <= chunk < len(self):
            raise IndexError(f'chunk {chunk} of {len(self)}')
        video_index = int(np.searchsorted(self._chunk_ptr, chunk, side='right')) - 1
        video = self.videos[video_index]
        first = (chunk - int(self._chunk_ptr[video_index])) * self.chunk_size
        last = min(first + self.chunk_size, video.num_frames)
        return dict(self._load_chunk(video_index, first, last), frame_idx=first, is_last=last == video.num_frames)

    def image_reader(self, video_id: Union[int, str]) -> Callable[[int, int], Tensor]:
        """``images(first, end)`` of a video: the ``inputs`` of a test chunk of these frames."""
        video_index = self.video_ids.index(video_id)
        return lambda first, end: self._load_chunk(video_index, first, end)['inputs']

    def _load_chunk(self, video_index: int, first: int, end: int) -> Dict[str, Any]:
        video = self.videos[video_index]
        clip = Clip(video.video_id, video.num_frames, (video.height, video.width),
                    [ClipFrame(t, self.load_image(video_index, t)) for t in range(first, end)], self.inclusive)
        return pack_chunk(self.pipeline(clip, np.random.default_rng(0)))

    # -- construction --------------------------------------------------------------------------------------------------

    def _find_files(self, split: str, data_root: str, ann_file: Optional[str],
                    img_prefix: Optional[str]) -> Tuple[str, str]:
        if ann_file is None:
            tree = find_tree(self.TREE, split, data_root)
            print_log(tree.description, logger='current')
            return tree.ann_file, tree.img_prefix if img_prefix is None else _below(data_root, img_prefix)
        ann_file = _below(data_root, ann_file)
        if (sentence := name_folder(ann_file)) is not None:
            raise InputFileError(sentence)
        if not os.path.isfile(ann_file):
            raise InputMissingError(f'annotation file {ann_file} is missing (it is not below {data_root} either).')
        if img_prefix is not None:
            return ann_file, _below(data_root, img_prefix)
        beside = os.path.dirname(ann_file)
        stem = os.path.splitext(os.path.basename(ann_file))[0]
        for base in (beside, os.path.dirname(beside), data_root):
            for name in (stem, split):
                folder = find_frames(base, name, ann_file)
                if folder is not None:
                    return ann_file, folder
        load_annotations(ann_file)  # a file of another format has another sentence
        raise InputMissingError(f'{ann_file}: the folder of its frames was not found beside it; name it by img_prefix.')

    @classmethod
    def published_classes(cls, **config: Any) -> Optional[Mapping[int, str]]:
        """Category id -> name, in label order, of the set that a config describes; None where only its file tells."""
        return cls.PUBLISHED

    def _set_classes(self, classes: Optional[Sequence[str]]) -> None:
        table = [(category_id, name) for category_id, name in self.index.meta['categories']]
        if self.PUBLISHED is None:
            chosen = choose_classes(table, classes, self.ann_file)
        else:
            if classes is not None:
                raise InputError(f'{self.NAME} has its own classes: leave `classes` out, or use VISDataset.')
            match_published(table, self.PUBLISHED, self.NAME, self.ann_file)
            chosen = list(self.PUBLISHED.items())
        self.category_ids = tuple(category_id for category_id, _ in chosen)
        self.classes = tuple(name for _, name in chosen)
        labels = {category_id: label for label, category_id in enumerate(self.category_ids)}
        self._label_of = np.array([labels.get(category_id, -1) for category_id, _ in table], np.int64)

    @property
    def is_own(self) -> bool:
        """Whether the classes are those of the file alone, so that the set may be joined with others by their names."""
        return type(self) is VISDataset

    def take_classes(self, classes: Sequence[str], category_ids: Sequence[Union[int, str]]) -> None:
        """Take labels and ids of a list of names, of which the file need not have all; categories that it leaves out are
        not read any more."""
        labels = {name: label for label, name in enumerate(classes)}
        known = set(self.classes)
        self.classes, self.category_ids = tuple(classes), tuple(category_ids)
        self._label_of = np.array([labels.get(name, -1) if name in known else -1
                                   for _, name in self.index.meta['categories']], np.int64)
        if not self.test_mode:
            self._set_training_items()

    def _check_folders(self) -> None:
        """Every video must have its folder; one listing, since thousands of look-ups are slow on a network disk."""
        if not os.path.isdir(self.img_prefix):
            raise InputMissingError(f'{self.ann_file}: the image folder {self.img_prefix} is not there.')
        with of_user_path(self.img_prefix, 'cannot be listed'):
            present = set(os.listdir(self.img_prefix))
        for video in self.videos:
            where = f'{self.ann_file}: video {shown(video.video_id)}: file_names'
            for number, name in enumerate(video.file_names):
                if (number == 0 or os.path.isabs(name) or '..' in name) and frame_below(self.img_prefix, name) is None:
                    raise InputError(f'{where}: {shown(name)} is not in the image folder {self.img_prefix}.')
            folder, *below = frame_below(self.img_prefix, video.file_names[0]).split(os.sep)
            if folder not in present:
                raise InputMissingError(f'{where}: the {"folder" if below else "file"} '
                                        f'{os.path.join(self.img_prefix, folder)} is not there.')

    def _set_training_items(self) -> None:
        if not self.has_annotations:
            raise InputError(f"{self.ann_file}: the list 'annotations' is empty or missing, so there is nothing to "
                             'train on.')
        if self.clip is None:
            raise InputError("a training dataset needs a clip strategy, such as clip=dict(type='KeyReferencePairs').")
        index, objects = self.index, self.index.entry_objects
        self._is_eligible = self._find_eligible()
        eligible = [self._eligible_frames(video) for video in range(len(self.videos))]
        self._items = self.clip.items(eligible, self.video_lengths)
        if len(self._items) == 0:
            if len(objects) and index.object_crowd[objects].all():
                raise InputError(f'{self.ann_file}: all {len(np.unique(objects))} objects are crowds (iscrowd 1), so '
                                 'there is nothing to train on.')
            raise InputError(f'{self.ann_file}: no video has the annotated frames that {type(self.clip).__name__} '
                             'needs.')
        #: bool [len(self)]: wider than high, for batches of one orientation.
        self.landscape = (index.widths > index.heights)[self._items[:, 0]]

    def _find_eligible(self) -> np.ndarray:
        """Whether a training item may be made of a frame, bool [frames of all videos]: one with an object of the classes
        that is not a crowd."""
        index, objects = self.index, self.index.entry_objects
        frame_of_entry = np.repeat(np.arange(len(index.entry_ptr) - 1), np.diff(index.entry_ptr))
        usable = (self._label_of[index.object_categories[objects]] >= 0) & ~index.object_crowd[objects]
        eligible = np.zeros(len(index.entry_ptr) - 1, bool)
        eligible[frame_of_entry[usable]] = True
        return eligible

    def _eligible_frames(self, video_index: int) -> np.ndarray:
        first, last = self.index.frame_ptr[video_index:video_index + 2]
        return np.flatnonzero(self._is_eligible[first:last])


class _Videos(Sequence):
    """The first ``num`` videos of an annotation file; a record is made when it is asked for."""

    def __init__(self, index: AnnotationIndex, num: int) -> None:
        self._index, self._num = index, num

    def __len__(self) -> int:
        return self._num

    def __getitem__(self, video_index: int) -> VideoRecord:
        if not 0 <= video_index < self._num:
            raise IndexError(f'video {video_index} of {self._num}')
        return self._index.video(video_index)


def _below(data_root: str, path: str) -> str:
    """``path`` below ``data_root`` if it is there, else as it is."""
    below = os.path.join(data_root, path)
    return below if os.path.exists(below) else path


@DATASETS.register_module()
class YTVIS2019Dataset(VISDataset):
    """YouTube-VIS 2019, 40 classes (Yang et al., Video Instance Segmentation, ICCV 2019)."""
    TREE, NAME, PUBLISHED = 'ytvis2019', 'YouTube-VIS 2019', YTVIS_2019


@DATASETS.register_module()
class YTVIS2021Dataset(VISDataset):
    """YouTube-VIS 2021, 40 classes, another list than 2019."""
    TREE, NAME, PUBLISHED = 'ytvis2021', 'YouTube-VIS 2021', YTVIS_2021


@DATASETS.register_module()
class YTVIS2022Dataset(VISDataset):
    """YouTube-VIS 2022: classes and training set of 2021, longer videos for validation."""
    TREE, NAME, PUBLISHED = 'ytvis2022', 'YouTube-VIS 2022', YTVIS_2021


@DATASETS.register_module()
class OVISDataset(VISDataset):
    """OVIS, 25 classes (Qi et al., Occluded Video Instance Segmentation, IJCV 2022)."""
    TREE, NAME, PUBLISHED = 'ovis', 'OVIS', OVIS


@DATASETS.register_module()
class SampleDataset(VISDataset):
    """The sample set that ``tools/make_sample.py`` makes: splits 'train', 'valid' and 'long'."""
    TREE, NAME = 'sample', 'sample set'
