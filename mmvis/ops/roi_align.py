"""RoIAlign (Mask R-CNN, He et al., ICCV 2017) as ``mmcv.ops.RoIAlign`` calls it.

Averages come from torchvision's kernels; the maximum, which torchvision lacks, is written out here. Boxes and sums
are float32 at least: a bfloat16 box would be up to 2 pixels off, and under autocast features and boxes differ in
dtype.
"""
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

_MAX, _AVERAGE = 0, 1


def _full(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _check_boxes(boxes: Tensor, aligned: bool) -> None:
    # torchvision's CPU kernel reads foreign memory for a NaN; on CUDA the check would wait for the device.
    if boxes.is_cuda:
        return
    wrong = ~boxes.isfinite().all(1)
    if aligned:
        wrong |= (boxes[:, 3:] < boxes[:, 1:3]).any(1)
    if wrong.any():
        raise ValueError(f'RoIAlign got a box that is not finite or ends before it starts: {boxes[wrong][0].tolist()} '
                         '(image index, x1, y1, x2, y2)')


def roi_align_forward(input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor, argmax_x: Tensor,
                      aligned_height: int, aligned_width: int, spatial_scale: float, sampling_ratio: int,
                      pool_mode: int, aligned: bool) -> None:
    """Fills ``output`` [N, C, aligned_height, aligned_width] with the mean or maximum of the samples of each bin.

    Args:
        input: [B, C, H, W]; rois: [N, 5], image index and x1 y1 x2 y2 in pixels of the image.
        argmax_y, argmax_x: like output, filled in maximum mode with the place of the maximum in pixels of the
            feature map (-1 where a bin has no sample); empty in average mode.
        sampling_ratio: samples a bin and direction; 0 takes ceil(bin size).
        aligned: shift by half a pixel; without it boxes are at least one pixel large.
    """
    features, boxes = _full(input), rois.to(_full(input).dtype)
    _check_boxes(boxes, aligned)
    if pool_mode == _AVERAGE:
        output.copy_(torch.ops.torchvision.roi_align(features, boxes, spatial_scale, aligned_height, aligned_width,
                                                     sampling_ratio, aligned))
        return
    for n, roi in enumerate(boxes):
        ys = _bin_samples(roi[2], roi[4], aligned_height, spatial_scale, sampling_ratio, aligned)
        xs = _bin_samples(roi[1], roi[3], aligned_width, spatial_scale, sampling_ratio, aligned)
        _max_of_bins(features[int(roi[0])], ys, xs, output[n], argmax_y[n], argmax_x[n])


def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor,
                       aligned_height: int, aligned_width: int, spatial_scale: float, sampling_ratio: int,
                       pool_mode: int, aligned: bool) -> None:
    """Fills ``grad_input`` [B, C, H, W], whatever the dtypes of the three tensors."""
    grad = _full(grad_output)
    boxes = rois.to(grad.dtype)
    if pool_mode == _AVERAGE:
        grad_input.copy_(torch.ops.torchvision._roi_align_backward(
            grad, boxes, spatial_scale, aligned_height, aligned_width, *grad_input.shape, sampling_ratio, aligned))
        return
    batch, channels, height, width = grad_input.shape
    channel = torch.arange(channels, device=grad.device).view(1, -1, 1, 1)
    plane = (boxes[:, 0].long().view(-1, 1, 1, 1) * channels + channel) * (height * width)
    total = torch.zeros(grad_input.numel(), dtype=grad.dtype, device=grad.device)
    grad = grad * (argmax_y != -1)
    for y, y_weight in _neighbours(argmax_y.to(grad.dtype), height):
        for x, x_weight in _neighbours(argmax_x.to(grad.dtype), width):
            total.index_add_(0, (plane + y * width + x).flatten(), (grad * y_weight * x_weight).flatten())
    grad_input.copy_(total.view_as(grad_input))


def _bin_samples(start: Tensor, end: Tensor, bins: int, scale: float, sampling_ratio: int, aligned: bool) -> Tensor:
    """Places of the samples along one direction, in pixels of the feature map: [bins, samples]."""
    shift = 0.5 if aligned else 0.0
    start, end = start * scale - shift, end * scale - shift
    length = end - start if aligned else (end - start).clamp(min=1)
    samples = sampling_ratio if sampling_ratio > 0 else max(int(torch.ceil(length / bins)), 0)
    size = length / bins
    bin_index, sample_index = (torch.arange(n, dtype=start.dtype, device=start.device) for n in (bins, samples))
    return start + bin_index.view(-1, 1) * size + (sample_index + 0.5) * size / max(samples, 1)


def _max_of_bins(plane: Tensor, ys: Tensor, xs: Tensor, output: Tensor, argmax_y: Tensor, argmax_x: Tensor) -> None:
    """One box: plane [C, H, W], ys [ph, gh], xs [pw, gw] -> output and both places [C, ph, pw]."""
    if ys.numel() == 0 or xs.numel() == 0:
        output.zero_()
        argmax_y.fill_(-1)
        argmax_x.fill_(-1)
        return
    rows = sum(plane[:, index] * weight.view(-1, 1) for index, weight in _neighbours(ys.flatten(), plane.shape[1]))
    values = sum(rows[:, :, index] * weight for index, weight in _neighbours(xs.flatten(), plane.shape[2]))
    values = values.view(-1, *ys.shape, *xs.shape).transpose(2, 3).flatten(3)  # [C, ph, pw, gh * gw]
    best, place = values.max(-1)
    output.copy_(best)
    argmax_y.copy_(ys.unsqueeze(1).expand(-1, len(xs), -1).expand(len(place), -1, -1, -1)
                   .gather(3, (place // xs.shape[1]).unsqueeze(3)).squeeze(3))
    argmax_x.copy_(xs.unsqueeze(0).expand(len(ys), -1, -1).expand(len(place), -1, -1, -1)
                   .gather(3, (place % xs.shape[1]).unsqueeze(3)).squeeze(3))


def _neighbours(place: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The pixels before and after a place along one direction, each (index, weight); weight 0 outside [-1, size].

    Between -1 and 0, and from size - 1 to size, the border pixel counts in full (the rule of RoIAlign, unlike that
    of ``grid_sample``).
    """
    inside = (place >= -1) & (place <= size)
    place = place.clamp(0, size - 1)
    low = place.floor().long()
    part = place - low
    return (low, (1 - part) * inside), ((low + 1).clamp(max=size - 1), part * inside)
