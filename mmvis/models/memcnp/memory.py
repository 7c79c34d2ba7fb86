"""The memory of MemCNP-VIS: a dictionary of slots, read by every pixel and written in training."""
from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ..backbones.vit import MLP


class SlotMemory(nn.Module):
    """K slots of C feature numbers and 4 box numbers; a read is the mean of all slots, weighted by likeness.

    The slots are a parameter that the optimizer trains. In training every pixel also writes: the slot that it resembles
    most moves towards the mean of its pixels. At test time the slots are only read; nothing goes from frame to frame.

    Args:
        num_slots: K.
        channels: C.
        momentum: what stays of a slot in one write.
    """

    def __init__(self, num_slots: int = 128, channels: int = 256, momentum: float = 0.999) -> None:
        super().__init__()
        self.momentum = momentum
        self.feat_units = nn.Embedding(num_slots, channels + 4)
        self.mlp = MLP(channels + 4, channels, channels)
        for fc in (self.mlp.fc1, self.mlp.fc2):
            nn.init.normal_(fc.weight, std=0.01)
            nn.init.zeros_(fc.bias)

    def forward(self, features: Tensor, boxes: Optional[Tensor] = None) -> Tensor:
        """Context [B, C, h, w] of features [B, C, h, w].

        Args:
            boxes: [B, 4, h, w]: write these boxes with the features before reading; pixels with NaN write nothing.
                How much a pixel resembles a slot is decided before the write, and gives the features no gradient.
        """
        pixels = features.detach().movedim(1, -1).flatten(0, 2)
        with torch.autocast(features.device.type, enabled=False):
            pixels = pixels.float()
            with torch.no_grad():
                keys = F.normalize(self.feat_units.weight[:, :pixels.shape[1]], dim=1)
                likeness = F.normalize(pixels, dim=1) @ keys.T
                if boxes is not None:
                    self.write(pixels, boxes.movedim(1, -1).flatten(0, 2), likeness.argmax(1))
            # A copy: the next level writes into the parameter before this read is differentiated.
            read = likeness.softmax(1) @ F.normalize(self.feat_units.weight.clone(), dim=1)
        return self.mlp(read).unflatten(0, (len(features), *features.shape[2:])).movedim(-1, 1)

    @torch.no_grad()
    def write(self, pixels: Tensor, boxes: Tensor, slots: Tensor) -> None:
        """Move every slot towards the mean of its pixels; one without pixels fades.

        Sums and counts are taken over all processes, so that their memories stay equal.

        Args:
            pixels: [P, C]; boxes: [P, 4], NaN for pixels that do not count; slots: int64 [P].
        """
        entries = F.pad(torch.cat([pixels, boxes], dim=1), (0, 1), value=1.)              # the last column counts
        chosen = F.one_hot(slots, len(self.feat_units.weight)).to(entries)
        counts = boxes.isfinite().all(1, keepdim=True)
        sums = chosen.T @ torch.where(counts, entries, 0.)
        all_reduce(sums)
        self.feat_units.weight.lerp_(sums[:, :-1] / (sums[:, -1:] + 1e-6), 1 - self.momentum)
