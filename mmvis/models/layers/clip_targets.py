"""The objects of a clip, one row an object, as the query systems match and train on them."""
from dataclasses import dataclass
from functools import cached_property
from typing import List, Sequence

import torch
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import to_device, to_host


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

    @cached_property
    def first_frames(self) -> List[int]:
        """The first frame in which each object has a pixel; on the host."""
        return to_host(self.present.int().argmax(1))[0].tolist() if len(self) else []


def clip_targets(samples: Sequence[FrameSample]) -> ClipTargets:
    """Join the objects of the T frames of a clip by their ids; one that has a pixel in no frame is left out.

    An object has the class of the first frame in which it is annotated.

    Args:
        samples: T samples whose masks have one size, that of the padded batch.
    """
    frames = [sample.gt_instances for sample in samples]
    every_id = torch.cat([frame.instance_ids for frame in frames])
    device, shape = every_id.device, frames[0].masks.shape[-2:]
    # What decides about rows goes to the host in one copy. (Of uint8, any is uint8.)
    every_id, seen = to_host(every_id, torch.cat([frame.masks.flatten(1).any(1).bool() for frame in frames]))
    ids = every_id[seen].unique()
    of_frame = torch.arange(len(frames)).repeat_interleave(torch.tensor([len(frame.instance_ids) for frame in frames]))
    rows = torch.searchsorted(ids, every_id)
    known = (every_id[:, None] == ids).any(1)
    present = torch.zeros(len(ids), len(frames), dtype=torch.bool)
    present[rows[known & seen], of_frame[known & seen]] = True
    masks = torch.zeros(len(ids), len(frames), *shape, dtype=torch.uint8, device=device)
    for t, frame in enumerate(frames):
        own = known[of_frame == t]
        if own.any():
            masks[to_device(rows[of_frame == t][own], device), t] = frame.masks[to_device(own.nonzero()[:, 0], device)]
    every_label = torch.cat([frame.labels for frame in frames])
    first = (every_id == ids[:, None]).int().argmax(1) if len(ids) else ids
    targets = ClipTargets(every_label[to_device(first, device)], to_device(ids, device), to_device(present, device), masks)
    targets.first_frames = present.int().argmax(1).tolist() if len(ids) else []
    return targets
