"""Where the pictures of a video lie, and how large they are."""
import os
import re
from pathlib import Path
from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence

from PIL import Image

from mmvis.errors import InputError, InputMissingError, of_user_path

PICTURES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
VIDEOS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.ts', '.webm', '.wmv')
_EXIF_ORIENTATION = 0x0112


class Size(NamedTuple):
    """Of a frame, in pixels, as a viewer shows it."""
    height: int
    width: int


def natural_order(names: Iterable[str]) -> List[str]:
    """Names sorted with the numbers in them as numbers: frame9 before frame10."""
    return sorted(sorted(names), key=lambda name: [int(part) if part.isdecimal() else part.lower()
                                                   for part in re.split(r'(\d+)', name)])


def is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURES) and not name.startswith('.')


def pictures_in(folder: Path) -> List[Path]:
    """The pictures that lie in a folder, in natural order; none if there is no such folder."""
    if not folder.is_dir():
        return []
    with of_user_path(folder, 'cannot be listed'):
        return [folder / name for name in natural_order(filter(is_picture, os.listdir(folder)))]


def videos_in(place: Path) -> List[Path]:
    """A video file, or the videos of a folder that holds neither pictures nor folders; none otherwise."""
    if not place.is_dir():
        return [place] if place.is_file() and place.name.lower().endswith(VIDEOS) else []
    if pictures_in(place) or folders_in(place):
        return []
    return [video for suffix in VIDEOS for video in files_in(place, suffix)]


def files_in(folder: Path, suffix: str) -> List[Path]:
    """The files with a suffix that lie in a folder, in natural order."""
    with of_user_path(folder, 'cannot be listed'):
        names = [name for name in os.listdir(folder) if name.lower().endswith(suffix) and not name.startswith('.')]
    return [folder / name for name in natural_order(names)]


def folders_in(folder: Path) -> List[Path]:
    """The folders in a folder, in natural order."""
    with of_user_path(folder, 'cannot be listed'):
        names = [name for name in os.listdir(folder) if not name.startswith('.') and (folder / name).is_dir()]
    return [folder / name for name in natural_order(names)]


def walk(folder: Path) -> Iterable[Path]:
    """A folder and all folders in it, in natural order."""
    yield folder
    for inner in folders_in(folder):
        yield from walk(inner)


def perhaps(folder: Path, holds: Callable[[Path], object]) -> str:
    """The end of a sentence on a folder that holds nothing: the first folder in it of which ``holds`` is true."""
    inner = next((inner for inner in folders_in(folder) if holds(inner)), None)
    return '' if inner is None else f'; perhaps {inner} is meant'


def frame_number(name: str) -> Optional[int]:
    """The number that the name of a frame ends in: 12 of 'frame_000012.png'; None without one."""
    found = re.search(r'(\d+)\D*$', Path(name).stem)
    return int(found.group(1)) if found else None


def picture_size(path: Path) -> Size:
    """The size of a picture, turned as its EXIF orientation says; only its header is read.

    Raises:
        InputError: it is missing, or no picture.
    """
    try:
        with of_user_path(f'picture {path}'), Image.open(path) as picture:
            turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
            width, height = picture.size
    except InputError as error:
        # Pillow's UnidentifiedImageError is an OSError without a reason of the system.
        if isinstance(error, InputMissingError) or not _is_unknown(error):
            raise
        raise InputError(f'{path} is no picture that can be read.') from None
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'{path} is no picture that can be read ({error}).') from None
    return Size(width, height) if turned else Size(height, width)


def _is_unknown(error: InputError) -> bool:
    return getattr(error.__cause__, 'errno', None) is None


def common_folder(paths: Sequence[Path], wanted: Sequence[Optional[Path]]) -> Path:
    """The first of the wanted folders that all files lie in, else the lowest one that all do."""
    paths = [Path(os.path.abspath(path)) for path in paths]
    for folder in wanted:
        if folder is not None and all(Path(os.path.abspath(folder)) in path.parents for path in paths):
            return Path(os.path.abspath(folder))
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # drives of Windows
        raise InputError(f'The pictures {paths[0]} and {paths[-1]} are in no common folder.') from None
