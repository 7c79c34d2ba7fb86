"""The pickle that the original MaskTrackRCNN, SipMask and MemCNP test tools leave (``--out results.pkl``).

A list with one item per frame, videos and frames in the order of the dataset:
``(bbox_dict, segm_dict)`` with ``bbox_dict = {track_id: {'bbox': float32 [5] x1 y1 x2 y2 score, 'label': int}}`` and
``segm_dict = {track_id: {'size': [h, w], 'counts': bytes}}``; a frame without objects is ``({}, K empty lists)``.
"""
import os
import pickle
from collections import Counter, defaultdict
from typing import IO, Any, Dict, Iterable, Iterator, List, Sequence, Tuple, Union

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import InputError, of_user_path

from .journal import Piece


class _Stream(list):
    """Pickles as a plain list whose items are made one at a time."""

    def __init__(self, items: Iterator) -> None:
        super().__init__()
        self._items = items

    def __reduce__(self):
        return list, (), None, self._items


def write(file: IO[bytes], videos: Iterable[Piece], num_classes: int) -> None:
    """Write the pickle of the videos of a journal, holding one frame at a time."""
    pickler = pickle.Pickler(file, protocol=4)
    pickler.fast = True  # no memo, which would keep every frame in memory
    pickler.dump(_Stream(frame for video in videos for frame in _frames(video, num_classes)))


def _frames(video: Piece, num_classes: int) -> Iterator[Tuple[dict, Any]]:
    size = next(video.lines())['size']
    no_pixel = coco_mask.encode(np.zeros(size, np.uint8, order='F'))['counts']
    for record in video.frames():
        if record is None or not record['ids']:
            yield {}, [[] for _ in range(num_classes)]
            continue
        rows = zip(record['ids'], record['boxes'], record['scores'], record['labels'])
        yield ({i: {'bbox': np.array([*box, score], np.float32), 'label': label} for i, box, score, label in rows},
               {i: {'size': size, 'counts': no_pixel if counts is None else counts.encode('ascii')}
                for i, counts in zip(record['ids'], record['counts'])})


class _ArraysOnly(pickle.Unpickler):
    """A pickle can run any program when it is read; this one makes arrays and plain Python values only."""
    _modules = ('numpy', 'numpy.core.multiarray', 'numpy._core.multiarray')
    _names = ('ndarray', 'dtype', '_reconstruct', 'scalar')
    _builtins = (('builtins', 'list'), ('_codecs', 'encode'))

    def find_class(self, module: str, name: str) -> Any:
        if (module in self._modules and name in self._names) or (module, name) in self._builtins:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def read(path: Union[str, os.PathLike]) -> List[Tuple[dict, Any]]:
    """Read such a pickle, ours or that of the original tools, without running what it may contain."""
    try:
        with of_user_path(path, 'cannot be read'), open(path, 'rb') as file:
            frames = _ArraysOnly(file, encoding='latin1').load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, UnicodeDecodeError) as error:
        raise InputError(f'{path} is not a results pickle of the test tools ({error}).') from error
    if not isinstance(frames, list) or not all(isinstance(frame, tuple) and len(frame) == 2 for frame in frames):
        raise InputError(f'{path} is not a results pickle: a list of (boxes, masks), one per frame, is expected.')
    return frames


def to_results(frames: Sequence[Tuple[dict, Any]], videos: Sequence[Tuple[Any, int]],
               category_ids: Sequence[int]) -> List[Dict[str, Any]]:
    """Entries of a results file, by the rule of the original tools: mean of the frame scores, most frequent label.

    Args:
        frames: content of the pickle.
        videos: (video_id, num_frames) in the order of the dataset.
        category_ids: category id of each label.
    """
    total = sum(num_frames for _, num_frames in videos)
    if len(frames) != total:
        raise InputError(f'The pickle has {len(frames)} frames, but the videos of the dataset have {total}.')
    entries, first = [], 0
    for video_id, num_frames in videos:
        entries += _video_entries(video_id, frames[first:first + num_frames], category_ids)
        first += num_frames
    return entries


def _video_entries(video_id: Any, frames: Sequence[Tuple[dict, Any]], category_ids: Sequence[int]) -> List[dict]:
    seen: Dict[int, List[Tuple[float, int]]] = defaultdict(list)
    masks: Dict[int, Dict[int, dict]] = defaultdict(dict)
    for frame_idx, (boxes, segms) in enumerate(frames):
        for track_id, item in boxes.items():
            seen[track_id].append((float(item['bbox'][4]), int(item['label'])))
            rle = segms[track_id]
            counts = rle['counts'].decode('ascii') if isinstance(rle['counts'], bytes) else rle['counts']
            masks[track_id][frame_idx] = {'size': [int(x) for x in rle['size']], 'counts': counts}
    entries = []
    for track_id, found in seen.items():
        votes = Counter(label for _, label in found)
        label = min(votes, key=lambda candidate: (-votes[candidate], candidate))
        entries.append({'video_id': video_id, 'score': float(np.mean([score for score, _ in found])),
                        'category_id': category_ids[label],
                        'segmentations': [masks[track_id].get(frame_idx) for frame_idx in range(len(frames))]})
    return entries
