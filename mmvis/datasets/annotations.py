"""The annotation file of a set as flat arrays.

A YouTube-VIS file holds some hundred thousand masks. As Python objects they would be copied into every worker process
(touching an object changes its reference count, which un-shares the page); as a few long arrays they are shared by
forked workers, and mapped from a cache file also by spawned ones.
"""
import gc
import hashlib
import json
import os
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import print_log
from pycocotools import mask as coco_mask

from mmvis.errors import InputError, InputMissingError
from mmvis.structures.array_cache import cache_folder, load_arrays, save_arrays

from .annotation_reader import read_annotations

#: Raised when the meaning of the arrays changes, so that older cache files are not used.
_FORMAT = 1
#: A smaller file is read anew in less time than a cache costs.
MIN_CACHED_BYTES = 4 << 20


@dataclass(frozen=True)
class VideoRecord:
    """One video of the annotation file; sizes in pixels, ``file_names`` below the image folder in order of time."""
    video_id: Union[int, str]
    height: int
    width: int
    num_frames: int
    file_names: Tuple[str, ...]


@dataclass
class AnnotationIndex:
    """All videos, categories and objects of one annotation file.

    A frame is numbered through the whole file: frame t of video v is number ``frame_ptr[v] + t``. An entry is one
    object in one frame in which it is valid (box not null, area > 0, at least one pixel wide and high, mask not null);
    the entries of frame f are ``entry_ptr[f] : entry_ptr[f + 1]``, in the order of the file.

    Attributes:
        meta: ``ann_file``, ``video_ids`` (V), ``categories`` (list of [id, name] in the order of the file),
            ``has_annotations``.
        heights, widths: int32 [V].
        frame_ptr: int64 [V + 1].
        name_ptr, name_bytes: int64 [F + 1] and uint8, the file names in UTF-8.
        object_ids: int64 [A], annotation ids; object_categories: int32 [A], positions in ``categories``;
            object_crowd: bool [A].
        entry_ptr: int64 [F + 1].
        entry_objects: int32 [E]; entry_boxes: float32 [E, 4], x y w h in pixels of the original frame.
        mask_ptr, mask_bytes: int64 [E + 1] and uint8, compressed RLEs.
    """
    meta: Dict[str, Any]
    heights: np.ndarray
    widths: np.ndarray
    frame_ptr: np.ndarray
    name_ptr: np.ndarray
    name_bytes: np.ndarray
    object_ids: np.ndarray
    object_categories: np.ndarray
    object_crowd: np.ndarray
    entry_ptr: np.ndarray
    entry_objects: np.ndarray
    entry_boxes: np.ndarray
    mask_ptr: np.ndarray
    mask_bytes: np.ndarray
    cache_key: str = ''

    def __len__(self) -> int:
        return len(self.heights)

    def __reduce__(self):
        # A spawned worker maps the cache file again instead of receiving a copy of the arrays.
        if self.cache_key:
            return _reopen, (self.meta['ann_file'], self.cache_key)
        return AnnotationIndex, tuple(getattr(self, field.name) for field in fields(self))

    def video(self, index: int) -> VideoRecord:
        first, last = self.frame_ptr[index], self.frame_ptr[index + 1]
        ptr = self.name_ptr[first:last + 1]
        text = self.name_bytes[ptr[0]:ptr[-1]].tobytes()
        names = tuple(text[a - ptr[0]:b - ptr[0]].decode() for a, b in zip(ptr[:-1], ptr[1:]))
        return VideoRecord(self.meta['video_ids'][index], int(self.heights[index]), int(self.widths[index]),
                           int(last - first), names)

    def entries(self, video: int, frame_idx: int) -> np.ndarray:
        """Entry numbers, int64 [N], of one frame."""
        frame = self.frame_ptr[video] + frame_idx
        return np.arange(self.entry_ptr[frame], self.entry_ptr[frame + 1])

    def masks(self, video: int, entries: Sequence[int]) -> np.ndarray:
        """Binary masks uint8 [N, h, w] of entries of one video.

        Raises:
            ValueError: a compressed mask is damaged.
        """
        size = [int(self.heights[video]), int(self.widths[video])]
        masks = np.zeros((len(entries), *size), np.uint8)
        for mask, entry in zip(masks, entries):
            counts = self.mask_bytes[self.mask_ptr[entry]:self.mask_ptr[entry + 1]].tobytes()
            try:
                mask[:] = coco_mask.decode({'size': size, 'counts': counts})
            except ValueError:
                raise InputError(
                    f"{self.meta['ann_file']}: video {self.meta['video_ids'][video]}: annotation "
                    f'{self.object_ids[self.entry_objects[entry]]}: a mask of segmentations is damaged.') from None
        return masks


def load_annotations(ann_file: str) -> AnnotationIndex:
    """The arrays of an annotation file, from the cache where it is up to date.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a YouTube-VIS annotation file; one sentence names file, video and field.
    """
    ann_file = os.path.abspath(ann_file)
    if not os.path.isfile(ann_file):
        raise InputMissingError(f'annotation file {ann_file} is missing.')
    stat = os.stat(ann_file)
    key = f'{_FORMAT} {ann_file} {stat.st_size} {stat.st_mtime_ns}'
    folder = cache_folder() if stat.st_size >= MIN_CACHED_BYTES else None
    cache_file = folder and os.path.join(folder, hashlib.sha256(ann_file.encode()).hexdigest()[:24] + '.arrays')
    if cache_file:
        found = load_arrays(cache_file, key)
        if found:
            return AnnotationIndex(meta=found[0], cache_key=key, **found[1])
        print_log(f'reading {ann_file} ({stat.st_size >> 20} MB) for the first time; its arrays are kept in {folder}',
                  logger='current')
    meta, arrays = read_annotations(_read_json(ann_file), ann_file)
    if cache_file:
        try:
            save_arrays(cache_file, key, meta, arrays)
            found = load_arrays(cache_file, key)
        except OSError as error:
            print_log(f'the arrays of {ann_file} could not be kept: {error}', logger='current')
        if found:
            return AnnotationIndex(meta=found[0], cache_key=key, **found[1])
    return AnnotationIndex(meta=meta, **arrays)


def _reopen(ann_file: str, key: str) -> AnnotationIndex:
    index = load_annotations(ann_file)
    if index.cache_key not in ('', key):
        raise InputError(f'annotation file {ann_file} has changed since the data set was made.')
    return index


def _read_json(ann_file: str) -> Union[Dict, List]:
    # Millions of small objects without a cycle among them: the collector would only walk them over and over.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with open(ann_file, encoding='utf-8') as file:
            return json.load(file)
    except ValueError as error:
        raise InputError(f'annotation file {ann_file} is not valid JSON: {error}.') from None
    finally:
        if was_enabled:
            gc.enable()
