"""What every format is read into and written from: videos, their frames, and tracks with a mask a frame."""
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import InputError, shown
from mmvis.structures import RLE, encode_mask

from .pictures import Size, common_folder, picture_size

Id = Union[int, str]


@dataclass
class Track:
    """One object through a video.

    Attributes:
        track_id: of the source; texts where it has texts.
        category: name of its class.
        masks: frame -> RLE of at least one pixel, at the size of the video.
        crowd: it stands for a group (``iscrowd``).
        score: of a prediction; None for an annotation.
    """
    track_id: Id
    category: str
    masks: Dict[int, RLE] = field(default_factory=dict)
    crowd: bool = False
    score: Optional[float] = None


@dataclass
class LabeledVideo:
    """A video and its tracks; size in pixels.

    Attributes:
        name: what tells it from the others: a folder of frames, or its file.
        file_names: below ``VideoSet.root``, in order of time, with '/'.
        video_id: of the source, where it has one.
        image_ids: of the source (COCO), one a frame, where it has them.
    """
    name: str
    height: int
    width: int
    file_names: List[str]
    tracks: List[Track] = field(default_factory=list)
    video_id: Optional[Id] = None
    image_ids: Optional[List[Id]] = None

    @property
    def size(self) -> Size:
        return Size(self.height, self.width)


@dataclass
class VideoSet:
    """What a source holds.

    Attributes:
        root: the folder that file names start from; None where the source knows no pictures.
        videos: in natural order of their names, or as in the source.
        categories: name -> id, in the order of the labels.
        notes: sentences on what was left out or is not plain; they are printed.
    """
    root: Optional[Path]
    videos: List[LabeledVideo]
    categories: Dict[str, Id]
    notes: List[str] = field(default_factory=list)


class TrackTable:
    """The tracks of one video, collected mask by mask.

    Args:
        size: of the video.
        join: unite the masks that one track has in one frame; otherwise they are refused.
    """

    def __init__(self, size: Size, join: bool) -> None:
        self.size, self.join = size, join
        self._tracks: Dict[object, Track] = {}

    def add(self, key: object, track_id: Id, category: str, frame: int, rle: RLE, where: str,
            crowd: bool = False) -> None:
        """Put a mask to its track.

        Args:
            key: names the track; one that is new makes a new track.
            where: the beginning of a sentence about the mask.

        Raises:
            InputError: the track has another class before, or a mask in this frame already.
        """
        track = self._tracks.setdefault(key, Track(track_id, category, {}, crowd))
        if track.category != category:
            first = min(track.masks, default=frame)
            raise InputError(f'{where}: track {shown(track_id)} is {shown(category)} here and {shown(track.category)} '
                             f'in frame {first}: a track has one class.')
        if frame in track.masks:
            if not self.join:
                raise InputError(f'{where}: track {shown(track_id)} has a mask in frame {frame} already.')
            track.masks[frame] = unite([track.masks[frame], rle])
        elif has_pixel(rle):
            track.masks[frame] = rle

    @property
    def tracks(self) -> List[Track]:
        """Those with a mask, in the order in which they came."""
        return [track for track in self._tracks.values() if track.masks]


class ShapeCount:
    """How many masks were drawn as such, and how many are only a rectangle around an object."""

    def __init__(self) -> None:
        self.outlines, self.rectangles, self.round = 0, 0, 0

    def notes(self, source: Path) -> List[str]:
        """Sentences on the shapes that are taken as they stand.

        Raises:
            InputError: all shapes are rectangles.
        """
        if self.rectangles and not self.outlines + self.round:
            raise InputError(f'{source}: all {self.rectangles} shapes are rectangles: boxes say nothing of the masks '
                             'that are learned here. Draw polygons or masks (SAM in the annotation tool makes them '
                             'from boxes).')
        found = []
        if self.rectangles:
            found.append(f'{self.rectangles} rectangles were taken as masks that fill them.')
        if self.round:
            found.append(f'{self.round} circles and ellipses were taken as masks that fill them.')
        return found


def has_pixel(rle: RLE) -> bool:
    return mask_area(rle) > 0


def mask_area(rle: RLE) -> int:
    return int(coco_mask.area(as_bytes(rle)))


def mask_box(rle: RLE) -> List[float]:
    """x y w h, pixels."""
    return [float(value) for value in coco_mask.toBbox(as_bytes(rle))]


def as_bytes(rle: RLE) -> Dict[str, object]:
    """The form that pycocotools takes."""
    return {'size': rle['size'], 'counts': rle['counts'].encode('ascii')}


def as_rle(counts: bytes, size: Size) -> RLE:
    return RLE(size=[size.height, size.width], counts=counts.decode('ascii'))


def unite(rles: Sequence[RLE]) -> RLE:
    """The pixels of all masks."""
    if len(rles) == 1:
        return rles[0]
    joined = coco_mask.merge([as_bytes(rle) for rle in rles])
    return RLE(size=list(rles[0]['size']), counts=joined['counts'].decode('ascii'))


def masks_of_labels(labels: np.ndarray) -> Dict[int, RLE]:
    """The mask of every number above 0 in a picture of numbers [h, w]."""
    values = np.flatnonzero(np.bincount(labels.ravel()))
    return {int(value): encode_mask(labels == value) for value in values if value > 0}


def check_sizes(video: str, paths: Sequence[Path]) -> Size:
    """The one size of the pictures of a video.

    Raises:
        InputError: a picture cannot be read, or has another size than the first.
    """
    first = picture_size(paths[0])
    for path in paths[1:]:
        size = picture_size(path)
        if size != first:
            raise InputError(f'video {shown(video)}: {path} is {size.width} x {size.height} pixels, but {paths[0]} is '
                             f'{first.width} x {first.height}: the frames of a video have one size.')
    return first


def set_file_names(videos: Sequence[Tuple[LabeledVideo, Sequence[Path]]], *wanted: Optional[Path]) -> Path:
    """Write the names of the pictures into their videos; returns the folder that they start from.

    Args:
        wanted: folders, the first of which that holds all pictures is taken.
    """
    root = common_folder([path for _, paths in videos for path in paths], wanted)
    for video, paths in videos:
        video.file_names = [relative_name(path, root) for path in paths]
    return root


def relative_name(path: Path, root: Path) -> str:
    return Path(os.path.abspath(path)).relative_to(root).as_posix()


def number_categories(names: Sequence[str]) -> Dict[str, Id]:
    """Ids from 1 for names in alphabetical order, for sources that have names alone."""
    return {name: number for number, name in enumerate(sorted(set(names)), start=1)}


def used_categories(videos: Sequence[LabeledVideo]) -> List[str]:
    """Names of classes that tracks have, each once."""
    return sorted({track.category for video in videos for track in video.tracks})


def json_text(data: object) -> str:
    return json.dumps(data, ensure_ascii=False)
