"""Names of the files and folders that are written for videos and frames: never the same for two of them, never a way
out of their folder."""
import hashlib
import os
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import Iterable, List, Sequence

from mmvis.errors import InputError

#: Bytes of a name for an id; file systems take 255, and a suffix comes behind it.
_LONGEST = 200


def safe_name(text: object) -> str:
    """A file name for an id, another one for every id.

    What a file name cannot hold is written as in addresses ('a/b' is a%2Fb, '..' is %2E%2E); a very long name is cut
    short and ends in a digest.
    """
    text = str(text)
    if not text.strip('.'):
        return text.replace('.', '%2E') or '%'
    name = re.sub(r'[%/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]', _escaped, text)
    if len(name.encode()) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        name = f'{name.encode()[:_LONGEST - 40].decode(errors="ignore")}%~{digest}'
    return name


def _escaped(found: re.Match) -> str:
    return ''.join(f'%{byte:02X}' for byte in found.group().encode('utf-8', 'surrogatepass'))


def video_names(videos: Sequence) -> List[str]:
    """A folder name for each video: the folder of its frames, or its id where that is not one folder for one video.

    Args:
        videos: with ``video_id`` and ``file_names``.
    """
    folders = [{str(PurePosixPath(name).parent) for name in video.file_names} for video in videos]
    shared = Counter(name for names in folders for name in names)
    names = [_folder_name(own, shared) for own in folders]
    taken = set(names)
    for index, video in enumerate(videos):
        if names[index] is None:
            name = safe_name(video.video_id)
            while name in taken:  # it is the folder of another video
                name += '%'
            names[index] = name
            taken.add(name)
    return names


def _folder_name(names: set, shared: Counter):
    name = next(iter(names), '.')
    if len(names) != 1 or shared[name] != 1 or name == '.' or name.startswith('/') or '..' in name:
        return None
    return '/'.join(map(safe_name, name.split('/')))


def frame_names(file_names: Sequence[str]) -> List[str]:
    """A name without suffix for each frame of a video: that of its file, with as much around it as tells them apart."""
    paths = [PurePosixPath(name) for name in file_names]
    for names in ([safe_name(path.stem) for path in paths], [safe_name(path.with_suffix('')) for path in paths],
                  [safe_name(path) for path in paths]):
        if len(set(names)) == len(names):
            return names
    return [f'{number:05d}' for number in range(len(paths))]


def check_apart(folders: Iterable, frames: Iterable[str]) -> None:
    """Refuse folders for pictures that hold frames of the data set, which the pictures could replace.

    Args:
        frames: paths of the frames.

    Raises:
        InputError: one of the folders does, also through links.
    """
    sources = {os.path.realpath(folder) for folder in {os.path.dirname(frame) for frame in frames}}
    for folder in folders:
        if os.path.realpath(folder) in sources:
            raise InputError(f'Pictures would be written into {folder}, among the frames of the data set: choose '
                             'another folder.')
