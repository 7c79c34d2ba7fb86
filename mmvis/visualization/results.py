"""Pictures of a results file, whichever tool wrote it."""
import itertools
import os
from dataclasses import dataclass, field
from typing import Any, Collection, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmvis.annotations import AnnotationIndex, VideoRecord
from mmvis.datasets.images import OnDamage, read_frame
from mmvis.errors import InputError, shown
from mmvis.evaluation.results_reader import iterate_results
from mmvis.evaluation.results_repair import as_rle, is_rle
from mmvis.structures import RLE, FrameInstances
from mmvis.structures.rle_check import areas_of_good

from .appearance import number_tracks
from .drawing import draw_frame
from .writers import contact_sheet

VideoId = Union[int, str]


@dataclass
class Track:
    """One object through a video. ``masks``: frame -> RLE, only where there is a pixel."""
    track_id: int
    label: int
    score: float
    masks: Dict[int, RLE]


@dataclass
class Drawing:
    """What is to be drawn: tracks by video, and a name for each label."""
    title: str
    classes: List[str]
    tracks: Dict[VideoId, List[Track]] = field(default_factory=dict)

    def draw(self, image: np.ndarray, video_id: VideoId, frame_idx: int) -> np.ndarray:
        """The frame, uint8 [h, w, 3] BGR, with the tracks that are in it."""
        there = [track for track in self.tracks.get(video_id, []) if frame_idx in track.masks]
        masks = [track.masks[frame_idx] for track in there]
        boxes = [[x, y, x + w, y + h] for x, y, w, h in
                 (coco_mask.toBbox(_encoded(rle)) for rle in masks)]
        frame = FrameInstances(frame_idx, np.array([track.track_id for track in there], np.int64),
                               np.array([track.label for track in there], np.int64),
                               np.array([track.score for track in there], np.float32),
                               np.array(boxes, np.float32).reshape(-1, 4), masks)
        return draw_frame(image, frame, self.classes, thresh=-np.inf)


def read_results(path: Union[str, os.PathLike], index: AnnotationIndex, videos: Collection[VideoId],
                 thresh: float) -> Drawing:
    """The tracks of some videos with a score of at least ``thresh``, by falling score, with the numbers that the
    overlays of a run colour them by (``AppearanceOrder``).

    Raises:
        ValueError: an entry that cannot be drawn; the sentence names entry and field.
    """
    labels = {category_id: label for label, (category_id, _) in enumerate(index.meta['categories'])}
    drawing = Drawing('results', [name for _, name in index.meta['categories']])
    positions = {video_id: position for position, video_id in enumerate(index.meta['video_ids'])}
    first_masks: Dict[VideoId, List[Optional[Tuple[int, str]]]] = {}  # of all entries
    places: List[Tuple[Track, VideoId, int]] = []
    for number, entry in enumerate(iterate_results(path)):
        where = f'{path}, entry {number}'
        try:
            video_id, category_id, score = entry['video_id'], entry['category_id'], float(entry['score'])
            if video_id not in positions:
                raise InputError(f'{where}: video_id {video_id!r} is not in {index.meta["ann_file"]}.')
            if video_id not in videos:
                continue
            seen = first_masks.setdefault(video_id, [])
            seen.append(_first_mask(entry['segmentations']))
            if not score >= thresh:
                continue
            masks = _read_masks(entry['segmentations'], index.video(positions[video_id]), where)
            if category_id not in labels:
                labels[category_id] = len(drawing.classes)
                drawing.classes.append(f'category {category_id}')
        except (KeyError, TypeError):
            raise InputError(f'{where}: video_id, category_id, score or segmentations are missing or of another kind '
                             '(tools/check_results.py says more).') from None
        track = Track(0, labels[category_id], score, masks)
        drawing.tracks.setdefault(video_id, []).append(track)
        places.append((track, video_id, len(seen) - 1))
    numbers = {video_id: number_tracks(seen) for video_id, seen in first_masks.items()}
    for track, video_id, place in places:
        track.track_id = numbers[video_id][place]
    for tracks in drawing.tracks.values():
        tracks.sort(key=lambda track: -track.score)
    return drawing


def _first_mask(frames: Sequence[Any]) -> Optional[Tuple[int, str]]:
    """Frame and counts of the first mask that has a pixel; what is no RLE is passed over."""
    for t, frame in enumerate(frames):
        if isinstance(frame, dict) and is_rle(frame):
            pixels = np.array([int(frame['size'][0]) * int(frame['size'][1])])
            areas = areas_of_good([frame['counts']], pixels)
            if areas is not None and areas[0]:
                return t, frame['counts']
    return None


def _read_masks(frames: Sequence[Any], video: VideoRecord, where: str) -> Dict[int, RLE]:
    size, masks = [video.height, video.width], {}
    for t, frame in enumerate(frames[:video.num_frames]):
        if not frame:
            continue
        rle, problem = (frame, '') if isinstance(frame, dict) and is_rle(frame) else as_rle(frame, size)
        if rle is None:
            raise InputError(f'{where}: segmentations[{t}]{problem}.')
        if rle['size'] != size:
            raise InputError(f'{where}: segmentations[{t}].size is {rle["size"]}, but the frames of video '
                             f'{video.video_id!r} are {size}.')
        masks[t] = rle
    areas = areas_of_good([rle['counts'] for rle in masks.values()], np.full(len(masks), video.height * video.width))
    if areas is None:
        raise InputError(f'{where}: a counts string of segmentations is no RLE of {size} '
                         '(tools/check_results.py says which).')
    return {t: rle for (t, rle), area in zip(masks.items(), areas.tolist()) if area}


