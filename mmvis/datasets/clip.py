"""A clip on its way through the data path: what a transform takes and gives."""
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.registry import FUNCTIONS
from mmengine.structures import InstanceData

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample, PackedSamples
from mmvis.structures import VideoInfo


@dataclass
class ClipFrame:
    """One frame of a clip with the objects present in it.

    Attributes:
        frame_idx: 0-based index of the frame in its video.
        image: uint8 [height, width, 3], BGR.
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels of ``image`` (inclusive corners where the clip says so).
        labels: int64 [N], 0-based classes.
        instance_ids: int64 [N], one number an object, equal in all frames of the clip.
        masks: uint8 [N, height, width], 0 or 1.
        crowd: bool [N].
        polygons: of N objects the outlines of their parts, float64 [P, 2], x y in pixels of ``image``, from which
            ``ClipRotate`` and ``ClipDrawPolygons`` draw the masks anew; None for an object of which there is a mask alone,
            and in place of the list where that holds for all.
    """
    frame_idx: int
    image: np.ndarray
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    instance_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    masks: np.ndarray = None
    crowd: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    polygons: Optional[List[Optional[List[np.ndarray]]]] = None

    def __post_init__(self) -> None:
        if self.masks is None:
            self.masks = np.zeros((len(self.boxes), *self.image.shape[:2]), np.uint8)


@dataclass
class Clip:
    """Frames of one video, in the order in which the clip strategy gave them.

    A transform is a class registered in ``TRANSFORMS`` whose ``__call__(clip, rng) -> Clip`` draws once from ``rng``
    and applies the draw to all frames; it may change the clip in place.

    Attributes:
        video_id: id of the annotation file.
        num_frames: length of the video; None for a stream, whose end is not known (in inference only).
        ori_shape: (h, w) of the annotation file.
        frames: T frames.
        inclusive: True if ``x2 = x + w - 1`` (MaskTrackRCNN, SipMask, MemCNP), False if ``x2 = x + w``.
        scale_factor: network / original size, one float.
        flip: whether the frames were flipped horizontally.
    """
    video_id: Union[int, str]
    num_frames: Optional[int]
    ori_shape: Tuple[int, int]
    frames: List[ClipFrame]
    inclusive: bool = False
    scale_factor: float = 1.0
    flip: bool = False


def stack_images(clip: Clip) -> torch.Tensor:
    """uint8 [T, 3, height, width] BGR of the frames of a clip; all must have the same size."""
    sizes = {frame.image.shape for frame in clip.frames}
    if len(sizes) > 1:
        raise InputError(f'video {clip.video_id}: the frames of a clip must leave the pipeline with one size, '
                         f'got {sorted(sizes)}.')
    return torch.from_numpy(np.stack([frame.image for frame in clip.frames]).transpose(0, 3, 1, 2).copy())


def pack_chunk(clip: Clip) -> Dict[str, Any]:
    """Frames of a video for a model: ``inputs`` uint8 [T, 3, height, width] BGR, and ``video``, its VideoInfo."""
    video = VideoInfo(clip.video_id, clip.ori_shape, clip.frames[0].image.shape[:2], clip.scale_factor, clip.num_frames)
    return dict(inputs=stack_images(clip), video=video)


def pack_clip(clip: Clip) -> Dict[str, Any]:
    """Training item of a clip: ``inputs`` uint8 [T, 3, height, width] BGR and ``data_samples``, T FrameSamples."""
    return dict(inputs=stack_images(clip), data_samples=[_pack_frame(clip, frame) for frame in clip.frames])


def _pack_frame(clip: Clip, frame: ClipFrame) -> FrameSample:
    sample = FrameSample(metainfo=dict(
        video_id=clip.video_id, frame_idx=frame.frame_idx, num_frames=clip.num_frames, ori_shape=clip.ori_shape,
        img_shape=frame.image.shape[:2], scale_factor=clip.scale_factor, flip=clip.flip))
    sample.gt_instances = _instances(frame, ~frame.crowd)
    sample.ignored_instances = _instances(frame, frame.crowd)
    return sample


def _instances(frame: ClipFrame, chosen: np.ndarray) -> InstanceData:
    return InstanceData(
        bboxes=torch.from_numpy(frame.boxes[chosen]), labels=torch.from_numpy(frame.labels[chosen]),
        masks=torch.from_numpy(frame.masks[chosen]), instance_ids=torch.from_numpy(frame.instance_ids[chosen]))


@FUNCTIONS.register_module()
def clip_collate(items: List[Dict[str, Any]]) -> Dict[str, Any]:
    """A batch: every value becomes the list of the B items' values, nothing is stacked or regrouped; samples are packed
    (``PackedSamples``, which is read as the list is)."""
    batch = {key: [item[key] for item in items] for key in items[0]}
    if 'data_samples' in batch:
        batch['data_samples'] = PackedSamples(batch['data_samples'])
    return batch
