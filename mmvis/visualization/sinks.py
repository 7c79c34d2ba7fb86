"""Sinks of the test loop that show what the model says; they read, and never change, the results."""
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Sequence

import cv2
import numpy as np

from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from .drawing import draw_frame
from .writers import write_image


class _Overlay:
    """Draws every frame of every video.

    The frame is read again for it: what the network sees is resized, and a model may give its results some frames late.

    Args:
        dataset: a VISDataset.
        thresh: instances with a lower score are not drawn.
    """

    def __init__(self, dataset, thresh: float = 0.3) -> None:
        self.dataset, self.thresh = dataset, thresh
        self.classes: Sequence[str] = dataset.metainfo['classes']
        self._index = {video.video_id: index for index, video in enumerate(dataset.videos)}

    def start(self, video: VideoInfo) -> None:
        self._current = self._index[video.video_id]

    def add(self, frame: FrameInstances) -> None:
        image = self.dataset.load_image(self._current, frame.frame_idx)
        self.put(self._current, frame.frame_idx, draw_frame(image, frame, self.classes, self.thresh))

    def end(self, scores: Sequence[TrackScore]) -> None:
        pass

    def put(self, video_index: int, frame_idx: int, picture: np.ndarray) -> None:
        raise NotImplementedError


class OverlayFolder(_Overlay):
    """Writes ``<folder>/<name of the video>/<name of the frame>.jpg``, both named as the data's own files."""

    def __init__(self, dataset, folder: Path, thresh: float = 0.3) -> None:
        super().__init__(dataset, thresh)
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._names = video_names(dataset.videos)

    def put(self, video_index: int, frame_idx: int, picture: np.ndarray) -> None:
        frame = PurePosixPath(self.dataset.videos[video_index].file_names[frame_idx]).stem
        write_image(self.folder / self._names[video_index] / f'{frame}.jpg', picture)


class OverlayWindow(_Overlay):
    """Shows the frames in a window as they come; the key q closes it, and the run goes on without."""
    _title = 'mmvis'
    _open = True

    def add(self, frame: FrameInstances) -> None:
        if self._open:
            super().add(frame)

    def put(self, video_index: int, frame_idx: int, picture: np.ndarray) -> None:
        cv2.imshow(self._title, picture)
        if cv2.waitKey(1) & 0xff == ord('q'):
            self._open = False
            cv2.destroyWindow(self._title)


def video_names(videos: Sequence) -> Sequence[str]:
    """A folder name for each video: the folder of its frames, or its id where that is not one folder for one video."""
    folders = [{str(PurePosixPath(name).parent) for name in video.file_names} for video in videos]
    shared = Counter(name for names in folders for name in names)
    return [_one_name(names, shared, video.video_id) for names, video in zip(folders, videos)]


def _one_name(names: set, shared: Counter, video_id) -> str:
    name = next(iter(names), '.')
    usable = len(names) == 1 and shared[name] == 1 and name != '.' and not name.startswith('/') and '..' not in name
    return name if usable else str(video_id).replace('/', '_')


def has_display() -> bool:
    """Whether OpenCV can open a window here. Asked of a process of its own: where it cannot, it ends the process."""
    if sys.platform.startswith('linux') and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        return False
    probe = "import cv2; cv2.namedWindow('mmvis'); cv2.waitKey(1); cv2.destroyAllWindows()"
    try:
        return subprocess.run([sys.executable, '-c', probe], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
