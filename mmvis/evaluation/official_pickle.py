"""The pickle that the original MaskTrackRCNN, SipMask and MemCNP test tools leave (``--out results.pkl``).

A list with one item per frame, videos and frames in the order of the dataset:
``(bbox_dict, segm_dict)`` with ``bbox_dict = {track_id: {'bbox': float32 [5] x1 y1 x2 y2 score, 'label': int}}`` and
``segm_dict = {track_id: {'size': [h, w], 'counts': bytes}}``; a frame without objects is ``({}, K empty lists)``.
"""
import math
import os
import pickle
from collections import Counter, defaultdict
from typing import IO, Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import InputError, of_user_path
from mmvis.records.journal import Piece
from mmvis.structures.input_file import check_regular_file
from mmvis.structures.plain_pickle import PlainUnpickler, as_bytes


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


class _Array(list):
    """The values of a NumPy array of numbers, in the order of its memory."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, number, fortran, data = state
        self[:] = np.frombuffer(as_bytes(data), number.dtype).tolist()


class _Unpickler(PlainUnpickler):
    """Lists of numbers and plain Python values. 3000 frames of 10 tracks, 21 MB, take 3.4 s instead of 0.9 s in C."""
    array = _Array
    others = {('builtins', 'list'): list}


def read(path: Union[str, os.PathLike]) -> List[Tuple[dict, Any]]:
    """Read such a pickle, ours or that of the original tools, without running what it may contain.

    Returns:
        As above, with lists in place of the arrays; every value that ``to_results`` uses is of its type.

    Raises:
        InputError: it cannot be read, is another pickle, or a frame of it is not as above; the frame is told.
    """
    check_regular_file(path, 'a pickle of results')
    with of_user_path(path, 'cannot be read'), open(path, 'rb') as file:
        try:
            frames = _Unpickler(file, encoding='latin1').load()
        except Exception as error:  # whatever a damaged pickle brings about
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reason = str(error)[:200].replace('\n', ' ') or type(error).__name__
            raise InputError(f'{path} is not a results pickle of the test tools ({reason}).') from error
    if not isinstance(frames, list) or not all(isinstance(frame, tuple) and len(frame) == 2 for frame in frames):
        raise InputError(f'{path} is not a results pickle: a list of (boxes, masks), one per frame, is expected.')
    for number, (boxes, segms) in enumerate(frames):
        odd = _odd_entry(boxes, segms)
        if odd is not None:
            raise InputError(f'{path}: frame {number} of all frames: {odd}.')
    return frames


def _odd_entry(boxes: Any, segms: Any) -> Optional[str]:
    """What in a frame is not as the test tools write it; None if all is."""
    if not isinstance(boxes, dict):
        return f'the boxes are a {type(boxes).__name__}, not a dict by track'
    if boxes and not isinstance(segms, dict):
        return f'the masks are a {type(segms).__name__}, not a dict by track'
    for track_id, item in boxes.items():
        box = item.get('bbox') if isinstance(item, dict) else None
        if type(track_id) is not int:
            return f'the track {str(track_id)[:40]} is no number'
        if not (isinstance(box, list) and len(box) == 5 and all(type(x) is float and math.isfinite(x) for x in box)):
            return f'track {track_id}: bbox is not x1 y1 x2 y2 score in an array of numbers'
        if type(item.get('label')) is not int:
            return f'track {track_id}: label is {str(item.get("label"))[:40]}, not a number'
        rle = segms.get(track_id)
        size, counts = (rle.get('size'), rle.get('counts')) if isinstance(rle, dict) else (None, None)
        if not (isinstance(size, (list, tuple)) and len(size) == 2 and all(type(x) is int for x in size)):
            return f'track {track_id}: the mask has no size [height, width]'
        if not isinstance(counts, (bytes, str)) or not counts.isascii():
            return f'track {track_id}: the counts of the mask are no run lengths'
    return None


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
            seen[track_id].append((float(item['bbox'][4]), item['label']))
            rle = segms[track_id]
            counts = rle['counts'].decode('ascii') if isinstance(rle['counts'], bytes) else rle['counts']
            masks[track_id][frame_idx] = {'size': list(rle['size']), 'counts': counts}
    entries = []
    for track_id, found in seen.items():
        votes = Counter(label for _, label in found)
        label = min(votes, key=lambda candidate: (-votes[candidate], candidate))
        if not 0 <= label < len(category_ids):
            raise InputError(f'The pickle has the label {label} (video {video_id}, track {track_id}), but the dataset has '
                             f'{len(category_ids)} classes.')
        entries.append({'video_id': video_id, 'score': float(np.mean([score for score, _ in found])),
                        'category_id': category_ids[label],
                        'segmentations': [masks[track_id].get(frame_idx) for frame_idx in range(len(frames))]})
    return entries
