"""Crops of maps by boxes, and masks whose coefficients change from quarter to quarter of a box (SipMask, section 3.1,
arXiv 2007.14772).

Boxes are x1 y1 x2 y2 in pixels of the map, not rounded. Pixel (x, y) is inside when x1 <= x < x2 and y1 <= y < y2; of
``cells`` cells a side it belongs to cell ``trunc((x - x1) / width)``, where the width of a cell is ``(x2 - x1 + 0.1) /
cells``: with two cells the border lies 0.05 pixel right of the middle. The same holds for y. No gradient goes to boxes.
"""
from typing import Tuple

import torch
from torch import Tensor


def _cells_along(low: Tensor, high: Tensor, size: int, cells: int) -> Tuple[Tensor, Tensor]:
    """Whether the pixels 0..size-1 are inside low..high [N], and their cells: bool and int64 [N, size]."""
    place = torch.arange(size, device=low.device, dtype=torch.float32)
    low, high = low.detach().float()[:, None], high.detach().float()[:, None]
    width = ((high - low).double() + 0.1).div(cells).float()
    inside = (place >= low) & (place < high)
    return inside, ((place - low) / width).masked_fill(~inside, 0).long()


def box_masks(boxes: Tensor, size: Tuple[int, int]) -> Tensor:
    """Which pixels of a map of ``size`` (h, w) are inside each box [N, 4]: bool [N, h, w]."""
    return split_cells(boxes, size, 1) >= 0


def split_cells(boxes: Tensor, size: Tuple[int, int], cells: int = 2) -> Tensor:
    """Cell of each pixel of a map of ``size`` (h, w), row by row (0 top left, 1 top right ...); -1 outside the box.

    Args:
        boxes: [N, 4] in pixels of the map.

    Returns:
        int8 [N, h, w].
    """
    inside_x, column = _cells_along(boxes[:, 0], boxes[:, 2], size[1], cells)
    inside_y, row = _cells_along(boxes[:, 1], boxes[:, 3], size[0], cells)
    # Where the pixel is outside along one direction the sum stays below 0.
    out = -2 * cells ** 2
    row = torch.where(inside_y, row * cells, out).to(torch.int8)
    column = torch.where(inside_x, column, out).to(torch.int8)
    return (row[:, :, None] + column[:, None]).clamp_(min=-1)


def crop_split(maps: Tensor, boxes: Tensor, cells: int = 2) -> Tensor:
    """Each pixel inside a box from the map of its cell, 0 outside.

    Args:
        maps: [N, cells ** 2, h, w]; boxes: [N, 4].

    Returns:
        [N, h, w]; the gradient goes to the chosen cell only.
    """
    cell = split_cells(boxes, maps.shape[-2:], cells)
    chosen = maps.gather(1, cell.clamp(min=0).long()[:, None])[:, 0]
    return torch.where(cell >= 0, chosen, 0)


def crop(maps: Tensor, boxes: Tensor) -> Tensor:
    """Maps [N, h, w] inside boxes [N, 4], 0 outside."""
    return torch.where(box_masks(boxes, maps.shape[-2:]), maps, 0)


def split_masks(basis: Tensor, coefficients: Tensor, boxes: Tensor) -> Tensor:
    """``crop_split(sigmoid(coefficients . basis))``, without a map for each cell.

    Args:
        basis: [C, h, w]; coefficients: [N, cells ** 2, C]; boxes: [N, 4].

    Returns:
        Probabilities float32 [N, h, w], 0 outside the boxes.
    """
    size, num_cells = basis.shape[1:], coefficients.shape[1]
    cell = split_cells(boxes, size, round(num_cells ** 0.5))
    with torch.autocast(basis.device.type, enabled=False):
        basis, coefficients = basis.float().flatten(1), coefficients.float()
        logits = (coefficients[:, 0] @ basis).view(cell.shape)
        for i in range(1, num_cells):
            logits = torch.where(cell == i, (coefficients[:, i] @ basis).view(cell.shape), logits)
        return torch.where(cell >= 0, logits.sigmoid(), 0)
