"""The journal of a test run: every frame's result leaves the process as a line of JSON, so that a killed run can go on.

One file a process, ``<output>.part.<rank>``. Its first line names the run; then, video after video::

    {"start": video_id, "size": [h, w], "num_frames": T, "source": ..}
    {"frame": frame_idx, "ids": [..], "labels": [..], "scores": [..], "boxes": [[x1, y1, x2, y2], ..], "counts": [..]}
    ...
    {"end": video_id, "num_frames": T, "tracks": [[track_id, label, score, born], ..], "crc32": N}

A process works on one video at a time, so a video is one piece of one file; a piece without its end line (the process
was killed there) is as if it were not there. ``crc32`` is that of all bytes of the piece before ``, "crc32"``: a piece
that a disk has damaged is as if it were not there, too.

``<output>.lock`` is held by a run from its first look at the journals until its results stand.
"""
import json
import math
import os
import stat
import time
import weakref
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

try:
    import fcntl
except ImportError:  # Windows: two runs into one file are not noticed there
    fcntl = None

from mmvis.errors import InputError
from mmvis.log import print_log
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

VideoId = Union[int, str]
FORMAT = 3
_PATIENCE = 15.  # seconds to wait for a lock
_BUFFER = 1 << 18  # bytes read at once: lines of kilobytes come five times as fast as with Python's 8 KiB
_CHECKSUM = ', "crc32": '


