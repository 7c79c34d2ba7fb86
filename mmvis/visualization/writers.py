"""Write pictures: one file, a sheet of several, a video."""
from pathlib import Path
from typing import Sequence

import cv2
import numpy as np

from mmvis.errors import InputError, InputFileError


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a picture, uint8 [h, w, 3] BGR, as the suffix of the path says; folders are made, the file comes at once.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, image)
    if not done:
        raise InputFileError(f'OpenCV cannot write a picture as {path.suffix}: {path}.')
    temporary = path.with_name(f'{path.name}.tmp')
    temporary.write_bytes(data.tobytes())
    temporary.replace(path)


def contact_sheet(images: Sequence[np.ndarray], columns: int = 4, width: int = 320, gap: int = 4) -> np.ndarray:
    """Pictures side by side, row by row, each shrunk or enlarged to ``width``.

    Args:
        images: uint8 [h, w, 3] BGR; sizes may differ.
        columns: pictures in a row.
        width: of one picture in the sheet, pixels.
        gap: white pixels between two.

    Returns:
        uint8 [height, width, 3], BGR.
    """
    if not images:
        raise InputError('A contact sheet needs at least one picture.')
    small = [cv2.resize(image, (width, max(1, round(image.shape[0] * width / image.shape[1]))),
                        interpolation=cv2.INTER_AREA) for image in images]
    columns = min(columns, len(small))
    height = max(image.shape[0] for image in small)
    rows = -(-len(small) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, image in enumerate(small):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top:top + image.shape[0], left:left + width] = image
    return sheet


class VideoFile:
    """An mp4 file, written picture by picture under a temporary name; a context manager.

    Args:
        path: file ending in .mp4.
        fps: frames per second.
    """

    def __init__(self, path: Path, fps: float = 10.) -> None:
        self.path, self.fps = Path(path), fps
        self._temporary = self.path.with_name(f'{self.path.stem}.tmp{self.path.suffix}')
        self._writer = None

    def add(self, image: np.ndarray) -> None:
        """Append a picture, uint8 [h, w, 3] BGR; all must have the size of the first."""
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # mp4v wants even sides; the size is that of the first picture, cut by a pixel where it is odd.
            self._size = image.shape[1] // 2 * 2, image.shape[0] // 2 * 2
            self._writer = cv2.VideoWriter(str(self._temporary), cv2.VideoWriter_fourcc(*'mp4v'), self.fps, self._size)
            if not self._writer.isOpened():
                raise InputFileError(f'OpenCV cannot write a video to {self.path}.')
        self._writer.write(np.ascontiguousarray(image[:self._size[1], :self._size[0]]))

    def __enter__(self) -> 'VideoFile':
        return self

    def __exit__(self, kind, *rest) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is None:
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink(missing_ok=True)
