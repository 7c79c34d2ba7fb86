"""Annotations and meta data of one frame of a clip, as the data path hands them to ``loss``."""
from mmengine.structures import BaseDataElement, InstanceData


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
