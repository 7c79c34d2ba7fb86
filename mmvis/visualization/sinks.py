"""Sinks of the test loop that show what the model says; they read, and never change, the results."""
import os
import subprocess
import sys
from pathlib import Path
from typing import Sequence, Union

import cv2
import numpy as np

from mmvis.structures import FrameInstances, TrackScore, VideoInfo
from mmvis.structures.output_file import check_output_folder

from .appearance import AppearanceOrder
from .drawing import draw_frame
from .names import check_apart, frame_names, video_names
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
        self._order = AppearanceOrder()

    def add(self, frame: FrameInstances) -> None:
        image = self.dataset.load_image(self._current, frame.frame_idx)
        picture = draw_frame(image, frame, self.classes, self.thresh, numbers=self._order.numbers(frame))
        self.put(self._current, frame.frame_idx, picture)

    def end(self, scores: Sequence[TrackScore]) -> None:
        pass

    def put(self, video_index: int, frame_idx: int, picture: np.ndarray) -> None:
        raise NotImplementedError


class OverlayFolder(_Overlay):
    """Writes ``<folder>/<name of the video>/<name of the frame>.jpg``, both named as the data's own files.

    Raises:
        InputError: a video's pictures would come among the frames of the data set.
        InputFileError: the folder cannot be made or written.
    """

    def __init__(self, dataset, folder: Union[str, os.PathLike], thresh: float = 0.3) -> None:
        super().__init__(dataset, thresh)
        self._folders = [Path(folder) / name for name in video_names(dataset.videos)]
        check_apart(self._folders, (os.path.join(dataset.img_prefix, name) for video in dataset.videos
                                    for name in video.file_names))
        check_output_folder(folder)

    def start(self, video: VideoInfo) -> None:
        super().start(video)
        self._names = frame_names(self.dataset.videos[self._current].file_names)

    def put(self, video_index: int, frame_idx: int, picture: np.ndarray) -> None:
        write_image(self._folders[video_index] / f'{self._names[frame_idx]}.jpg', picture)


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


def has_display() -> bool:
    """Whether OpenCV can open a window here. Asked of a process of its own: where it cannot, it ends the process."""
    if sys.platform.startswith('linux') and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        return False
    probe = "import cv2; cv2.namedWindow('mmvis'); cv2.waitKey(1); cv2.destroyAllWindows()"
    try:
        return subprocess.run([sys.executable, '-c', probe], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
