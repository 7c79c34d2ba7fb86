"""What ``mmvis.records.MaskStore`` keeps of a frame, found on the GPU that computed it and fetched without a wait."""
import math
from typing import Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmvis.ops.transfer import pack_bits, to_host
from mmvis.records import PackedRows
from mmvis.records.mask_store import find_band


class LateFrame:
    """Class and mask logits of one frame on their way from a GPU; the values follow when their number is known.

    Made when frame t was computed; ``ask`` a frame later, ``take`` another frame later: what they wait for is done by
    then, and the GPU always has the next frame to work on.

    Args:
        logits: class logits [rows, K + 1].
        masks: mask logits [rows, h, w], of any floating type.
    """

    def __init__(self, logits: Tensor, masks: Tensor) -> None:
        self._shape, self._dtype = tuple(masks.shape[1:]), masks.dtype
        present, counts, signs, self._values = pack_on_device(masks)
        # Most rows have no positive cell; the others to the front, so that their signs alone are sent.
        self._signs = signs[(~present).to(torch.uint8).argsort(stable=True)]
        self._parts = [part.to('cpu', non_blocking=True) for part in (logits.float(), present, counts)]
        self._event = _recorded()

    def ask(self) -> None:
        """The values and signs are sent as well."""
        self._event.synchronize()
        self._values = self._values[:int(self._parts[2].sum())].to('cpu', non_blocking=True)
        self._signs = self._signs[:int(self._parts[1].sum())].to('cpu', non_blocking=True)
        self._event = _recorded()

    def take(self) -> Tuple[np.ndarray, PackedRows]:
        """Float32 [rows, K + 1] and the masks, as :func:`mmvis.records.pack_rows` makes them."""
        self._event.synchronize()
        logits, present, counts = (part.numpy() for part in self._parts)
        rows = np.flatnonzero(present).astype(np.int32)
        # Out of pinned memory, which is scarce and used again.
        return logits.copy(), PackedRows(rows, counts[rows], self._signs.numpy(), as_numpy(self._values), self._shape)


def _recorded() -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record()
    return event


def to_threshold(masks: Tensor, threshold: float) -> np.ndarray:
    """Masks [N, h, w] on the host, for whoever resizes them bilinearly and asks what is above a threshold in [0, 1).

    A GPU sends which cells are above it, and the values where both kinds are near; elsewhere come 1 and 0, which lead to
    the same (see ``mmvis/records/mask_store.py``). It is waited for twice.
    """
    if masks.device.type != 'cuda' or not len(masks):
        return masks.cpu().numpy()
    _, counts, signs, values = pack_on_device(masks, threshold)
    counts, = to_host(counts)
    signs, values = to_host(signs, values[:int(counts.sum())])
    num_cells = math.prod(masks.shape[1:])
    above = np.unpackbits(signs.numpy(), axis=1, count=num_cells).view(bool).reshape(masks.shape)
    kept = find_band(above) | (counts.numpy() == num_cells)[:, None, None]
    found = above.astype(values.numpy().dtype)
    found[kept] = values.numpy()
    return found


def pack_on_device(masks: Tensor, threshold: float = 0.) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """:func:`mmvis.records.pack_rows` for all rows, without a size that depends on the values.

    Args:
        masks: [N, h, w]; those above the threshold are the positive cells.

    Returns:
        bool [N], which rows have a positive cell; int32 [N], of how many cells the values are kept; uint8
        [N, ceil(h * w / 8)], the signs; [N * h * w + 1], the values of row after row and anything behind them.
    """
    num_rows, num_cells = len(masks), math.prod(masks.shape[1:])
    positive = masks > threshold
    present = positive.flatten(1).any(1)
    # Largest of 5x5 of both signs at once; cells outside the map count for neither.
    near = F.max_pool2d(torch.stack([positive, ~positive], 1).to(masks.dtype), 5, 1, 2) > 0
    band = near.all(1).flatten(1)
    whole = band.sum(1) * masks.element_size() + num_cells // 8 >= num_cells * masks.element_size()
    band = band | whole[:, None]
    place = band.flatten().cumsum(0) - 1
    # Cells that are not kept all go to the last place.
    values = masks.new_empty(num_rows * num_cells + 1)
    values.scatter_(0, torch.where(band.flatten(), place, num_rows * num_cells), masks.flatten())
    signs = pack_bits(positive.flatten(1))
    return present, band.sum(1, dtype=torch.int32), signs, values


def as_numpy(logits: Tensor) -> np.ndarray:
    """Logits of the CPU in the type in which they are; bfloat16, which NumPy lacks, as its bits (uint16)."""
    return logits.view(torch.uint16).numpy() if logits.dtype == torch.bfloat16 else logits.numpy()
