"""Where frames come from: a video file, pictures, a camera, a stream. Each source gives uint8 [h, w, 3] BGR frames."""
import glob
import itertools
import logging
import os
import stat
import threading
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Sequence, Union

import cv2
import numpy as np

from mmvis.datasets.images import OnDamage, read_image
from mmvis.errors import InputError, InputFileError, InputMissingError, of_user_path
from mmvis.formats.pictures import PICTURES, VIDEOS, natural_order
from mmvis.log import print_log
from mmvis.visualization.writers import quiet_opencv

from .video_decoding import OpenCVFrames, VideoFrames, open_video

_TIMEOUT_MS = 10_000  # of a stream that does not answer
_VIDEO_DEVICES = 81  # major number of cameras (/dev/video0) on Linux

Source = Union[str, os.PathLike, int]


class FrameSource:
    """Frames to be iterated over.

    Attributes:
        name: what the user called it.
        fps: frames per second; None where nothing says it.
        num_frames: how many there are, as far as the file knows; None where nothing says it.
        live: frames come when they come (a camera, a stream without end), and those that nobody takes in time are lost.
        decoder: what decodes a video file, 'PyAV' or 'OpenCV'; None of other sources.
    """
    fps: Optional[float] = None
    num_frames: Optional[int] = None
    live: bool = False
    decoder: Optional[str] = None

    def __init__(self, name: str) -> None:
        self.name = name

    def __iter__(self) -> Iterator[np.ndarray]:
        raise NotImplementedError


class ReadAgain:
    """Frames of a source a second time, by their numbers; what rises is read in one go.

    Args:
        frames: may be iterated over again, and gives the same then.
    """

    def __init__(self, frames: Iterable[np.ndarray]) -> None:
        self._frames = frames
        self._iterator: Optional[Iterator[np.ndarray]] = None
        self._next = 0

    def __call__(self, first: int, end: int) -> Iterator[np.ndarray]:
        """Frames ``first`` to ``end - 1``, uint8 [h, w, 3] BGR each."""
        if self._iterator is None or first < self._next:
            self._iterator, self._next = iter(self._frames), 0
        for number, frame in enumerate(itertools.islice(self._iterator, end - self._next), start=self._next):
            self._next = number + 1
            if number >= first:
                yield frame


def open_source(source: Source, on_damage: Optional[OnDamage] = None) -> FrameSource:
    """Find out what a source is, and open it.

    Args:
        source: a video file; a folder of pictures or a glob of them, taken in natural order (frame10 after frame9); one
            picture; the number of a camera (int or digits) or its device file; an address (rtsp://, http://, ...).
        on_damage: of pictures, see ``read_image``.

    Raises:
        FileNotFoundError: there is no such thing. ValueError: it holds no frames that can be read. OSError: a camera or
            stream does not answer.
    """
    if isinstance(source, int):
        return _Stream(source, f'camera {source}')
    name = os.fspath(source)
    if '://' in name:
        return _Stream(name, name)
    if os.path.isdir(name):
        return Pictures(name, _pictures_of(name), on_damage)
    if os.path.splitext(name)[1].lower() in PICTURES and os.path.isfile(name):
        return Pictures(name, [name], on_damage)
    if os.path.exists(name):
        path = os.path.abspath(name)
        return _Stream(path, name) if _is_camera(name) else _VideoFile(path, name)
    if name.isdigit():
        return _Stream(int(name), f'camera {name}')
    if glob.has_magic(name):
        return Pictures(name, _expand(name), on_damage)
    raise InputMissingError(f'There is no file or folder {name}. A camera is given by its number, a stream by its '
                            f'address (rtsp://...), pictures by a folder or a glob.')


def expand_sources(names: Sequence[str]) -> List[str]:
    """The sources that names stand for: a folder of videos stands for each of them, a glob of videos likewise; anything
    else, a folder or glob of pictures among it, is one source.

    Raises:
        InputMissingError: nothing is named like a glob.
    """
    found: List[str] = []
    for name in names:
        if '://' not in name and os.path.isdir(name):
            found += _videos_of(name) or [name]
        elif '://' not in name and not os.path.exists(name) and glob.has_magic(name):
            files = natural_order(path for path in glob.glob(name, recursive=True) if not os.path.isdir(path))
            if not files:
                raise InputMissingError(f'No file is named like {name}.')
            videos = [path for path in files if path.lower().endswith(VIDEOS)]
            found += videos if len(videos) == len(files) else [name]
        else:
            found.append(name)
    return found


def _videos_of(folder: str) -> List[str]:
    """The videos of a folder without pictures."""
    with of_user_path(folder, 'cannot be listed'):
        names = [name for name in os.listdir(folder) if not name.startswith('.')]
    if any(name.lower().endswith(PICTURES) for name in names):
        return []
    return [os.path.join(folder, name) for name in natural_order(names) if name.lower().endswith(VIDEOS)]


def _is_camera(name: str) -> bool:
    """Whether it is no file but a camera. A pipe would be waited for without end, and a device read without end: of
    devices only cameras are sources."""
    status = os.stat(name)
    camera = stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _VIDEO_DEVICES
    if not stat.S_ISREG(status.st_mode) and not camera:
        raise InputError(f'{name} is a pipe or a device, but no camera: a file, a folder of pictures, a camera or an '
                         'address is needed.')
    return camera


