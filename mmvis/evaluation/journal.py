"""The journal of a test run: every frame's result leaves the process as a line of JSON, so that a killed run can go on.

One file a process, ``<output>.part.<rank>``. Its first line names the run; then, video after video::

    {"start": video_id, "size": [h, w], "num_frames": T}
    {"frame": frame_idx, "ids": [..], "labels": [..], "scores": [..], "boxes": [[x1, y1, x2, y2], ..], "counts": [..]}
    ...
    {"end": video_id, "num_frames": T, "tracks": [[track_id, label, score, born], ..]}

A process works on one video at a time, so a video is one piece of one file; a piece without its end line (the process
was killed there) is as if it were not there.
"""
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

try:
    import fcntl
except ImportError:  # Windows: two runs into one file are not noticed there
    fcntl = None

from mmvis.errors import InputError
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

VideoId = Union[int, str]
_FORMAT = 2
_PATIENCE = 15.  # seconds to wait for a lock


@dataclass(frozen=True)
class Piece:
    """Where the lines of a finished video stand: a file and the byte offset of the start line."""
    path: Path
    offset: int

    def lines(self) -> Iterator[Dict[str, Any]]:
        """The records of the video, from its start line to its end line."""
        with open(self.path, 'rb') as file:
            file.seek(self.offset)
            for line in file:
                record = json.loads(line)
                yield record
                if 'end' in record:
                    return

    def frames(self) -> Iterator[Optional[Dict[str, Any]]]:
        """The record of every frame in order of time, one in memory at a time; None for a frame not given."""
        offsets: Dict[int, int] = {}
        with open(self.path, 'rb') as file:
            file.seek(self.offset)
            position = self.offset
            for line in file:
                if line.startswith(b'{"end"'):
                    num_frames = json.loads(line)['num_frames']
                    break
                # '{"frame": 12, "ids": ...': the number alone is wanted of a line that may be long
                if line.startswith(b'{"frame"'):
                    offsets[int(line[len(b'{"frame":'):line.index(b',')])] = position
                position += len(line)
            for frame_idx in range(num_frames):
                if frame_idx not in offsets:
                    yield None
                    continue
                file.seek(offsets[frame_idx])
                yield json.loads(file.readline())


class Journal:
    """The journal of one process, open for appending.

    Args:
        path: file; what it holds already is kept.
        run: JSON-able description of the run, written as the first line of a new file.
    """

    def __init__(self, path: Path, run: Dict[str, Any]) -> None:
        self.path = path
        # Unbuffered: a line is one write, so a full disk or a kill tears at most the last line.
        self._file = open(path, 'ab', buffering=0)
        _lock(self._file, path)
        self._video: Optional[VideoInfo] = None
        self._offset = self._last_frame = 0
        if self._file.tell() == 0:
            self._write({'format': _FORMAT, 'run': run})

    def start(self, video: VideoInfo) -> None:
        self._video, self._offset, self._last_frame = video, self._file.tell(), -1
        self._write({'start': video.video_id, 'size': list(video.ori_shape), 'num_frames': video.num_frames})

    def add(self, frame: FrameInstances) -> None:
        """Write one frame of the started video. Frames may come in any order."""
        self._last_frame = max(self._last_frame, frame.frame_idx)
        size = list(self._video.ori_shape)
        for rle in frame.masks:
            if rle is not None and list(rle['size']) != size:
                raise InputError(f'video {self._video.video_id}, frame {frame.frame_idx}: a mask of size '
                                 f'{list(rle["size"])}, but the frames of the video are {size} (h, w).')
        self._write({'frame': frame.frame_idx, 'ids': frame.track_ids.tolist(), 'labels': frame.labels.tolist(),
                     'scores': frame.scores.tolist(), 'boxes': frame.boxes.tolist(),
                     'counts': [None if rle is None else rle['counts'] for rle in frame.masks]})

    def end(self, scores: Sequence[TrackScore]) -> Piece:
        """Close the started video with the verdicts on its tracks, in the order of the results file."""
        video, tracks = self._video, []
        for verdict in scores:
            if not math.isfinite(verdict.score):
                raise InputError(f'video {video.video_id}: track {verdict.track_id} has the score {verdict.score}; '
                                 f'a results file can hold finite scores only.')
            tracks.append([int(verdict.track_id), int(verdict.label), float(verdict.score), verdict.born])
        num_frames = self._last_frame + 1 if video.num_frames is None else video.num_frames
        if self._last_frame >= num_frames:
            raise InputError(f'video {video.video_id}: a result for frame {self._last_frame}, but the video has '
                             f'{num_frames} frames.')
        self._write({'end': video.video_id, 'num_frames': num_frames, 'tracks': tracks})
        return Piece(self.path, self._offset)

    def close(self) -> None:
        _unlock(self._file)
        self._file.close()

    def _write(self, record: Dict[str, Any]) -> None:
        data = memoryview(json.dumps(record).encode('ascii') + b'\n')
        while data:
            data = data[self._file.write(data):]


def scan(path: Path) -> Tuple[Optional[Dict[str, Any]], Dict[VideoId, Piece], int]:
    """What a journal holds.

    Returns:
        The description of its run (None if there is none: the file is empty, torn in its first line or foreign), the
        finished videos, and the number of bytes up to the end of the last finished video.
    """
    pieces: Dict[VideoId, Piece] = {}
    with open(path, 'rb') as file:
        _lock(file, path)
        _unlock(file)
        run = _read_run(file.readline())
        good = position = file.tell()
        video_id = start = None
        for line in file:
            if not line.endswith(b'\n'):
                break
            # Only the first and last lines of a video are parsed: frame lines make up the size of the file.
            if line.startswith(b'{"start"'):
                video_id, start = json.loads(line)['start'], position
            elif line.startswith(b'{"end"') and start is not None and json.loads(line)['end'] == video_id:
                pieces.setdefault(video_id, Piece(path, start))
                start, good = None, position + len(line)
            position += len(line)
    return run, pieces, good


def cut(path: Path, size: int) -> None:
    """Drop what stands behind the first ``size`` bytes: the lines of a video that was not finished."""
    if os.path.getsize(path) > size:
        os.truncate(path, size)


def _read_run(line: bytes) -> Optional[Dict[str, Any]]:
    try:
        head = json.loads(line)
        return head['run'] if head['format'] == _FORMAT else None
    except (ValueError, KeyError, TypeError):
        return None


def _lock(file: IO, path: Path) -> None:
    """Refuse a journal that a running process writes.

    It is waited for a little: the loading workers of a killed run hold its lock until they notice, some seconds later.
    """
    if fcntl is None:
        return
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise InputError(f'{path} is being written by another process: stop it, wait for its end, or choose '
                                 f'another output file.') from None
            time.sleep(0.2)
        except OSError:  # a file system without locks
            return


def _unlock(file: IO) -> None:
    """Give the lock back by hand: closing the file does not while a forked worker holds a copy of it."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_UN)
        except OSError:
            pass


def differences(old: Dict[str, Any], new: Dict[str, Any]) -> List[str]:
    """Names of the entries in which two descriptions of a run differ."""
    return [key for key in {**old, **new} if old.get(key) != new.get(key)]
