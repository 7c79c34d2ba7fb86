"""Deformable 3x3 convolution (Dai et al., ICCV 2017) as a layer; ``mmcv.ops.DeformConv2d`` has the same keys."""
import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from mmvis.ops.deform_conv_cpu import deform_conv3x3, pack_deform_weight, sampled_deform_conv3x3
from mmvis.ops.onednn import onednn_serves


class DeformConv3x3(nn.Module):
    """Stride 1, padding 1, no bias.

    Args:
        offset_groups: groups of input channels; each has 9 offsets (dy, dx) a place, tap by tap.
    """

    def __init__(self, in_channels: int, out_channels: int, offset_groups: int = 1) -> None:
        super().__init__()
        self.offset_groups = offset_groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """[B, C, h, w] and offsets [B, offset_groups * 18, h, w] in cells -> float32 [B, out_channels, h, w]."""
        with torch.autocast(x.device.type, enabled=False):
            x, offsets, weight = x.float(), offsets.float(), self.weight.float()
            if x.device.type == 'cpu' and torch.is_grad_enabled():
                return sampled_deform_conv3x3(x, offsets, weight)
            return deform_conv2d(x, offsets, weight, padding=1)

    def for_inference(self, dtype: torch.dtype) -> nn.Module:
        """The form that ``optimize_for_inference`` puts in place of this layer."""
        return FastDeformConv3x3(self, dtype) if onednn_serves(self.weight.to(dtype)) else self


class FastDeformConv3x3(nn.Module):
    """The same on a CPU, without gradient: places are read by ``embedding_bag``, the product is oneDNN's."""

    def __init__(self, conv: DeformConv3x3, dtype: torch.dtype) -> None:
        super().__init__()
        self.offset_groups = conv.offset_groups
        self.weight = nn.Parameter(conv.weight.detach().to(dtype), requires_grad=False)
        self.packed = pack_deform_weight(self.weight)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        return deform_conv3x3(x.to(self.weight.dtype), offsets.float(), self.packed, self.offset_groups)
