"""Plain data that travels between the parts of the toolbox.

Legend used in every docstring of the project: B clips, T frames, N instances or tracks, Q queries,
C channels, H x W the size of the network input, h x w the original size of the video, K classes.
Boxes are ``x1 y1 x2 y2`` in pixels of a named frame size. Labels are 0-based everywhere inside; category
and video ids are those of the annotation file. ``frame_idx`` is 0-based in the video.
"""
from .frame_instances import FrameInstances
from .rle import RLE, decode_rle, encode_crop, encode_mask, encode_masks
from .track_history import TrackHistory, TrackVerdict
from .video_result import TrackScore, VideoInfo, VideoResult, VideoTrack, with_empty_masks

__all__ = ['FrameInstances', 'RLE', 'TrackHistory', 'TrackScore', 'TrackVerdict', 'VideoInfo', 'VideoResult', 'VideoTrack',
           'decode_rle', 'encode_crop', 'encode_mask', 'encode_masks', 'with_empty_masks']
