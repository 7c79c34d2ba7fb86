"""The annotation file of a set as flat arrays, frame by frame.

A YouTube-VIS file holds some hundred thousand masks. As Python objects they would be copied into every worker process
(touching an object changes its reference count, which un-shares the page); as a few long arrays they are shared by
forked workers, and mapped from a kept copy also by spawned ones.
"""
import logging
import os
from dataclasses import dataclass, fields
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import InputError
from mmvis.structures.rle_decode import counts_string

from .kept import Note, open_kept, read_kept
from .reader import Content, Id, read_content

#: Raised when the meaning of the arrays changes, so that older copies are not used.
_FORMAT = 1


@dataclass(frozen=True)
class VideoRecord:
    """One video of the annotation file; sizes in pixels, ``file_names`` below the image folder in order of time."""
    video_id: Id
    height: int
    width: int
    num_frames: int
    file_names: Tuple[str, ...]


@dataclass
class AnnotationIndex:
    """All videos, categories and objects of one annotation file.

    A frame is numbered through the whole file: frame t of video v is number ``frame_ptr[v] + t``. An entry is one
    object in one frame in which it is valid (area above 0, a box of at least one pixel in width and height that reaches
    into the frame, a mask of at least one pixel); the entries of frame f are ``entry_ptr[f] : entry_ptr[f + 1]``, in the
    order of the file.

    Attributes:
        meta: ``ann_file``, ``video_ids`` (V), ``categories`` (list of [id, name] in the order of the file),
            ``has_annotations``.
        heights, widths: int32 [V].
        frame_ptr: int64 [V + 1].
        name_ptr, name_bytes: int64 [F + 1] and uint8, the file names in UTF-8 (those of a system that is not: its
            bytes).
        object_ids: int64 [A], annotation ids (positions where one of them is a text or too large);
            object_categories: int32 [A], positions in ``categories``;
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
        names = tuple(text[a - ptr[0]:b - ptr[0]].decode('utf-8', 'surrogateescape') for a, b in zip(ptr[:-1], ptr[1:]))
        return VideoRecord(self.meta['video_ids'][index], int(self.heights[index]), int(self.widths[index]),
                           int(last - first), names)

    def entries(self, video: int, frame_idx: int) -> np.ndarray:
        """Entry numbers, int64 [N], of one frame."""
        frame = self.frame_ptr[video] + frame_idx
        return np.arange(self.entry_ptr[frame], self.entry_ptr[frame + 1])

    def masks(self, video: int, entries: Sequence[int]) -> np.ndarray:
        """Binary masks uint8 [N, h, w] of entries of one video."""
        size = [int(self.heights[video]), int(self.widths[video])]
        masks = np.zeros((len(entries), *size), np.uint8)
        for mask, entry in zip(masks, entries):
            counts = self.mask_bytes[self.mask_ptr[entry]:self.mask_ptr[entry + 1]].tobytes()
            mask[:] = coco_mask.decode({'size': size, 'counts': counts})
        return masks


def load_annotations(ann_file: str, note: Note = logging.getLogger(__name__).info) -> AnnotationIndex:
    """The arrays of an annotation file, from the kept copy if there is one.

    Args:
        note: takes a sentence on what is going on, while a large file is read for the first time.

    Raises:
        InputError: there is no such file, or it is no annotation file; one sentence names file, record, field and value.
    """
    ann_file = os.path.abspath(ann_file)
    kept = read_kept(ann_file, f'index{_FORMAT}', lambda data: _as_arrays(read_content(data, ann_file)), note)
    return _make_index(ann_file, *kept)


def _reopen(ann_file: str, key: str) -> AnnotationIndex:
    kept = open_kept(key)
    if kept is not None:
        return _make_index(ann_file, *kept)
    index = load_annotations(ann_file)
    if index.cache_key not in ('', key):
        raise InputError(f'annotation file {ann_file} has changed since the data set was made.')
    return index


def _make_index(ann_file: str, meta: Dict[str, Any], arrays: Dict[str, np.ndarray], key: str) -> AnnotationIndex:
    return AnnotationIndex(meta=dict(meta, ann_file=ann_file), cache_key=key, **arrays)


def _as_arrays(content: Content) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """``meta`` and the arrays of ``AnnotationIndex``."""
    videos = content.videos
    for video in videos:
        if video.file_names is None:
            raise InputError(f"{content.path}: {content.format.video} {video.video_id!r} has no "
                             f"'{content.format.file_names}'.")
    meta = dict(video_ids=[video.video_id for video in videos], categories=[list(row) for row in content.categories],
                has_annotations=bool(content.object_ids))
    names = [name.encode('utf-8', 'surrogateescape') for video in videos for name in video.file_names]
    frame_ptr = _pointers([video.num_frames for video in videos], len(videos))
    arrays = dict(
        heights=np.array([video.height for video in videos], np.int32),
        widths=np.array([video.width for video in videos], np.int32), frame_ptr=frame_ptr,
        name_ptr=_pointers(map(len, names), len(names)), name_bytes=np.frombuffer(b''.join(names), np.uint8),
        object_ids=_object_ids(content.object_ids), object_crowd=content.object_crowd == 1,
        object_categories=content.object_categories.astype(np.int32))
    arrays.update(_entry_arrays(content, frame_ptr))
    return meta, arrays


def _entry_arrays(content: Content, frame_ptr: np.ndarray) -> Dict[str, np.ndarray]:
    owners = content.item_objects
    boxes, is_valid = _clip_boxes(content, owners)
    is_valid &= ~(content.areas <= 0)
    entries = np.flatnonzero(is_valid)
    # The frame of an item, numbered through the whole file.
    frames = (frame_ptr[content.object_videos] - content.first[:-1])[owners[entries]] + entries
    order = np.argsort(frames, kind='stable')
    entries, frames, owners = entries[order], frames[order], owners[entries[order]]
    masks = [counts_string(content.masks[i], *content.videos[content.object_videos[a]][1:3])
             for i, a in zip(entries.tolist(), owners.tolist())]
    num_frames = int(frame_ptr[-1])
    return dict(entry_ptr=_pointers(np.bincount(frames, minlength=num_frames), num_frames),
                entry_objects=owners.astype(np.int32), entry_boxes=boxes[entries].astype(np.float32),
                mask_ptr=_pointers(map(len, masks), len(masks)), mask_bytes=np.frombuffer(b''.join(masks), np.uint8))


def _clip_boxes(content: Content, owners: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Boxes, float64 [N, 4], x y w h, and where they and their masks are valid, bool [N].

    Where the file has no boxes they are those of the masks. A box is cut at the frame only if it would not be exact in
    float32 otherwise.
    """
    has_mask = np.array([mask is not None for mask in content.masks], bool)
    boxes = content.boxes.copy()
    for i in np.flatnonzero(~content.has_boxes[owners] & has_mask):
        video = content.videos[content.object_videos[owners[i]]]
        counts = counts_string(content.masks[i], video.height, video.width)
        boxes[i] = coco_mask.toBbox({'size': [video.height, video.width], 'counts': counts})
    sizes = np.array([[video.width, video.height] for video in content.videos])[content.object_videos[owners]]
    with np.errstate(invalid='ignore', over='ignore'):
        low, high = np.clip(boxes[:, :2], 0, sizes), np.clip(boxes[:, :2] + boxes[:, 2:], 0, sizes)
        is_valid = has_mask & (boxes[:, 2:] >= 1).all(1) & (high > low).all(1)
        far = (np.abs(boxes) > 1 << 24).any(1)
    boxes[far] = np.concatenate([low[far], (high - low)[far]], 1)
    return boxes, is_valid


def _object_ids(ids: List[Id]) -> np.ndarray:
    if all(isinstance(value, int) and -1 << 63 <= value < 1 << 63 for value in ids):
        return np.array(ids, np.int64)
    return np.arange(len(ids), dtype=np.int64)


def _pointers(lengths: Iterable[int], num: int) -> np.ndarray:
    """Where each of ``num`` pieces starts in their concatenation, int64 [num + 1]."""
    pointers = np.zeros(num + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, num), out=pointers[1:])
    return pointers
