"""Box arithmetic of the mmdet 1.x age: corners are pixel indices, both inclusive.

A box that covers pixels 3 to 5 is ``x1 = 3, x2 = 5`` and is 3 wide: every width is ``x2 - x1 + 1``. MaskTrackRCNN,
SipMask and MemCNP were trained this way, and about one pixel on a small box is a large part of it, so their weights
need exactly these functions (github.com/youtubevos/MaskTrackRCNN, mmdet 0.5.6: transforms.py, geometry.py,
nms_kernel.cu).
"""
import math
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torchvision.ops import nms as _half_open_nms

from mmvis.ops.roi_align_bags import roi_align
from mmvis.ops.transfer import constant, constant_like, each_to_device, to_device, to_host
from mmvis.registry import MODELS

#: Largest change of log width or log height that decoding follows.
MAX_LOG_RATIO = abs(math.log(16 / 1000))


def box_area(boxes: Tensor) -> Tensor:
    """Areas [...] in pixels of inclusive boxes [..., 4]. A degenerate box (x2 < x1 - 1) may have a negative one."""
    return (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)


def box_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Pixels shared by each of the boxes a [N, 4] with each of the boxes b [M, 4]: [N, M]."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:4], b[None, :, 2:4])
    return (high - low + 1).clamp(min=0).prod(-1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU [N, M] of inclusive boxes a [N, 4] and b [M, 4]."""
    overlap = box_overlap(a, b)
    return overlap / (box_area(a)[:, None] + box_area(b)[None] - overlap)


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU [N] of each of the inclusive boxes a [N, 4] with its partner in b [N, 4]."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:4], b[:, 2:4])
    overlap = (high - low + 1).clamp(min=0).prod(-1)
    return overlap / (box_area(a) + box_area(b) - overlap)


def encode(boxes: Tensor, targets: Tensor, stds: Sequence[float] = (1., 1., 1., 1.)) -> Tensor:
    """Deltas [N, 4] (dx, dy, dlogw, dlogh; divided by ``stds``) from ``boxes`` [N, 4] to ``targets`` [N, 4]."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    target_size = targets[:, 2:] - targets[:, :2] + 1
    shift = ((targets[:, 2:] + targets[:, :2]) * 0.5 - (boxes[:, 2:] + boxes[:, :2]) * 0.5) / size
    deltas = torch.cat([shift, torch.log(target_size / size)], dim=1)
    return deltas / constant_like(deltas, tuple(stds))


def decode(boxes: Tensor, deltas: Tensor, stds: Sequence[float] = (1., 1., 1., 1.),
           img_shape: Optional[Tuple[int, int]] = None) -> Tensor:
    """Inverse of ``encode``: ``boxes`` [N, 4] moved by ``deltas`` [N, 4], clipped to img_shape (height, width)."""
    deltas = deltas * constant_like(deltas, tuple(stds))
    size = boxes[:, 2:] - boxes[:, :2] + 1
    centre = (boxes[:, 2:] + boxes[:, :2]) * 0.5 + size * deltas[:, :2]
    half = size * deltas[:, 2:].clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() * 0.5
    out = torch.cat([centre - half + 0.5, centre + half - 0.5], dim=1)
    return out if img_shape is None else clip(out, img_shape)


def clip(boxes: Tensor, img_shape: Tuple[int, int]) -> Tensor:
    """Boxes [N, 4] with corners inside 0..width-1, 0..height-1 of img_shape (height, width)."""
    height, width = img_shape
    high = constant_like(boxes, (width - 1, height - 1, width - 1, height - 1))
    return torch.minimum(boxes.clamp(min=0), high)


def nms(boxes: Tensor, scores: Tensor, iou_thr: float, groups: Optional[Tensor] = None) -> Tensor:
    """Greedy suppression of boxes [N, 4] whose IoU with a better box of the same group is greater than ``iou_thr``.

    Args:
        scores: [N]; equal scores keep their order.
        groups: [N] integers (class, level); all one group by default.

    Returns:
        Indices int64 of the boxes that stay, best score first over all groups.
    """
    # One more pixel to the right and below makes half-open areas and overlaps equal to the inclusive ones.
    boxes = boxes.double() + constant((0, 0, 1, 1), boxes.device, torch.float64)
    if groups is not None and len(boxes):
        # Groups are moved apart. In float64 the shift is exact, so it costs no digit of the IoU.
        shift = groups.double() * torch.ceil(boxes.max() - boxes.min() + 2)
        boxes = boxes + shift[:, None]
    return _half_open_nms(boxes, scores.double(), iou_thr)


def jitter(boxes: Tensor, amount: Sequence[float]) -> Tensor:
    """Boxes [N, 4] with centres moved by up to ``amount[0]`` and sizes changed by up to ``amount[1]`` of their size.

    The draws come from torch's global CPU generator, whose state a checkpoint keeps.
    """
    size = boxes[:, 2:] - boxes[:, :2] + 1
    draws = to_device(torch.rand(2, len(boxes), 2) * 2 - 1, boxes.device).to(boxes.dtype)
    centre = (boxes[:, 2:] + boxes[:, :2]) * 0.5 + draws[0] * amount[0] * size
    half = size * (1 + draws[1] * amount[1]) * 0.5
    return torch.cat([centre - half + 0.5, centre + half - 0.5], dim=1)


def roi_levels(boxes: Tensor, num_levels: int, finest_scale: float = 56.) -> Tensor:
    """Pyramid level int64 [N] of boxes [N, 4].

    0 while the root of the area is below twice ``finest_scale``, then one more a doubling.
    """
    scale = box_area(boxes).sqrt()
    # The root of a negative area (degenerate box) is NaN: such a box belongs to the finest level.
    levels = torch.floor(torch.log2(scale / finest_scale + 1e-6)).nan_to_num(nan=0.)
    return levels.clamp(0, num_levels - 1).long()


@MODELS.register_module()
class InclusiveRoIExtractor(nn.Module):
    """RoIAlign of inclusive boxes on a feature pyramid, each box on the level of its size.

    Args:
        strides: of the levels used, finest first.
        out_size: bins on a side.
        sample_num: sampling points on a side of a bin.
        finest_scale: see ``roi_levels``.
    """

    def __init__(self, strides: Sequence[int] = (4, 8, 16, 32), out_size: int = 7, sample_num: int = 2,
                 finest_scale: float = 56.) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.out_size = out_size
        self.sample_num = sample_num
        self.finest_scale = finest_scale

    def forward(self, features: Sequence[Tensor], boxes: List[Tensor]) -> Tensor:
        """Features of the boxes of each image.

        Args:
            features: [B, C, H / stride, W / stride], at least as many levels as strides.
            boxes: B tensors [N_b, 4] in pixels of the network input, on the device of the features or on the host.

        Returns:
            float32 [sum N_b, C, out_size, out_size], image by image.
        """
        device, counts = features[0].device, tuple(len(b) for b in boxes)
        boxes = torch.cat(boxes).float()
        levels, = to_host(roi_levels(boxes, len(self.strides), self.finest_scale))
        boxes = to_device(boxes, device)
        index = to_device(torch.arange(len(counts), dtype=boxes.dtype).repeat_interleave(torch.tensor(counts)), device)[:, None]
        out = boxes.new_zeros(len(boxes), features[0].shape[1], self.out_size, self.out_size)
        by_level = each_to_device([torch.nonzero(levels == level)[:, 0] for level in range(len(self.strides))], device)
        for level, (stride, rows) in enumerate(zip(self.strides, by_level)):
            # The old kernel reads from x1 to x2 + 1 in cells of the map, without the half-cell shift of aligned=True.
            rois = boxes[rows] + constant_like(boxes, (0, 0, 1, 1)) + 0.5 * stride
            with torch.autocast(boxes.device.type, enabled=False):      # in float32 whatever autocast says
                pooled = roi_align(features[level], torch.cat([index[rows], rois], dim=1), self.out_size, 1 / stride,
                                   self.sample_num)
            out.index_copy_(0, rows, pooled)
        return out
