"""Identity slots of the objects of a training clip, and the maps that are written to memory (Instance As Identity)."""
from dataclasses import dataclass
from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import on_device, to_host


@dataclass
class ClipIdentities:
    """Who is who in B clips of T frames.

    Slots are 0 .. M - 2; M - 1 means "new" in the targets; an object that no slot is left for has slot M, the
    background of the maps, and stays new in every frame.

    Attributes:
        slots: T lists of B int64 [N]: the slot of each object of the frame.
        targets: T lists of B int64 [N]: the same, but M - 1 for an object that no earlier frame of the clip shows.
        samples: B lists of T frames, for the masks.
        max_obj_num: M.
    """
    slots: List[List[Tensor]]
    targets: List[List[Tensor]]
    samples: List[List[FrameSample]]
    max_obj_num: int

    def maps(self, t: int) -> Tensor:
        """True identities of frame t, float32 [B, M + 1, H, W], one-hot over the channels; M is the background."""
        return torch.stack([identity_map(clip[t].gt_instances.masks, slots, self.max_obj_num)
                            for clip, slots in zip(self.samples, self.slots[t])])


def identity_map(masks: Tensor, slots: Tensor, max_obj_num: int) -> Tensor:
    """float32 [M + 1, H, W] of masks uint8 [N, H, W] and their slots [N]; where masks overlap the smallest wins."""
    index = torch.full(masks.shape[1:], max_obj_num, dtype=torch.long, device=masks.device)
    order = masks.flatten(1).sum(1).argsort(descending=True)
    for mask, slot in zip(masks[order] > 0, slots[order]):
        index = torch.where(mask, slot, index)
    return F.one_hot(index, max_obj_num + 1).permute(2, 0, 1).float()


def clip_identities(samples: Sequence[Sequence[FrameSample]], max_obj_num: int,
                    shuffle: bool = False) -> ClipIdentities:
    """Give every object of each clip a slot.

    The published rule numbers the annotation ids that occur in a clip in ascending order, so that the last slots are
    hardly ever trained.

    Args:
        samples: B lists of T frames.
        max_obj_num: M.
        shuffle: draw the slots at random instead (as AOT, Yang et al. 2021), so that all are trained alike.
    """
    slots: List[List[Tensor]] = [[] for _ in samples[0]]
    targets: List[List[Tensor]] = [[] for _ in samples[0]]
    every = to_host(*(sample.gt_instances.instance_ids for clip in samples for sample in clip))
    device = samples[0][0].gt_instances.instance_ids.device
    for first in range(0, len(every), len(slots)):
        frame_ids = every[first:first + len(slots)]
        order = torch.randperm(max_obj_num - 1).tolist() if shuffle else range(max_obj_num - 1)
        slot_of = dict(zip(sorted(set(torch.cat(frame_ids).tolist())), order))
        seen = set()
        for t, ids in enumerate(frame_ids):
            numbers = ids.tolist()
            slots[t].append(on_device([slot_of.get(i, max_obj_num) for i in numbers], device, ids.dtype))
            targets[t].append(on_device([slot_of[i] if i in seen and i in slot_of else max_obj_num - 1 for i in numbers],
                                        device, ids.dtype))
            seen.update(numbers)
    return ClipIdentities(slots, targets, [list(clip) for clip in samples], max_obj_num)