def _pictures_of(folder: str) -> List[str]:
    with of_user_path(folder, 'cannot be listed'):
        names = os.listdir(folder)
    names = [name for name in names if name.lower().endswith(PICTURES) and not name.startswith('.')]
    if not names:
        inner = next((path for path in sorted(Path(folder).glob('*/')) if path.is_dir()), None)
        hint = f'; perhaps {inner} is meant' if inner else ''
        raise InputError(f'The folder {folder} holds no pictures ({", ".join(PICTURES)}){hint}.')
    return [os.path.join(folder, name) for name in natural_order(names)]


def _expand(pattern: str) -> List[str]:
    names = [name for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name)]
    if not names:
        raise InputMissingError(f'No file is named like {pattern}.')
    other = next((name for name in names if not name.lower().endswith(PICTURES)), None)
    if other is not None:
        raise InputError(f'{pattern} also stands for {other}; a glob must stand for pictures only '
                         f'({", ".join(PICTURES)}).')
    return natural_order(names)


class Pictures(FrameSource):
    """Picture files, in the order given. One that is missing, cut short or damaged raises where it stands.

    Attributes:
        files: their paths.
    """

    def __init__(self, name: str, files: List[str], on_damage: Optional[OnDamage] = None) -> None:
        super().__init__(name)
        self.files = files
        self.on_damage = on_damage
        self.num_frames = len(files)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.read, self.files)

    def read(self, file: str) -> np.ndarray:
        """One of the pictures, uint8 [h, w, 3] BGR."""
        return read_image(file, self.on_damage)


class _VideoFile(FrameSource):
    """A video in a file, read to its end."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self.path = path
        self._opened: Optional[VideoFrames] = open_video(path, name)
        self.fps, self.num_frames, self.decoder = self._opened.fps, self._opened.num_frames, self._opened.decoder

    def __iter__(self) -> Iterator[np.ndarray]:
        opened, self._opened = self._opened or open_video(self.path, self.name), None
        return _all(opened, self.name)


class _Stream(FrameSource):
    """A camera, or an address.

    Of a live one only the newest frame is kept, read by a thread of its own: however slow the model is, it sees what is
    there now, and nothing piles up.
    """

    def __init__(self, target: Union[str, int], name: str) -> None:
        super().__init__(name)
        self.target = target
        self._opened: Optional[OpenCVFrames] = OpenCVFrames(self._open())
        self.fps, self.num_frames = self._opened.fps, self._opened.num_frames
        self.live = self.num_frames is None

    def __iter__(self) -> Iterator[np.ndarray]:
        opened, self._opened = self._opened or OpenCVFrames(self._open()), None
        return self._newest(opened.capture) if self.live else _all(opened, self.name)

    def _newest(self, capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
        reader = _Reader(capture)
        number = 0
        try:
            for number, frame in enumerate(reader, start=1):
                yield frame
        finally:
            reader.close()
        if '://' not in str(self.target) or number == 0:  # a stream may come to its end, a camera does not
            raise InputFileError(f'{self.name} gives no more frames (after {number}).')

    def _open(self) -> cv2.VideoCapture:
        with quiet_opencv():
            if '://' in str(self.target):
                options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
                capture = cv2.VideoCapture(self.target, cv2.CAP_FFMPEG, options)
            else:
                capture = cv2.VideoCapture(self.target)
        if not capture.isOpened():
            raise InputFileError(f'{self.name} cannot be opened: it is not there, does not answer, or is in use.')
        return capture


def _all(opened: VideoFrames, name: str) -> Iterator[np.ndarray]:
    """The frames that can be decoded; says so if some cannot."""
    number = 0
    first_gap = None
    try:
        for frame in opened:
            if frame is not None:
                number += 1
                yield frame
            elif first_gap is None:
                first_gap = number
    finally:
        opened.close()
    if number == 0:
        raise InputError(f'No frame of {name} can be decoded: it is damaged, or {opened.decoder} lacks its codec.')
    if number < (opened.num_frames or 0):
        # No error: the count of a container may be an estimate, or include frames that are not to be shown.
        gap = '' if first_gap is None else f' (the first gap is after {first_gap} frames)'
        print_log(f'{name} announces {opened.num_frames} frames, but {number} could be decoded: it may be damaged or cut '
                  f'short{gap}.', logger='current', level=logging.WARNING)


class _Reader:
    """Reads a capture in a thread and keeps the newest frame. Iterating waits for the next one, up to the last."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._changed = threading.Condition()
        self._frame: Optional[np.ndarray] = None
        self._running = True
        self._thread = threading.Thread(target=self._read, name='mmvis source', daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self._running:
            done, frame = self._capture.read()
            with self._changed:
                self._frame = frame if done else self._frame
                self._running = self._running and done
                self._changed.notify()
        self._capture.release()  # here, for no other thread may do so during a read

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frame is not None or not self._running)
                frame, self._frame = self._frame, None
            if frame is None:
                return
            yield frame

    def close(self) -> None:
        """Stop reading; a read that hangs is left behind."""
        self._running = False
        self._thread.join(timeout=2 * _TIMEOUT_MS / 1000)
