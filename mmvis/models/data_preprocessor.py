"""From the uint8 frames of the data path to the float batch of the network."""
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample, PackedSamples
from mmvis.ops.transfer import to_device
from mmvis.registry import MODELS

Samples = Union[PackedSamples, Sequence[Sequence[FrameSample]]]


@MODELS.register_module()
class ClipPreprocessor(BaseDataPreprocessor):
    """Moves a batch to the device of the model, normalises ``(x - mean) / std`` in float32 and pads right and bottom.

    Args:
        mean, std: of the three channels, in the order that the network takes.
        bgr_to_rgb: reverse the channels of the (BGR) frames.
        pad_size_divisor: H and W become multiples of it; the padding is 0 after normalising.
        size: (H, W), instead: all frames get this size.
        pad_value: grey level of the padding, of the frames, instead of 0 after normalising.

    Attributes:
        num_classes: of the model, which sets it; None: not known. Labels are compared with it while they are on the host:
            a GPU would notice them in the middle of a kernel, and could not be used any more.
    """
    num_classes: Optional[int] = None

    def __init__(self, mean: Sequence[float] = (123.675, 116.28, 103.53),
                 std: Sequence[float] = (58.395, 57.12, 57.375), bgr_to_rgb: bool = True,
                 pad_size_divisor: int = 32, size: Optional[Tuple[int, int]] = None, pad_value: Optional[float] = None
                 ) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.bgr_to_rgb = bgr_to_rgb
        self.pad_size_divisor = pad_size_divisor
        self.size = None if size is None else tuple(size)
        self.pad_value = pad_value

    def forward(self, data: Dict[str, Any], training: bool = False) -> Dict[str, Any]:
        """Preprocess a batch.

        Args:
            data: ``inputs``: list of B uint8 [T, 3, height, width] (sizes may differ in training); ``data_samples``:
                B lists of T FrameSample (training only), as they are or packed. In testing one chunk, alone or in a list.

        Returns:
            ``inputs`` float32 [B, T, 3, H, W] and the samples, whose ``pad_shape`` is (H, W) and whose masks are
            padded; in testing ``inputs`` float32 [T, 3, H, W]. Other entries are passed on.

        Raises:
            InputError: what does not fit together, or a label that the model has no class for.
        """
        clips, samples = data['inputs'], data.get('data_samples') or []
        if not training:
            clips = [clips] if isinstance(clips, Tensor) else clips
            if len(clips) != 1:
                raise InputError(f'Testing takes one chunk of one video at a time, got {len(clips)}.')
        lengths = sorted({len(clip) for clip in clips})
        if len(lengths) > 1:
            raise InputError(f'The clips of a batch have {" and ".join(map(str, lengths))} frames: data sets that are '
                             'trained on together need the same num_frames.')
        self._check_labels(samples)
        clips = [self.normalize(to_device(clip, self.device)) for clip in clips]
        height, width = self._padded_size([clip.shape[-2:] for clip in clips])
        clips = [self._pad_frames(clip, height, width) for clip in clips]
        if not training:
            return {**data, 'inputs': clips[0]}
        samples = self._move(samples)
        for sample in (sample for clip in samples for sample in clip):
            self._pad_sample(sample, height, width)
        return {**data, 'inputs': torch.stack(clips), 'data_samples': samples}

    def _move(self, samples: Samples) -> List[List[FrameSample]]:
        if not isinstance(samples, PackedSamples):
            if torch.device(self.device).type == 'cpu':
                return self.cast_data([list(clip) for clip in samples])
            samples = PackedSamples(samples)
        return samples.on(to_device(samples.buffer, self.device))

    def _check_labels(self, samples: Samples) -> None:
        if self.num_classes is None:
            return
        frames = samples.labels() if isinstance(samples, PackedSamples) else (
            (sample.metainfo, sample.gt_instances.labels) for clip in samples for sample in clip)
        for meta, labels in frames:
            wrong = [x for x in labels.tolist() if not 0 <= x < self.num_classes]
            if wrong:
                raise InputError(f'Video {meta.get("video_id")}, frame {meta.get("frame_idx")}: the training data have label '
                                 f'{wrong[0]}, but the model has num_classes={self.num_classes}: set model.num_classes to '
                                 'the number of classes of the data set.')

    def normalize(self, clip: Tensor) -> Tensor:
        """uint8 [T, 3, height, width] -> float32 of the same shape."""
        if self.bgr_to_rgb:
            clip = clip.flip(1)
        return (clip.float() - self.mean.float()) / self.std.float()

    def _padded_size(self, sizes: Sequence[Tuple[int, int]]) -> Tuple[int, int]:
        largest = max(height for height, _ in sizes), max(width for _, width in sizes)
        if self.size is None:
            return self._round_up(largest[0]), self._round_up(largest[1])
        if largest[0] > self.size[0] or largest[1] > self.size[1]:
            raise InputError(f'ClipPreprocessor: frames of {largest[0]} x {largest[1]} do not fit into size='
                             f'{self.size}: the pipeline has to make them smaller.')
        return self.size

    def _pad_frames(self, clip: Tensor, height: int, width: int) -> Tensor:
        padded = self._pad(clip, height, width)
        if self.pad_value is not None and padded is not clip:
            grey = (self.pad_value - self.mean.float()) / self.std.float()
            padded[..., clip.shape[-2]:, :] = grey
            padded[..., clip.shape[-1]:] = grey
        return padded

    def _round_up(self, size: int) -> int:
        return -(-size // self.pad_size_divisor) * self.pad_size_divisor

    @staticmethod
    def _pad(x: Tensor, height: int, width: int) -> Tensor:
        return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))

    def _pad_sample(self, sample, height: int, width: int) -> None:
        sample.set_metainfo(dict(pad_shape=(height, width)))
        for name in ('gt_instances', 'ignored_instances'):
            instances = sample.get(name)
            if instances is not None and 'masks' in instances:
                instances.masks = self._pad(instances.masks, height, width)