def read_ground_truth(index: AnnotationIndex, videos: Collection[VideoId]) -> Drawing:
    """The annotated objects of some videos, numbered from 1 in the order of the file."""
    drawing = Drawing('ground truth', [name for _, name in index.meta['categories']])
    for position, video_id in enumerate(index.meta['video_ids']):
        if video_id not in videos:
            continue
        size, tracks = [int(index.heights[position]), int(index.widths[position])], {}
        for t in range(int(index.frame_ptr[position + 1] - index.frame_ptr[position])):
            for entry in index.entries(position, t).tolist():
                found = int(index.entry_objects[entry])
                text = index.mask_bytes[index.mask_ptr[entry]:index.mask_ptr[entry + 1]].tobytes().decode('ascii')
                track = tracks.setdefault(found, Track(0, int(index.object_categories[found]), 1.0, {}))
                track.masks[t] = RLE(size=size, counts=text)
        drawing.tracks[video_id] = [tracks[found] for found in sorted(tracks)]
        for number, track in enumerate(drawing.tracks[video_id], start=1):
            track.track_id = number
    return drawing


def match_colours(truth: Drawing, results: Drawing) -> None:
    """Give each annotated object the number, and so the colour, of the track that covers it best, if one does by half.

    Objects without a track get numbers that no track has.
    """
    for video_id, objects in truth.tracks.items():
        tracks = results.tracks.get(video_id, [])
        pairs = sorted(((_track_iou(track, found), t, o) for t, track in enumerate(tracks)
                        for o, found in enumerate(objects)), reverse=True)
        number_of: Dict[int, int] = {}
        for iou, t, o in pairs:
            if iou >= 0.5 and o not in number_of and tracks[t].track_id not in number_of.values():
                number_of[o] = tracks[t].track_id
        free = itertools.count(max((track.track_id for track in tracks), default=0) + 1)
        for o, found in enumerate(objects):
            found.track_id = number_of[o] if o in number_of else next(free)


def _track_iou(first: Track, second: Track) -> float:
    """Pixels in both over pixels in either, through the video."""
    areas = [{t: int(coco_mask.area(_encoded(rle))) for t, rle in track.masks.items()} for track in (first, second)]
    both = sum(float(coco_mask.iou([_encoded(first.masks[t])], [_encoded(second.masks[t])], [1])[0, 0]) * areas[0][t]
               for t in first.masks.keys() & second.masks.keys())
    either = sum(areas[0].values()) + sum(areas[1].values()) - both
    return both / either if either else 0.


def _encoded(rle: RLE) -> Dict[str, Any]:
    return {'size': rle['size'], 'counts': rle['counts'].encode('ascii')}


def draw_video(video: VideoRecord, folder: str, drawings: Sequence[Drawing],
               frames: Optional[Sequence[int]] = None,
               on_damage: Optional[OnDamage] = None) -> Iterator[Tuple[int, np.ndarray]]:
    """(frame_idx, picture) of the frames of a video; several drawings stand side by side under their titles.

    Args:
        folder: where ``video.file_names`` are.
        frames: those that are wanted (default: all).
        on_damage: see ``read_image``.
    """
    for frame_idx in range(video.num_frames) if frames is None else frames:
        try:
            image = read_frame(folder, video.file_names[frame_idx], video.height, video.width, on_damage)
        except InputError as error:
            raise type(error)(f'video {shown(video.video_id)}: {error}') from None
        pictures = [drawing.draw(image, video.video_id, frame_idx) for drawing in drawings]
        if len(pictures) > 1:
            pictures = [_with_title(picture, drawing.title) for picture, drawing in zip(pictures, drawings)]
        yield frame_idx, np.hstack(pictures)


def draw_sheet(video: VideoRecord, folder: str, drawings: Sequence[Drawing], columns: int, width: int,
               on_damage: Optional[OnDamage] = None, name: str = '') -> np.ndarray:
    """A contact sheet of frames at equal distances: a row for each drawing under the ``name`` of the video, uint8
    [height, width, 3] BGR."""
    frames = np.unique(np.linspace(0, video.num_frames - 1, columns).round().astype(int)).tolist()
    rows = [contact_sheet([picture for _, picture in draw_video(video, folder, [drawing], frames, on_damage)],
                          len(frames), width) for drawing in drawings]
    titles = [f'{name}: {drawing.title}' if name else drawing.title for drawing in drawings]
    if len(rows) == 1:
        return _with_title(rows[0], name) if name else rows[0]
    return np.vstack([_with_title(row, title) for row, title in zip(rows, titles)])


def _with_title(picture: np.ndarray, title: str) -> np.ndarray:
    height = max(18, picture.shape[0] // 20)
    strip = np.full((height, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, title, (6, height - height // 4), cv2.FONT_HERSHEY_SIMPLEX, height / 36, (0, 0, 0), 1,
                cv2.LINE_AA)
    return np.vstack([strip, picture])
