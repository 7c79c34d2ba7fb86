"""Reading a frame strictly: OpenCV gives half a picture for half a JPEG, without a word."""
import os

import cv2
import numpy as np

from mmvis.errors import InputError, InputMissingError

_JPEG_START, _JPEG_SCAN, _JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
_PNG_START, _PNG_END = b'\x89PNG', b'IEND'


def read_image(path: str) -> np.ndarray:
    """Decode one picture.

    Returns:
        uint8 [h, w, 3], BGR.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short or is not a picture.
    """
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise InputMissingError(f'frame {path} is missing.') from None
    if not _is_whole(data):
        raise InputError(f'frame {path} is cut short: its end is missing ({len(data)} bytes).')
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(f'frame {path} cannot be decoded ({len(data)} bytes): it is damaged or not a picture.')
    return image


def read_frame(folder: str, file_name: str, height: int, width: int) -> np.ndarray:
    """Decode a frame of a video and check its size against the annotation file; see ``read_image``."""
    path = os.path.join(folder, file_name)
    image = read_image(path)
    if image.shape[:2] != (height, width):
        raise InputError(f'frame {path} is {image.shape[1]} x {image.shape[0]} pixels, but the annotation file says '
                         f'width {width}, height {height}.')
    return image


def _is_whole(data: bytes) -> bool:
    """Whether a JPEG or PNG has its end marker.

    In a JPEG no marker can occur inside a scan, so a whole file has an end marker after its last start of scan; looking
    from the back passes over the thumbnail that a camera may have put in front.
    """
    if data.startswith(_JPEG_START):
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    if data.startswith(_PNG_START):
        return data.rfind(_PNG_END) > 0
    return True
