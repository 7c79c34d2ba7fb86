"""Pictures of a results file, whichever tool wrote it."""
from typing import Iterator, Optional, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmvis.annotations import VideoRecord
from mmvis.datasets.images import OnDamage, read_frame
from mmvis.errors import InputError, shown
from mmvis.structures import FrameInstances

from .drawing import draw_frame
from .tracks import Drawing, VideoId, encoded
from .writers import contact_sheet


def draw_tracks(image: np.ndarray, drawing: Drawing, video_id: VideoId, frame_idx: int) -> np.ndarray:
    """The frame, uint8 [h, w, 3] BGR, with the tracks that are in it."""
    there = [track for track in drawing.tracks.get(video_id, []) if frame_idx in track.masks]
    masks = [track.masks[frame_idx] for track in there]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (coco_mask.toBbox(encoded(rle)) for rle in masks)]
    frame = FrameInstances(frame_idx, np.array([track.track_id for track in there], np.int64),
                           np.array([track.label for track in there], np.int64),
                           np.array([track.score for track in there], np.float32),
                           np.array(boxes, np.float32).reshape(-1, 4), masks)
    return draw_frame(image, frame, drawing.classes, thresh=-np.inf)


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
        pictures = [draw_tracks(image, drawing, video.video_id, frame_idx) for drawing in drawings]
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
