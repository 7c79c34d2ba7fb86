"""Reading a frame strictly: what is not a whole picture of the right size is refused in a sentence with its name."""
import errno
import io
import itertools
import logging
import os
import re
import stat
import time
import warnings
from typing import Callable, NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image

from mmvis.errors import InputError, InputFileError, InputMissingError, of_user_path
from mmvis.log import print_log

from .decoding import decode

_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG_START, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND'
# A marker; stuffed bytes and restarts, which occur inside a scan, are none.
_JPEG_MARKER = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
# Pillow only reads headers here; what it warns of is told by OpenCV, which decodes, or is harmless.
warnings.filterwarnings('ignore', module=r'PIL\.')
#: Files beyond are no picture (one of 16K with 16 bits, not compressed, has 800 MB).
_MAX_BYTES = 2**30
#: Seconds between the attempts to read a file, and the errors that no waiting mends.
_PAUSES = (0.5, 2.)
_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR)

#: Called with path and complaint of a frame that is damaged and used all the same.
OnDamage = Callable[[str, str], None]


class DamagedFrames(dict):
    """An ``OnDamage`` that goes on, and counts: complaint by path. As text it is the sentence for the end of a run."""

    def __call__(self, path: str, complaint: str) -> None:
        self[path] = complaint

    def __str__(self) -> str:
        some = '; '.join(f'{path} {complaint}' for path, complaint in itertools.islice(self.items(), 8))
        return f'Damaged frames that were used: {len(self)} ({some}{"; ..." if len(self) > 8 else ""}).'


class Header(NamedTuple):
    """What a file says of its picture: size as stored (before EXIF turns it), and how many pictures it holds."""
    width: int
    height: int
    num_pictures: int


def read_image(path: str, on_damage: Optional[OnDamage] = None) -> np.ndarray:
    """Decode one picture, turned as its EXIF orientation says.

    Args:
        path: of a file that holds one picture. Bytes behind it do no harm.
        on_damage: takes a picture that is damaged, which is then used as far as it can be decoded; by default it is
            refused.

    Returns:
        uint8 [h, w, 3], BGR.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ordinary file, no picture, cut short, damaged, too large, or holds several pictures.
    """
    data = _read_bytes(path)
    _read_header(path, data)
    return _decode(path, data, cv2.IMREAD_COLOR, on_damage)


def read_frame(folder: str, file_name: str, height: int, width: int,
               on_damage: Optional[OnDamage] = None) -> np.ndarray:
    """Decode a frame of a video whose size the annotation file tells; see ``read_image``.

    A picture with an EXIF orientation is turned by it, as the official code does, which reads with OpenCV; unless only
    the size as stored is that of the annotation file: then its masks and boxes were drawn on the picture as stored.
    """
    path = os.path.join(folder, file_name)
    data = _read_bytes(path)
    header = _read_header(path, data)
    if header is not None and {header.width, header.height} != {width, height}:
        raise _wrong_size(path, header.width, header.height, width, height)
    image = _decode(path, data, cv2.IMREAD_COLOR, on_damage)
    if image.shape[:2] == (width, height) != (height, width) and header is not None and header.width == width:
        image = _decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, on_damage)
    if image.shape[:2] != (height, width):
        raise _wrong_size(path, image.shape[1], image.shape[0], width, height)
    return image


def _wrong_size(path: str, width: int, height: int, wanted_width: int, wanted_height: int) -> InputError:
    return InputError(f'frame {path} is {width} x {height} pixels, but the annotation file says width {wanted_width}, '
                      f'height {wanted_height}.')


def _read_bytes(path: str) -> bytes:
    """Content of a file; what may pass (a network disk that is away for a moment) is tried again."""
    for pause in _PAUSES:
        try:
            return _read_once(path)
        except InputFileError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno in _LASTING:
                raise
            print_log(f'{error} It is tried again in {pause:g} s.', logger='current', level=logging.WARNING)
            time.sleep(pause)
    return _read_once(path)


def _read_once(path: str) -> bytes:
    """Content of an ordinary file: a pipe would be waited for, and a device read, without end."""
    try:
        with of_user_path(f'frame {path}'):
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                kind = 'a folder' if stat.S_ISDIR(status.st_mode) else 'no ordinary file'
                raise InputError(f'frame {path} is {kind}: a picture is needed.')
            if status.st_size > _MAX_BYTES:
                raise InputError(f'frame {path} has {status.st_size} bytes: no picture has more than {_MAX_BYTES}.')
            with open(path, 'rb') as file:
                return file.read(status.st_size)
    except InputFileError as error:
        if isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
            raise InputMissingError(f'frame {path} is missing.') from error.__cause__
        raise
    except InputError:
        raise
    except ValueError as error:  # a zero byte, half a character
        raise InputMissingError(f'frame {path!r} is missing: no file can have this name.') from error


def _read_header(path: str, data: bytes) -> Optional[Header]:
    """What a picture says of itself, before a pixel is decoded; None if only OpenCV may know its format."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            # of JPEGs with more than one (MPO: previews, the other eye) the first is the picture
            num_pictures = 1 if picture.format in ('JPEG', 'MPO') else getattr(picture, 'n_frames', 1)
            header = Header(*picture.size, num_pictures)
    except Image.DecompressionBombError:
        raise InputError(f'frame {path} is too large: its header announces more than '
                         f'{2 * Image.MAX_IMAGE_PIXELS} pixels.') from None
    except Exception:  # Pillow has many kinds for what is damaged or unknown
        return None
    if header.num_pictures > 1:
        raise InputError(f'frame {path} holds {header.num_pictures} pictures: a frame is a file with one; split it '
                         'into one file a picture.')
    return header


def _decode(path: str, data: bytes, flags: int, on_damage: Optional[OnDamage]) -> np.ndarray:
    image, complaint = None, ''
    cut = _is_cut(data)
    if not cut or on_damage is not None:
        image, complaint = decode(data + _JPEG_END if cut else data, flags)
    if cut:
        complaint = f'is cut short: its end is missing ({len(data)} bytes)'
    elif image is None:
        reason = f' ({complaint})' if complaint else ''
        complaint = f'cannot be decoded ({len(data)} bytes): it is damaged or not a picture{reason}'
    elif complaint:
        complaint = f'is damaged ({complaint})'
    if image is None or complaint and on_damage is None:
        raise InputError(f'frame {path} {complaint}.')
    if complaint:
        on_damage(path, complaint)
    return image


def _is_cut(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end marker; those in its segments (the thumbnail that a camera puts in front) and
    behind its end are not its own. Of other formats OpenCV tells it."""
    if data.startswith(_JPEG_START):
        position = len(_JPEG_START)
        while (found := _JPEG_MARKER.search(data, position)) is not None and data[found.end() - 1] != _JPEG_END[1]:
            position = found.end() + max(int.from_bytes(data[found.end():found.end() + 2], 'big'), 2)
        return found is None
    if data.startswith(_PNG_START):
        position = len(_PNG_START)
        while (chunk := data[position:position + 8])[4:] != _PNG_END and len(chunk) == 8:
            position += int.from_bytes(chunk[:4], 'big') + 12
        return len(chunk) < 8
    return False
