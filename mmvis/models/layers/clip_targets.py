"""The objects of a clip, one row an object, as the query systems match and train on them."""
from dataclasses import dataclass
from typing import Sequence

import torch
from torch import Tensor

from mmvis.frame_sample import FrameSample


@dataclass
class ClipTargets:
    """The objects of one clip of T frames.

    Attributes:
        labels: int64 [n], 0-based classes.
        instance_ids: int64 [n], rising.
        present: bool [n, T], whether the object has a pixel in the frame.
        masks: uint8 [n, T, H, W] (float32 and smaller where a system reduces them), 0 in frames without the object.
    """
    labels: Tensor
    instance_ids: Tensor
    present: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def clip_targets(samples: Sequence[FrameSample]) -> ClipTargets:
    """Join the objects of the T frames of a clip by their ids; one that has a pixel in no frame is left out.

    An object has the class of the first frame in which it is annotated.

    Args:
        samples: T samples whose masks have one size, that of the padded batch.
    """
    frames = [sample.gt_instances for sample in samples]
    every_id = torch.cat([frame.instance_ids for frame in frames])
    every_label = torch.cat([frame.labels for frame in frames])
    ids = every_id.unique()
    masks = torch.zeros(len(ids), len(frames), *frames[0].masks.shape[-2:], dtype=torch.uint8, device=ids.device)
    for t, frame in enumerate(frames):
        masks[torch.searchsorted(ids, frame.instance_ids), t] = frame.masks
    present = masks.flatten(2).any(2).bool()              # of uint8, any is uint8
    seen = present.any(1)
    ids, masks, present = ids[seen], masks[seen], present[seen]
    labels = every_label[(every_id == ids[:, None]).int().argmax(1)] if len(ids) else every_label[:0]
    return ClipTargets(labels, ids, present, masks)
