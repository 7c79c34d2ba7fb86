"""Entries of a results file, made of what a journal holds."""
import json
from array import array
from json.encoder import encode_basestring_ascii
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from mmvis.structures import RLE, VideoResult, VideoTrack, encode_mask, with_empty_masks

from .journal import Piece, VideoId


def read_video(piece: Piece, video_id: VideoId) -> VideoResult:
    """A finished video, read back."""
    head, verdicts, masks = _tracks_of(piece)
    size, num_frames, tracks = head['size'], head['num_frames'], []
    for track_id, label, score, born in verdicts:
        own = {frame: RLE(size=size, counts=counts) for frame, counts in masks[track_id].items()}
        tracks.append(VideoTrack(track_id, label, score, with_empty_masks(own, born, num_frames, size)))
    return VideoResult(video_id, num_frames, tracks)


def entry_texts(piece: Piece, category_ids: Sequence[int]) -> Iterator[Iterator[str]]:
    """The entries of a video as JSON text in small parts: what ``json.dump`` of the list would write.

    Args:
        category_ids: category id of the annotation file of each label.
    """
    head, verdicts, masks = _tracks_of(piece)
    video_id, size = json.dumps(head['start']), json.dumps(head['size'])
    empty = encode_mask(np.zeros(head['size'], np.uint8))['counts']
    for track_id, label, score, born in verdicts:
        by_frame = {} if born is None else dict.fromkeys(range(born, head['num_frames']), empty)
        by_frame.update(masks[track_id].items())
        yield _entry(video_id, score, category_ids[label], size, head['num_frames'], by_frame)


def _entry(video_id: str, score: float, category_id: int, size: str, num_frames: int, masks: Dict[int, str]
           ) -> Iterator[str]:
    yield (f'{{"video_id": {video_id}, "score": {score!r}, "category_id": {json.dumps(category_id)}, '
           f'"segmentations": [')
    for frame in range(num_frames):
        counts = masks.get(frame)
        rle = 'null' if counts is None else f'{{"size": {size}, "counts": {encode_basestring_ascii(counts)}}}'
        yield f', {rle}' if frame else rle
    yield ']}'


class _TrackMasks:
    """The masks of one track: 61 bytes and the counts a mask, half of what a dict takes."""

    def __init__(self) -> None:
        self.frames, self.counts = array('l'), []

    def add(self, frame: int, counts: str) -> None:
        self.frames.append(frame)
        self.counts.append(counts)

    def items(self) -> Iterator[Tuple[int, str]]:
        return zip(self.frames, self.counts)


def _tracks_of(piece: Piece) -> Tuple[Dict[str, Any], List[tuple], Dict[int, _TrackMasks]]:
    """Start record (with the final ``num_frames``), verdicts (track_id, label, score, born), masks by track id."""
    masks: Dict[int, _TrackMasks] = {}
    for record in piece.lines():
        if 'start' in record:
            head = record
        elif 'end' in record:
            head['num_frames'] = record['num_frames']
            verdicts = record['tracks']
        else:
            for track_id, counts in zip(record['ids'], record['counts']):
                if counts is not None:
                    masks.setdefault(track_id, _TrackMasks()).add(record['frame'], counts)
    for track_id, *_ in verdicts:
        masks.setdefault(track_id, _TrackMasks())
    return head, verdicts, masks
