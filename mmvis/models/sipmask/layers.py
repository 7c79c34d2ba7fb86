"""Parts of dense heads over a pyramid: towers, feature alignment, fusion of levels, look-ups at single places."""
from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from ..layers.deform_conv import DeformConv3x3


def conv_tower(num_convs: int, in_channels: int, channels: int, num_groups: int = 32,
               last_relu: bool = True) -> nn.ModuleList:
    """``num_convs`` blocks of 3x3 convolution without bias, group norm and ReLU (the last one on demand without)."""
    norm = dict(type='GN', num_groups=num_groups)
    widths = [in_channels] + [channels] * (num_convs - 1)
    return nn.ModuleList([
        ConvModule(width, channels, 3, padding=1, norm_cfg=norm,
                   act_cfg=dict(type='ReLU') if last_relu or i < num_convs - 1 else None)
        for i, width in enumerate(widths)])


def run_tower(tower: nn.ModuleList, x: Tensor) -> Tensor:
    """[B, C, h, w] through the blocks of a tower."""
    for block in tower:
        x = block(x)
    return x


class FeatureAlign(nn.Module):
    """Features read where the predicted box says: the offsets of a deformable convolution follow from its distances.

    SipMask, section 3.2 (arXiv 2007.14772). Keys: ``conv_offset``, ``conv_adaption``, ``norm``.

    Args:
        offset_groups: groups of input channels that share offsets.
    """

    def __init__(self, in_channels: int, out_channels: int, num_groups: int = 32, offset_groups: int = 4) -> None:
        super().__init__()
        self.conv_offset = nn.Conv2d(4, offset_groups * 18, 1, bias=False)
        self.conv_adaption = DeformConv3x3(in_channels, out_channels, offset_groups)
        self.norm = nn.GroupNorm(num_groups, out_channels)

    def forward(self, x: Tensor, distances: Tensor) -> Tensor:
        """[B, C, h, w] and distances [B, 4, h, w] in cells (left, top, right, bottom) -> [B, out_channels, h, w]."""
        offsets = self.conv_offset(distances)
        return F.relu(self.norm(self.conv_adaption(x, offsets)))


def fuse_levels(maps: Sequence[Tensor]) -> Tensor:
    """Levels [B, C, h, w], [B, C, h/2, w/2], [B, C, h/4, w/4] ... at the size of the first, joined by channel."""
    scaled = [F.interpolate(x, scale_factor=2 ** i, mode='bilinear', align_corners=False) if i else x
              for i, x in enumerate(maps)]
    return torch.cat(scaled, dim=1)


def centre_cells(boxes: Tensor, stride: int, size: Tuple[int, int], rounding=torch.floor) -> Tuple[Tensor, Tensor]:
    """Row and column (int64 [n] each) of the cell of a map of ``size`` (h, w) in which a box's centre lies.

    Args:
        boxes: [n, 4] in pixels of the network input; cells beyond the map become its border cells.
        rounding: from a place in cells to a cell.
    """
    height, width = size
    centre = rounding((boxes[:, :2] + boxes[:, 2:4]) / 2 / stride).nan_to_num().long()
    return centre[:, 1].clamp(0, height - 1), centre[:, 0].clamp(0, width - 1)


def conv_at(conv: nn.Conv2d, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Outputs [n, K] of a convolution (stride 1, same size) at n cells of one map x [C, h, w], and nowhere else."""
    (height, width), size = x.shape[1:], conv.kernel_size[0]
    step = torch.arange(size, device=x.device) - size // 2
    rows, columns = rows[:, None] + step, columns[:, None] + step
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    patches = x.permute(1, 2, 0)[rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
    patches = (patches * inside[..., None]).to(conv.weight.dtype)
    return F.linear(patches.flatten(1), conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias)
