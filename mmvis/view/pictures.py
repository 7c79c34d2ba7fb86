"""Frames and thumbnails as a browser takes them; nothing outside the folder of the frames is ever read."""
import io
import os
from functools import lru_cache
from typing import Tuple

import cv2
import numpy as np
from PIL import Image

from mmvis.annotations.reader import Video
from mmvis.datasets.images import read_frame
from mmvis.errors import InputError, InputMissingError, of_user_path, shown
from mmvis.structures.input_file import check_regular_file

#: Formats of Pillow that every browser shows.
_SHOWN = {'JPEG': 'image/jpeg', 'PNG': 'image/png', 'WEBP': 'image/webp'}
_ORIENTATION = 0x0112
#: Longer side of a thumbnail, pixels.
THUMBNAIL = 160


class Pictures:
    """The frames below one folder.

    Args:
        folder: its own path may lead through links; none below it may lead out of it.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.thumbnail = lru_cache(maxsize=4096)(self._thumbnail)

    def path(self, name: str) -> str:
        """The file of a frame.

        Raises:
            InputError: it lies outside the folder, by its name or through links.
        """
        path = os.path.realpath(os.path.join(self.folder, name))
        if not path.startswith(self.folder.rstrip(os.sep) + os.sep):
            raise InputError(f'frame {shown(name)} lies outside the folder of the frames, so it is not shown.')
        return path

    def frame(self, video: Video, frame_idx: int) -> Tuple[bytes, str]:
        """Bytes and media type of a frame: its file as it is where a browser shows it as it is meant, else a JPEG.

        Raises:
            InputError: it is missing, damaged, of another size than the annotation file says, or outside the folder.
        """
        path = self.path(video.file_names[frame_idx])
        if not os.path.exists(path):
            raise InputMissingError(f'frame {video.file_names[frame_idx]} is missing.')
        check_regular_file(path, 'a picture')
        with of_user_path(path), open(path, 'rb') as file:
            data = file.read()
        media = _media_type(data, video)
        if media is None:
            data, media = _encoded(read_frame(*os.path.split(path), *video[1:3])), 'image/jpeg'
        return data, media

    def _thumbnail(self, video_path: str) -> bytes:
        with of_user_path(video_path), open(video_path, 'rb') as file:
            data = np.frombuffer(file.read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2) if len(data) else None
        if image is None:
            raise InputError(f'frame {video_path} cannot be decoded.')
        scale = THUMBNAIL / max(image.shape[:2])
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        return _encoded(cv2.resize(image, size, interpolation=cv2.INTER_AREA))

    def thumbnail_of(self, video: Video) -> bytes:
        """The middle frame as a small JPEG."""
        return self.thumbnail(self.path(video.file_names[video.num_frames // 2]))


def _media_type(data: bytes, video: Video) -> object:
    """The media type of a picture that needs no change: of a known format, upright, of the right size; else None."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            upright = picture.getexif().get(_ORIENTATION, 1) == 1
            fits = picture.size == (video.width, video.height) and getattr(picture, 'n_frames', 1) == 1
            return _SHOWN.get(picture.format) if upright and fits else None
    except Exception:  # Pillow has many kinds for what is damaged or unknown
        return None


def _encoded(image: np.ndarray) -> bytes:
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def as_jpeg(data: bytes, media: str) -> bytes:
    """A picture that ``Pictures.frame`` has given, as a JPEG."""
    if media == 'image/jpeg':
        return data
    return _encoded(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
