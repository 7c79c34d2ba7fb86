"""The frames of a video file, by PyAV where it is installed, else by OpenCV: the same frames, to the bit.

Both turn frames as the display matrix of the file says, leave none out and repeat none where times are uneven, and go on
behind what is damaged.
"""
from typing import Iterator, Optional, Union

import cv2
import numpy as np

from mmvis.errors import InputError, of_user_path
from mmvis.processes import usable_cores
from mmvis.visualization.writers import quiet_opencv

try:  # the extra [video]
    import av
    _ = av.VideoFrame.rotation
except (ImportError, AttributeError):  # absent, or older than what tells of turned frames
    av = None

_LONGEST_GAP = 1000  # reads in a row that may fail in the middle of a file


class OpenCVFrames:
    """Frames of what OpenCV has opened, once.

    Iterating gives uint8 [h, w, 3] BGR, or None where a frame is lost.

    Args:
        capture: it is open.

    Attributes:
        fps: frames per second, on the average; None where nothing says it.
        num_frames: as far as the file knows; None where nothing says it.
    """
    decoder = 'OpenCV'

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self.capture = capture
        fps, count = (capture.get(prop) for prop in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.fps = _plausible(fps)
        self.num_frames = int(count) if count > 0 else None

    def __iter__(self) -> Iterator[Optional[np.ndarray]]:
        number = gap = 0
        # Behind a damaged frame OpenCV fails for some reads and then goes on, so a failure need not be the end.
        while gap == 0 or number + gap < min(self.num_frames or 0, number + _LONGEST_GAP):
            done, frame = self.capture.read()
            number, gap = (number + 1, 0) if done else (number, gap + 1)
            yield frame if done else None

    def close(self) -> None:
        self.capture.release()


class PyAVFrames:
    """The same of a file that PyAV opens.

    Raises:
        InputError: there is no video in the file.
    """
    decoder = 'PyAV'

    def __init__(self, path: str, name: str) -> None:
        try:
            self.container = av.open(path)
        except (av.FFmpegError, OSError, ValueError):
            raise _no_video(name, self.decoder) from None
        if not self.container.streams.video or self.container.streams.video[0].codec_context is None:
            self.close()
            raise _no_video(name, self.decoder)
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = 'AUTO'
        self.stream.codec_context.thread_count = usable_cores()  # OpenCV's choice: what is made of cut frames hangs on it
        self.fps = _plausible(float(self.stream.average_rate or self.stream.guessed_rate or 0))
        seconds = (self.container.duration or 0) / av.time_base
        self.num_frames = self.stream.frames or round(seconds * (self.fps or 0)) or None

    def __iter__(self) -> Iterator[Optional[np.ndarray]]:
        for packet in self._packets():
            try:
                frames = self.stream.decode(packet)
            except av.FFmpegError:
                yield None
                continue
            yield from map(_as_bgr, frames)

    def _packets(self) -> Iterator['av.Packet']:
        """Up to the empty one that asks for the frames still in the decoder."""
        for _ in range(_LONGEST_GAP):  # reading goes on behind what is damaged
            try:
                yield from self.container.demux(self.stream)
                return
            except av.FFmpegError:
                continue
        yield None

    def close(self) -> None:
        self.container.close()


VideoFrames = Union[OpenCVFrames, PyAVFrames]


def open_video(path: str, name: str) -> VideoFrames:
    """Open a video file.

    Args:
        path: absolute, for to FFmpeg a relative name such as pipe:1 is an address.
        name: what the user called it.

    Raises:
        InputError: there is no video in it, or it may not be read.
    """
    with of_user_path(name), open(path, 'rb'):
        pass
    if av is not None:
        return PyAVFrames(path, name)
    with quiet_opencv():
        capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise _no_video(name, OpenCVFrames.decoder)
    return OpenCVFrames(capture)


def _plausible(fps: float) -> Optional[float]:
    return fps if 0 < fps < 1000 else None  # a file without frame rate may claim 90,000


def _no_video(name: str, decoder: str) -> InputError:
    return InputError(f'{name} cannot be opened as a video: it is damaged or none, or {decoder} lacks its codec.')


def _as_bgr(frame: 'av.VideoFrame') -> np.ndarray:
    """Converted as OpenCV does, and turned by quarters as it does."""
    image = frame.to_ndarray(format='bgr24', interpolation='BICUBIC')
    turns, rest = divmod(frame.rotation % 360, 90)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns and not rest else image
