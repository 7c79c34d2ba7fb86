"""What is known of a video before inference (VideoInfo) and after it (VideoResult)."""
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple, Union

import numpy as np

from .frame_instances import FrameInstances
from .rle import RLE, encode_mask


@dataclass(frozen=True)
class VideoInfo:
    """One video as the model sees it, given to ``start``.

    Attributes:
        video_id: id of the annotation file (or a name, for a video file or a camera).
        ori_shape: (h, w), original frame size in pixels.
        img_shape: (height, width) after resizing, before padding, in pixels of the network input.
        scale_factor: network size / original size. One float where a system keeps one (MaskTrackRCNN), which
            is not always the ratio of the rounded sizes.
        num_frames: length of the video; ``None`` for a stream without end.
    """
    video_id: Union[int, str]
    ori_shape: Tuple[int, int]
    img_shape: Tuple[int, int]
    scale_factor: float
    num_frames: Optional[int] = None


@dataclass(frozen=True)
class TrackScore:
    """The verdict of ``finish`` on one track: its class and confidence for the whole video.

    A track may have several verdicts, one a class: each becomes an entry of the results file with the same masks.
    From frame ``born`` on, an empty mask stands for each frame without the track; ``None``: nothing stands for it.
    """
    track_id: int
    label: int
    score: float
    born: Optional[int] = None


@dataclass
class VideoTrack:
    """One entry of a results file: a verdict and the masks, by frame index (absent frames are left out)."""
    track_id: int
    label: int
    score: float
    masks: Dict[int, RLE] = field(default_factory=dict)


@dataclass
class VideoResult:
    """All tracks of one video, in the order of the results file."""
    video_id: Union[int, str]
    num_frames: int
    tracks: List[VideoTrack]

    @classmethod
    def from_frames(cls, video: VideoInfo, frames: List[FrameInstances], scores: List[TrackScore]) -> 'VideoResult':
        """Join the frames of a video with the verdicts on its tracks; frames may come in any order."""
        masks: Dict[int, Dict[int, RLE]] = {verdict.track_id: {} for verdict in scores}
        last = -1
        for frame in frames:
            last = max(last, frame.frame_idx)
            for track_id, rle in zip(frame.track_ids.tolist(), frame.masks):
                if rle is not None and track_id in masks:
                    masks[track_id][frame.frame_idx] = rle
        num_frames = video.num_frames if video.num_frames is not None else last + 1
        tracks = [VideoTrack(v.track_id, v.label, v.score,
                             with_empty_masks(masks[v.track_id], v.born, num_frames, video.ori_shape)) for v in scores]
        return cls(video.video_id, num_frames, tracks)


def with_empty_masks(masks: Dict[int, RLE], born: Optional[int], num_frames: int,
                     size: Tuple[int, int]) -> Dict[int, RLE]:
    """Masks by frame index, and from frame ``born`` on an empty one at ``size`` (h, w) for each missing frame."""
    if born is None:
        return masks
    empty = encode_mask(np.zeros(size, np.uint8))
    return {**dict.fromkeys(range(born, num_frames), empty), **masks}
