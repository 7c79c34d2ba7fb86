"""The objects of a clip, one row an object, as the query systems match and train on them."""
from dataclasses import dataclass
from functools import cached_property
from typing import Sequence

import numpy as np
import torch
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import each_to_device, to_host


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
    def presence(self) -> np.ndarray:
        """``present`` on the host."""
        return to_host(self.present)[0].numpy()


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
    lengths = [len(frame.instance_ids) for frame in frames]
    of_frame = torch.arange(len(frames)).repeat_interleave(torch.tensor(lengths))
    rows = torch.searchsorted(ids, every_id)
    known = (every_id[:, None] == ids).any(1)
    present = torch.zeros(len(ids), len(frames), dtype=torch.bool)
    present[rows[known & seen], of_frame[known & seen]] = True
    first = (every_id == ids[:, None]).int().argmax(1) if len(ids) else ids
    # in each frame: rows of its known objects, and their places in it
    places = [place for own_rows, own in zip(rows.split(lengths), known.split(lengths))
              for place in (own_rows[own], own.nonzero()[:, 0])]
    first, ids, on_device, *places = each_to_device([first, ids, present, *places], device)
    masks = torch.zeros(len(ids), len(frames), *shape, dtype=torch.uint8, device=device)
    for t, (frame, own_rows, own) in enumerate(zip(frames, places[::2], places[1::2])):
        if len(own):
            masks[own_rows, t] = frame.masks[own]
    every_label = torch.cat([frame.labels for frame in frames])
    targets = ClipTargets(every_label[first], ids, on_device, masks)
    targets.presence = present.numpy()
    return targets
