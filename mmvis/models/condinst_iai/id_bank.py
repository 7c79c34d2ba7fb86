"""From a map of identities to the embedding that is stored with a frame."""
from typing import Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvis.ops.transfer import to_device


class IdentityBank(nn.Conv2d):
    """One convolution over an identity map of M + 1 channels; each cell of its result sees ``stride`` + 1 pixels.

    Channel c is 1 where slot c is and 0 elsewhere; the last channel is the background.
    """

    def __init__(self, max_obj_num: int, channels: int, stride: int) -> None:
        super().__init__(max_obj_num + 1, channels, stride + 1, stride=stride, padding=stride // 2)

    def empty(self, size: Tuple[int, int]) -> Tensor:
        """[1, h * w, C] for the map of zeros, without a background even; of a feature map of ``size`` (h, w)."""
        return self.bias.expand(1, size[0] * size[1], -1)

    def dense(self, id_map: Tensor) -> Tensor:
        """[B, h * w, C] for maps [B, M + 1, H, W]."""
        return self(id_map).flatten(2).transpose(1, 2)

    def owners(self, owner: np.ndarray) -> Tensor:
        """[1, h * w, C] for one map given as the slot of each pixel, uint8 [H, W]; a number over M is nobody."""
        num = self.in_channels
        if self.weight.device.type != 'cpu':
            index = to_device(torch.from_numpy(owner), self.weight.device)
            return self.dense((index == torch.arange(num, device=index.device)[:, None, None])[None].to(self.weight))
        # A slot is in few of the windows: where it is not, its part of the sum need not be computed.
        size, stride = self.kernel_size[0], self.stride[0]
        padded = np.pad(owner, self.padding[0], constant_values=255)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[::stride, ::stride]
        windows = windows.reshape(-1, size * size)
        out = self.bias.repeat(len(windows), 1)
        for slot in np.unique(owner[owner < num]).tolist():
            inside = windows == slot
            rows = np.flatnonzero(inside.any(1))
            part = F.linear(torch.from_numpy(inside[rows]).to(out), self.weight[:, slot].flatten(1))
            out.index_add_(0, torch.from_numpy(rows), part)
        return out[None]
