"""What a predictor says, in the forms of other libraries and formats."""
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from mmvis.errors import InputError
from mmvis.formats import FORMATS, LabeledVideo, Track, VideoSet
from mmvis.formats.tracks import mask_area
from mmvis.structures import RLE, FrameInstances, TrackVerdict, decode_rle


def to_supervision(instances: FrameInstances, classes: Optional[Sequence[str]] = None) -> Any:
    """The instances of a frame as ``supervision.Detections`` (``pip install supervision``).

    Args:
        classes: name of each label, for ``data['class_name']``; without them the label's number stands there.

    Returns:
        ``xyxy``, ``mask`` (bool [N, h, w], None where no instance has a pixel), ``confidence``, ``class_id``,
        ``tracker_id``.

    Raises:
        InputError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError:
        raise InputError('to_supervision needs the package supervision: pip install supervision') from None
    size = next((tuple(rle['size']) for rle in instances.masks if rle is not None), None)
    masks = None
    if size is not None:
        masks = np.zeros((len(instances), *size), bool)
        for mask, rle in zip(masks, instances.masks):
            if rle is not None:
                mask[:] = decode_rle(rle)
    return supervision.Detections(
        xyxy=instances.boxes.astype(np.float32), mask=masks, confidence=instances.scores.astype(np.float32),
        class_id=instances.labels.astype(int), tracker_id=instances.track_ids.astype(int),
        data={'class_name': np.array([_name(label, classes) for label in instances.labels.tolist()], dtype=object)
              .astype(str)})


def to_table(frames: Iterable[Union[FrameInstances, Tuple[int, FrameInstances]]],
             classes: Optional[Sequence[str]] = None) -> Any:
    """A row an instance and frame as a ``pandas.DataFrame`` (``pip install pandas``).

    Args:
        frames: of a video, or what ``VISPredictor.run`` yields.

    Returns:
        Columns ``frame``, ``track``, ``class``, ``score``, ``x1``, ``y1``, ``x2``, ``y2`` and ``area`` (pixels).

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise InputError('to_table needs the package pandas: pip install pandas') from None
    rows = []
    for frame in map(_frame, frames):
        for i in range(len(frame)):
            rle = frame.masks[i]
            area = 0 if rle is None else mask_area(rle)
            rows.append((frame.frame_idx, int(frame.track_ids[i]), _name(int(frame.labels[i]), classes),
                         float(frame.scores[i]), *frame.boxes[i].tolist(), area))
    return pandas.DataFrame(rows, columns=['frame', 'track', 'class', 'score', 'x1', 'y1', 'x2', 'y2', 'area'])


def write_tracks(frames: Iterable[Union[FrameInstances, Tuple[int, FrameInstances]]], tracks: Sequence[TrackVerdict],
                 classes: Sequence[str], size: Tuple[int, int], out: Union[str, os.PathLike], form: str = 'coco',
                 name: str = 'video', file_names: Sequence[str] = ()) -> List[str]:
    """Write a video in a format of annotations, to be looked at or corrected elsewhere.

    Args:
        frames: all of the video, or what ``VISPredictor.run`` yields.
        tracks: ``VISPredictor.tracks``; others are left out.
        size: (h, w) of the frames.
        out: a file (coco, ytvis, cvat ending in .xml) or a folder (mots, davis, labelme).
        form: a format of ``tools/convert_annotations.py``.
        file_names: of the frames; made up as ``<name>/000000.jpg`` where they are not given.

    Returns:
        Sentences on what the format cannot hold.
    """
    masks: Dict[int, Dict[int, RLE]] = defaultdict(dict)
    num_frames = 0
    for frame in map(_frame, frames):
        num_frames += 1
        for track_id, rle in zip(frame.track_ids.tolist(), frame.masks):
            if rle is not None:
                masks[track_id][frame.frame_idx] = rle
    names = list(file_names) or [f'{name}/{number:06d}.jpg' for number in range(num_frames)]
    found = [Track(track.track_id, classes[track.label], masks[track.track_id], score=track.score) for track in tracks
             if masks[track.track_id]]
    categories: Dict[str, Union[int, str]] = {text: number for number, text in enumerate(classes, start=1)}
    videos = VideoSet(None, [LabeledVideo(name, *size, names, found)], categories)
    return FORMATS[form].write(videos, Path(out))


def _frame(item: Union[FrameInstances, Tuple[int, FrameInstances]]) -> FrameInstances:
    return item[1] if isinstance(item, tuple) else item


def _name(label: int, classes: Optional[Sequence[str]]) -> str:
    return classes[label] if classes is not None and label < len(classes) else str(label)