@dataclass(frozen=True)
class Piece:
    """Where the lines of a finished video stand: a file and the byte offset of the start line.

    ``source`` is what its frames were recognised by (``Journal.start``), as JSON text.
    """
    path: Path
    offset: int
    source: str = 'null'

    def lines(self) -> Iterator[Dict[str, Any]]:
        """The records of the video, from its start line to its end line."""
        with open(self.path, 'rb', buffering=_BUFFER) as file:
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

    Raises:
        InputError: another process writes it, or there is something that is no regular file.
    """

    def __init__(self, path: Path, run: Dict[str, Any]) -> None:
        self.path = path
        # Unbuffered: a line is one write, so a full disk or a kill tears at most the last line.
        self._file = _open(path)
        _lock(self._file, path)
        self._video: Optional[VideoInfo] = None
        self._offset = self._last_frame = self._crc = 0
        if self._file.tell() == 0:
            self._write({'format': FORMAT, 'run': run})

    def start(self, video: VideoInfo, source: Any = None) -> None:
        """Begin a video.

        Args:
            source: JSON-able; what its frames are recognised by when another run takes it up.
        """
        self._video, self._offset, self._last_frame, self._crc = video, self._file.tell(), -1, 0
        self._write({'start': video.video_id, 'size': list(video.ori_shape), 'num_frames': video.num_frames,
                     'source': source})

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
        self._write({'end': video.video_id, 'num_frames': num_frames, 'tracks': tracks}, with_checksum=True)
        return Piece(self.path, self._offset)

    def close(self) -> None:
        _unlock(self._file)
        self._file.close()

    def _write(self, record: Dict[str, Any], with_checksum: bool = False) -> None:
        data = json.dumps(record).encode('ascii')
        if with_checksum:
            data = data[:-1]
            data += f'{_CHECKSUM}{zlib.crc32(data, self._crc)}}}'.encode('ascii')
        data += b'\n'
        self._crc = zlib.crc32(data, self._crc)
        data = memoryview(data)
        while data:
            data = data[self._file.write(data):]


class Part(NamedTuple):
    """What a journal holds.

    Attributes:
        path: the file.
        format: of its first line; None: it is no journal, or torn in its first line.
        run: description of its run; None if the format is not ours.
        pieces: the finished videos.
        damaged: ids of videos that are finished but not whole; None where the id cannot be read either.
        size: bytes up to the end of the last finished video, those of the first line if there is none.
    """
    path: Path
    format: Optional[int]
    run: Optional[Dict[str, Any]]
    pieces: Dict[VideoId, Piece]
    damaged: List[Optional[VideoId]]
    size: int


def read_run(path: Path) -> Optional[Dict[str, Any]]:
    """The description of the run that a journal is of; None if it is no journal of this format."""
    with open(path, 'rb') as file:
        return _read_head(file.readline())[1]


def scan(path: Path) -> Part:
    """Read what a journal holds.

    Raises:
        InputError: another process writes it.
    """
    pieces: Dict[VideoId, Piece] = {}
    damaged: List[Optional[VideoId]] = []
    with open(path, 'rb', buffering=_BUFFER) as file:
        _lock(file, path)
        _unlock(file)
        kind, run = _read_head(file.readline())
        size = position = file.tell()
        if run is None:
            return Part(path, kind, run, pieces, damaged, size)
        start, crc, is_odd = None, 0, False
        for line in file:
            if not line.endswith(b'\n'):
                break
            # Only the first and last lines of a video are parsed: frame lines make up the size of the file.
            if line.startswith(b'{"start"'):
                if start is not None:
                    damaged.append(start[0])
                start, crc, is_odd = (_read_id(line, 'start'), position, line), 0, False
            elif line.startswith(b'{"end"'):
                video_id, size = _read_id(line, 'end'), position + len(line)
                if start is not None and video_id is not None and video_id == start[0] and _is_whole(line, crc):
                    pieces[video_id] = Piece(path, start[1], json.dumps(json.loads(start[2]).get('source')))
                else:
                    damaged.append(video_id)
                start = None
            elif not line.startswith(b'{"frame"'):
                is_odd = True
            crc = zlib.crc32(line, crc)
            position += len(line)
        if start is not None and is_odd:  # its end line may be among what cannot be read
            damaged.append(start[0])
    return Part(path, kind, run, pieces, damaged, size)


def cut(path: Path, size: int) -> None:
    """Drop what stands behind the first ``size`` bytes: the lines of a video that was not finished."""
    if os.path.getsize(path) > size:
        os.truncate(path, size)


def _read_head(line: bytes) -> Tuple[Optional[int], Optional[Dict[str, Any]]]:
    """Format and run of a first line."""
    try:
        head = json.loads(line)
        kind, run = head['format'], head['run']
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, None
    return kind, run if kind == FORMAT else None


def _read_id(line: bytes, key: str) -> Optional[VideoId]:
    """The video id of a start or end line; None if a disk has damaged it."""
    try:
        video_id = json.loads(line)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return video_id if isinstance(video_id, (int, str)) else None


def _is_whole(end_line: bytes, crc: int) -> bool:
    """Whether the checksum of an end line fits, ``crc`` being that of the lines before it."""
    record, _, checksum = end_line.rpartition(_CHECKSUM.encode('ascii'))
    return checksum == b'%d}\n' % zlib.crc32(record, crc)


def hold(path: Path, output: Path) -> IO:
    """Take the lock of a run; it ends with ``release``, or with this process.

    Args:
        path: of the lock file, made if it is missing.
        output: what it stands for, for the sentence.

    Raises:
        InputError: another run has it and does not let go of it in time.
    """
    while True:
        file = _open(path)
        try:
            _lock(file, output)
        except InputError:
            file.close()
            raise
        # the run before may have removed the file between the two calls: then this is the lock of nothing
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()


def release(file: IO, path: Path) -> None:
    """Give the lock of a run back. What is in the file is not ours: then it stays."""
    if fcntl is not None and os.fstat(file.fileno()).st_size == 0:
        path.unlink(missing_ok=True)
    _unlock(file)
    file.close()


#: Files that this process has locked. A forked worker closes its copies: with them the lock would outlive the process.
_locked: 'weakref.WeakSet[IO]' = weakref.WeakSet()
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=lambda: [file.close() for file in list(_locked)])


def _open(path: Path) -> IO:
    """Open a file of ours for appending, without a buffer."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):  # a pipe would hang, a link lead to a file that is not ours
            raise InputError(f'{path} is no regular file, but the run needs this name for a file of its own: move it '
                             'away, or choose another output file.')
    file = open(path, 'ab', buffering=0)
    _locked.add(file)
    return file


def _lock(file: IO, path: Path) -> None:
    """Refuse a file that a running process writes.

    It is waited for a little: the processes of a killed run need some seconds to notice.
    """
    if fcntl is None:
        return
    give_up, told = time.monotonic() + _PATIENCE, False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise InputError(f'{path} is being written by another process: stop it, wait for its end, or choose '
                                 f'another output file.') from None
            if not told:
                print_log(f'{path} is being written by another process; waiting up to {_PATIENCE:g} s for its end.',
                          logger='current')
            told = True
            time.sleep(0.2)
        except OSError:  # a file system without locks
            return


def _unlock(file: IO) -> None:
    """Give the lock back by hand: closing the file does not where a process forked by a library holds a copy of it."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_UN)
        except OSError:
            pass


def differences(old: Dict[str, Any], new: Dict[str, Any]) -> List[str]:
    """Names of the entries in which two descriptions of a run differ."""
    return [key for key in {**old, **new} if old.get(key) != new.get(key)]
