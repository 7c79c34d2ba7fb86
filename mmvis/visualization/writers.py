"""Write pictures: one file, a sheet of several, a video."""
import os
from contextlib import ExitStack, contextmanager, suppress
from typing import Iterable, Iterator, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from mmvis.errors import InputError, InputFileError
from mmvis.structures.output_file import check_output, check_output_folder, replacing, write_output

PathLike = Union[str, os.PathLike]


def write_image(path: PathLike, image: np.ndarray, inputs: Iterable[Optional[PathLike]] = ()) -> None:
    """Write a picture, uint8 [h, w, 3] BGR, as the suffix of the path says; folders are made, the file comes at once.

    Raises:
        InputError, InputFileError: the path is one of the ``inputs``, or it cannot be written; OpenCV knows no such
            suffix, or the kind of file cannot hold so large a picture.
    """
    suffix = os.path.splitext(path)[1]
    try:
        done, data = cv2.imencode(suffix, image)
    except cv2.error:
        done = False
    if not done:
        height, width = image.shape[:2]
        raise InputFileError(f'{path} cannot be written: OpenCV makes no {suffix or "file without suffix"} of {width} x '
                             f'{height} pixels.')
    write_output(path, data.tobytes(), inputs)


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


class PictureFiles:
    """A folder of pictures, written one by one as a ``VideoFile`` is.

    Args:
        folder: is made if it is missing.
        names: of the pictures, in their order; their suffixes say what is written.
        inputs: files of the run that must not be written over.

    Raises:
        InputError, InputFileError: nothing can be written into the folder, or a picture of it is an input.
    """

    def __init__(self, folder: PathLike, names: Sequence[str], inputs: Iterable[Optional[PathLike]] = ()) -> None:
        self.path = folder
        check_output_folder(folder)
        paths = [os.path.join(folder, name) for name in names]
        read = {_inode(path) for path in filter(None, inputs)} - {None}
        for path in (folder, *paths) if read else ():
            if _inode(path) in read:
                raise InputError(f'The output {path} is an input of this run, which it would destroy: choose another '
                                 'folder.')
        self._rest = iter(paths)

    def add(self, image: np.ndarray) -> None:
        """Write the next picture, uint8 [h, w, 3] BGR."""
        write_image(next(self._rest), image)

    def skip(self) -> None:
        """There is nothing to be drawn of the next one."""
        next(self._rest)

    def close(self) -> None:
        """All pictures have come to their places."""

    def discard(self) -> None:
        """What was written stays."""


def _inode(path: PathLike) -> Optional[Tuple[int, int]]:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


class VideoFile:
    """An mp4 file, written picture by picture under a temporary name; a context manager.

    Args:
        path: file ending in .mp4.
        fps: frames per second.
        inputs: files of the run that must not be written over.

    Raises:
        InputError, InputFileError: the path is an input or cannot be written. The end of the block raises them too: on
            a full disk OpenCV goes on without a word, so the finished file is opened again and its pictures counted.
    """

    def __init__(self, path: PathLike, fps: float = 10., inputs: Iterable[Optional[PathLike]] = ()) -> None:
        self.path, self.fps = path, fps
        check_output(path, inputs)
        self._writer: Optional[cv2.VideoWriter] = None
        self._number = 0
        self._place = ExitStack()

    def add(self, image: np.ndarray) -> None:
        """Append a picture, uint8 [h, w, 3] BGR; all must have the size of the first."""
        if self._writer is None:
            self._temporary = self._place.enter_context(replacing(self.path, suffix='.tmp.mp4'))
            # mp4v wants even sides; the size is that of the first picture, cut by a pixel where it is odd.
            self._size = tuple(max(2, side // 2 * 2) for side in image.shape[1::-1])
            with quiet_opencv():
                self._writer = cv2.VideoWriter(str(self._temporary), cv2.VideoWriter_fourcc(*'mp4v'), self.fps,
                                               self._size)
            if not self._writer.isOpened():
                raise self._fault()
        picture = image[:self._size[1], :self._size[0]]
        if picture.shape[1::-1] != self._size:  # a single row or column
            picture = cv2.copyMakeBorder(picture, 0, self._size[1] - picture.shape[0], 0,
                                         self._size[0] - picture.shape[1], cv2.BORDER_REPLICATE)
        self._writer.write(np.ascontiguousarray(picture))
        self._number += 1

    def close(self) -> None:
        """End the file, which comes to its place; without a picture there is none."""
        self._end(whole=True)

    def discard(self) -> None:
        """Leave what was there before."""
        self._end(whole=False)

    def __enter__(self) -> 'VideoFile':
        return self

    def __exit__(self, kind, *rest) -> None:
        self._end(whole=kind is None)

    def _end(self, whole: bool) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.release()
        with suppress(_Discarded), self._place:
            if not whole:
                raise _Discarded
            if not self._is_complete():
                raise self._fault()

    def _is_complete(self) -> bool:
        with quiet_opencv():
            reader = cv2.VideoCapture(str(self._temporary))
        return reader.isOpened() and round(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == self._number

    def _fault(self) -> InputFileError:
        """Why OpenCV has failed, which it does not tell: whether more can be written there."""
        try:
            with open(self._temporary, 'ab') as file:
                file.write(bytes(1 << 16))
        except OSError as error:
            reason = error.strerror
        else:
            reason = f'OpenCV makes no whole video of {self._size[0]} x {self._size[1]} pixels'
        return InputFileError(f'{self.path} cannot be written: {reason}.')


class _Discarded(Exception):
    pass


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """OpenCV prints no account of its own of what fails in the block."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
