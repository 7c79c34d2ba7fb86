"""Annotations and meta data of one frame of a clip, as the data path hands them to ``loss``."""
import copy
import math
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor


class FrameSample(BaseDataElement):
    """One frame of a training clip.

    A ``BaseDataElement``, because mmengine's data preprocessor moves only those (and tensors) to the device.

    Meta data: ``video_id`` (id of the file), ``frame_idx`` (0-based in the video), ``num_frames`` (length of the
    video), ``ori_shape`` (h, w), ``img_shape`` (height, width after resizing and cropping), ``scale_factor`` (float,
    network / original), ``flip`` (bool); the data preprocessor adds ``pad_shape`` (H, W).

    ``gt_instances`` (InstanceData of N): ``bboxes`` float32 [N, 4] x1 y1 x2 y2 in pixels of img_shape, ``labels`` int64
    [N] 0-based, ``masks`` uint8 [N, H, W] (of img_shape until the data preprocessor pads it), ``instance_ids`` int64 [N]:
    one number an object, equal in all frames of the clip. Only objects present in the frame are listed.
    ``ignored_instances`` (InstanceData): the same fields for crowd regions.
    """

    @property
    def gt_instances(self) -> InstanceData:
        return self._gt_instances

    @gt_instances.setter
    def gt_instances(self, value: InstanceData) -> None:
        self.set_field(value, '_gt_instances', dtype=InstanceData)

    @property
    def ignored_instances(self) -> InstanceData:
        return self._ignored_instances

    @ignored_instances.setter
    def ignored_instances(self, value: InstanceData) -> None:
        self.set_field(value, '_ignored_instances', dtype=InstanceData)


class PackedSamples:
    """The samples of B clips in one tensor: ``clips[b][t]`` is a FrameSample, made of views of it when it is asked for.

    A tensor that comes from a worker takes an open file, and one that goes to a GPU a copy; a clip of ten frames has
    eighty.

    Attributes:
        buffer: uint8 [bytes].
    """

    def __init__(self, clips: Sequence[Sequence[FrameSample]]) -> None:
        self._size = 0
        placed: List[Tuple[int, Tensor]] = []
        self._frames = [[(sample.metainfo, {name: {key: self._place(value, placed) for key, value in part.items()}
                                            for name, part in sample.items()}) for sample in clip] for clip in clips]
        self.buffer = torch.zeros(self._size, dtype=torch.uint8)
        for start, tensor in placed:
            _view(self.buffer, start, tensor.dtype, tensor.shape).copy_(tensor)

    def _place(self, value: Any, placed: List[Tuple[int, Tensor]]) -> Any:
        if not isinstance(value, Tensor):
            return value
        start = self._size
        placed.append((start, value))
        self._size += -(-value.numel() * value.element_size() // 8) * 8            # every type can be read from there
        return _Place(start, value.dtype, tuple(value.shape))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> List[FrameSample]:
        return [self._unpack(*frame) for frame in self._frames[index]]

    def on(self, buffer: Tensor) -> List[List[FrameSample]]:
        """All samples, in a copy of the buffer on a device."""
        moved = copy.copy(self)
        moved.buffer = buffer
        return list(moved)

    def labels(self) -> Iterator[Tuple[Dict[str, Any], Tensor]]:
        """Meta data of every sample and the labels of its ``gt_instances``."""
        for meta, parts in (frame for clip in self._frames for frame in clip):
            yield meta, _view(self.buffer, *parts['gt_instances']['labels'])

    def pin_memory(self) -> 'PackedSamples':
        """For data loaders with ``pin_memory``."""
        self.buffer = self.buffer.pin_memory()
        return self

    def _unpack(self, meta: Dict[str, Any], parts: Dict[str, Dict[str, Any]]) -> FrameSample:
        sample = FrameSample(metainfo=meta)
        for name, part in parts.items():
            setattr(sample, name, InstanceData(**{
                key: _view(self.buffer, *value) if isinstance(value, _Place) else value for key, value in part.items()}))
        return sample


class _Place(NamedTuple):
    start: int
    dtype: torch.dtype
    shape: Tuple[int, ...]


def _view(buffer: Tensor, start: int, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    size = math.prod(shape) * dtype.itemsize
    return buffer[start:start + size].view(dtype).view(shape)
