"""Which videos of a set are looked at, and where their frames are."""
import os
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

from mmvis.errors import InputError

from .names import video_names


def choose_videos(videos: Sequence[Any], wanted: Optional[Sequence[str]], ann_file: str) -> List[Tuple[Any, str]]:
    """(video, name of its files) of the wanted videos, in the order of the file.

    Args:
        videos: all of the annotation file, with ``video_id`` and ``file_names``.
        wanted: ids or folder names; all videos if there are none.

    Raises:
        InputError: there is no such video.
    """
    pairs = list(zip(videos, video_names(videos)))
    if not wanted:
        return pairs
    known = {text for video, name in pairs for text in (str(video.video_id), name)}
    for text in wanted:
        if text not in known:
            raise InputError(f'{ann_file} has no video {text!r}; its first is {pairs[0][0].video_id} ({pairs[0][1]}).')
    return [(video, name) for video, name in pairs if str(video.video_id) in wanted or name in wanted]


def frame_folder(folder: str, video: Any) -> str:
    """The folder, or the level JPEGImages below it, where that has the frames (``video.file_names``)."""
    inner = Path(folder) / 'JPEGImages'
    return str(inner) if not os.path.isfile(Path(folder) / video.file_names[0]) and inner.is_dir() else folder
