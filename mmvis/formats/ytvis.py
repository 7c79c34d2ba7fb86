"""YouTube-VIS: the format of the project itself (data/README.md)."""
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmvis.annotations import Content, read_content, read_json
from mmvis.annotations.reader import VIDEOS
from mmvis.errors import InputError, InputMissingError, shown
from mmvis.structures.output_file import write_output
from mmvis.structures.rle_decode import counts_string

from .tracks import LabeledVideo, Track, VideoSet, as_rle, json_text, mask_area, mask_box


def read(source: Path, frames: Optional[Path]) -> VideoSet:
    """The videos of an annotation file; objects of one video are its tracks, numbered by their ids.

    Raises:
        InputError: one sentence naming file, record, field and value.
    """
    content = read_content(read_json(source), str(source))
    if content.format is not VIDEOS:
        raise InputError(f'{source} has images and no videos.')
    categories: Dict[str, Any] = {}
    for category_id, name in content.categories:
        if name in categories:
            raise InputError(f'{source}: categories {shown(categories[name])} and {shown(category_id)} have the same '
                             f'name, {shown(name)}.')
        categories[name] = category_id
    videos = [_read_video(content, position) for position in range(len(content.videos))]
    for a, position in enumerate(content.object_videos.tolist()):
        video = videos[position]
        items = range(content.first[a], content.first[a + 1])
        masks = {frame: as_rle(counts_string(content.masks[item], *video.size), video.size)
                 for frame, item in enumerate(items) if content.masks[item] is not None}
        if masks:
            name = content.categories[content.object_categories[a]][1]
            video.tracks.append(Track(content.object_ids[a], name, masks, content.object_crowd[a] == 1))
    return VideoSet(_find_root(source, videos, frames), videos, categories)


def _read_video(content: Content, position: int) -> LabeledVideo:
    video = content.videos[position]
    if video.file_names is None:
        raise InputError(f'{content.path}: video {shown(video.video_id)} has no file_names.')
    folder = os.path.dirname(video.file_names[0]).strip('/')
    shared = [other for other in content.videos
              if other.file_names and os.path.dirname(other.file_names[0]).strip('/') == folder]
    name = folder if folder and len(shared) == 1 and '..' not in folder else str(video.video_id)
    return LabeledVideo(name, video.height, video.width, list(video.file_names), [], video.video_id)


def _find_root(source: Path, videos: List[LabeledVideo], frames: Optional[Path]) -> Optional[Path]:
    beside = source.absolute().parent
    first = videos[0].file_names[0]
    for folder in [frames] if frames else [beside / source.stem / 'JPEGImages', beside / source.stem,
                                           beside / 'JPEGImages', beside]:
        if (folder / first).is_file():
            return folder.absolute()
    if frames:
        raise InputMissingError(f'{source}: the first frame, {shown(first)}, is not in {frames}.')
    return None


def write(videos: VideoSet, out: Path) -> List[str]:
    """One annotation file. Ids of videos and categories are those of the source where it has them, else from 1."""
    ids = [video.video_id for video in videos.videos]
    if None in ids or len(set(ids)) < len(ids):
        ids = list(range(1, len(ids) + 1))
    records, annotations = [], []
    for video_id, video in zip(ids, videos.videos):
        length = len(video.file_names)
        records.append(dict(id=video_id, width=video.width, height=video.height, length=length,
                            file_names=video.file_names))
        for track in video.tracks:
            masks = [track.masks.get(frame) for frame in range(length)]
            annotations.append(dict(
                id=len(annotations) + 1, video_id=video_id, category_id=videos.categories[track.category],
                iscrowd=int(track.crowd), width=video.width, height=video.height, length=length,
                segmentations=masks, bboxes=[None if rle is None else mask_box(rle) for rle in masks],
                areas=[None if rle is None else mask_area(rle) for rle in masks]))
    categories = [dict(id=category_id, name=name) for name, category_id in videos.categories.items()]
    write_output(out, json_text(dict(videos=records, categories=categories, annotations=annotations)))
    return []


def write_results(videos: List[LabeledVideo], categories: Dict[str, Any], out: Path) -> None:
    """A results file: one entry a track, with its masks and score."""
    entries = [dict(video_id=video.video_id, score=track.score, category_id=categories[track.category],
                    segmentations=[track.masks.get(frame) for frame in range(len(video.file_names))])
               for video in videos for track in video.tracks]
    write_output(out, json_text(entries))
