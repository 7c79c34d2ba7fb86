"""The pictures of videos, for annotations whose frames are still in a video file."""
import os
from pathlib import Path
from typing import List

from mmvis.errors import InputError
from mmvis.formats.pictures import videos_in
from mmvis.visualization import write_image

from .sources import open_source


def cut_videos(source: Path, out: Path) -> List[str]:
    """Write ``out/<video>/<number>.jpg``, numbers from 0, of every frame of a video or of the videos of a folder.

    Returns:
        A sentence a video.

    Raises:
        InputError: a video cannot be read, two have one name, or ``out`` is a link, behind which other pictures lie.
    """
    if os.path.islink(out):
        raise InputError(f'{out} is a link to {os.path.realpath(out)}: remove it, or choose another --out, for the '
                         f'frames of {source} are to be written there.')
    videos, told = videos_in(source), []
    for video in videos:
        twin = next(other for other in videos if other.stem == video.stem)
        if twin != video:
            raise InputError(f'{twin} and {video} have one name: their frames need folders of their own.')
    for video in videos:
        opened, number = open_source(video), -1
        for number, frame in enumerate(opened):
            write_image(out / video.stem / f'{number:06d}.jpg', frame)
        told.append(f'{video} ({opened.decoder}): {number + 1} frames in {out / video.stem}')
    return told
