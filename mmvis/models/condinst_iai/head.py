"""CondInst's dense head (Tian et al., arXiv 2003.05664) with a fourth branch that names identities (IAI, ECCV 2022)."""
import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, Scale, build_norm_layer
from mmdet.models.utils.misc import aligned_bilinear
from torch import Tensor, nn

from mmvis.models.layers.precision import at_least_float32
from mmvis.registry import MODELS

#: Channels of the hidden layers of the dynamic mask head.
_HIDDEN = 8
#: Relative coordinates are divided by this many strides of the level that an instance was found on.
_SIZE_OF_INTEREST = 8


@dataclass
class HeadOutputs:
    """What the head says of B frames. Lists run over the levels, finest first; maps are float32 [B, C, h_l, w_l].

    Attributes:
        cls_logits: K channels; id_logits: M channels, the slots of identities, the last of them "new instance".
        distances: 4 channels, left, top, right, bottom, >= 0, in pixels of the network input.
        centerness_logits: 1 channel. kernels: the weights and biases of the dynamic mask head.
        mask_features: float32 [B, C, H / 8, W / 8].
    """
    cls_logits: List[Tensor]
    id_logits: List[Tensor]
    distances: List[Tensor]
    centerness_logits: List[Tensor]
    kernels: List[Tensor]
    mask_features: Tensor


def level_points(sizes: Sequence[Tuple[int, int]], strides: Sequence[int], device: torch.device) -> List[Tensor]:
    """Centre float32 [h_l * w_l, 2] (x, y), in pixels of the network input, of every cell of each level, row by row."""
    points = []
    for (height, width), stride in zip(sizes, strides):
        y = torch.arange(height, device=device, dtype=torch.float32) * stride + stride // 2
        x = torch.arange(width, device=device, dtype=torch.float32) * stride + stride // 2
        points.append(torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1).reshape(-1, 2))
    return points


def num_kernel_params(mask_channels: int) -> int:
    """Weights and biases of the three 1x1 layers of the dynamic mask head: 169 for 8 channels."""
    return _HIDDEN * (mask_channels + 2) + _HIDDEN * _HIDDEN + _HIDDEN + 2 * _HIDDEN + 1


def coarse_masks(mask_features: Tensor, kernels: Tensor, points: Tensor, strides: Tensor, image_index: Tensor,
                 mask_stride: int = 8) -> Tensor:
    """Mask logits float32 [N, h, w] at the size of the mask features. Arguments: as of ``dynamic_masks``."""
    num, (channels, height, width) = len(kernels), mask_features.shape[1:]
    w1, w2, w3, b1, b2, b3 = kernels.split(
        [_HIDDEN * (channels + 2), _HIDDEN * _HIDDEN, _HIDDEN, _HIDDEN, _HIDDEN, 1], dim=1)
    w1 = w1.reshape(num, _HIDDEN, channels + 2)
    # The input of the first layer, [(point - pixel) / size, features], is never made for every instance: what depends
    # on the point is a bias, what depends on the pixel is the same for all.
    scale = (_SIZE_OF_INTEREST * strides.to(w1.dtype))[:, None, None]
    to_point = w1[:, :, :2] / scale
    bias = b1[:, :, None] + to_point @ points.to(w1.dtype)[:, :, None]
    pixels = level_points([(height, width)], [mask_stride], kernels.device)[0].to(w1.dtype)
    pixels = pixels.T[None].expand(len(mask_features), -1, -1)
    inputs = torch.cat([pixels, mask_features.flatten(2).to(w1.dtype)], dim=1)
    # One image: a single product serves all instances.
    inputs = inputs[0] if len(inputs) == 1 else inputs[image_index]
    x = F.relu(torch.matmul(torch.cat([-to_point, w1[:, :, 2:]], dim=2), inputs) + bias)
    x = F.relu(torch.baddbmm(b2[:, :, None], w2.reshape(num, _HIDDEN, _HIDDEN), x))
    x = torch.baddbmm(b3[:, :, None], w3[:, None], x)
    return x.reshape(num, height, width)


def dynamic_masks(mask_features: Tensor, kernels: Tensor, points: Tensor, strides: Tensor, image_index: Tensor,
                  mask_stride: int = 8) -> Tensor:
    """Mask logits of N instances by their own three-layer networks (CondInst, section 3.2).

    Args:
        mask_features: float32 [B, C, h, w] at stride ``mask_stride``.
        kernels: [N, ``num_kernel_params(C)``]: the three weights, each row an output channel, then the three biases.
        points: [N, 2] (x, y) in pixels of the network input, where each instance was found; strides: [N], of its level.
        image_index: int64 [N], which of the B images it is in.

    Returns:
        Float32 [N, 2 h, 2 w], before the sigmoid.
    """
    with torch.autocast(mask_features.device.type, enabled=False):
        logits = coarse_masks(at_least_float32(mask_features), at_least_float32(kernels), points, strides, image_index,
                              mask_stride)
        return aligned_bilinear(logits[:, None], 2)[:, 0] if len(logits) else logits.new_zeros(
            0, 2 * logits.shape[1], 2 * logits.shape[2])


@MODELS.register_module()
class IAIHead(nn.Module):
    """Class, identity, box, centerness and mask kernel of every location, and the mask features.

    Names are those of the official state dict.

    Args:
        num_classes: K; max_obj_num: M identity slots, the last one "new instance".
        in_channels: of the pyramid; feat_channels: of the towers; stacked_convs: layers of the class and box towers.
        strides: of the levels of the pyramid, finest first.
        num_mask_levels: the finest levels from which the mask features are made.
        mask_branch_channels, mask_branch_convs: width and depth of that branch; mask_channels: of its result.
        norm_cfg: of the towers; mask_norm_cfg: of the mask branch. tower_bias: biases in the class and box towers, as
            the COCO checkpoints of AdelaiDet and mmdet have (the official IAI checkpoints have none).
        center_radius: of the training targets, in strides. regress_ranges: of the training targets, by level.
    """

    def __init__(self, num_classes: int = 40, max_obj_num: int = 20, in_channels: int = 256, feat_channels: int = 256,
                 stacked_convs: int = 4, strides: Sequence[int] = (8, 16, 32, 64, 128), num_mask_levels: int = 3,
                 mask_branch_channels: int = 128, mask_branch_convs: int = 4, mask_channels: int = 8,
                 norm_cfg: dict = dict(type='GN', num_groups=32), mask_norm_cfg: dict = dict(type='BN'),
                 tower_bias: bool = False, center_radius: float = 1.5,
                 regress_ranges: Sequence[Tuple[float, float]] = ((-1, 64), (64, 128), (128, 256), (256, 512),
                                                                  (512, 1e8))) -> None:
        super().__init__()
        self.num_classes, self.max_obj_num = num_classes, max_obj_num
        self.strides = tuple(strides)
        self.center_radius = center_radius
        self.regress_ranges = tuple(map(tuple, regress_ranges))

        def tower(depth: int, bias: bool) -> nn.ModuleList:
            widths = [in_channels] + [feat_channels] * depth
            return nn.ModuleList([ConvModule(*pair, 3, padding=1, bias=bias, norm_cfg=dict(norm_cfg))
                                  for pair in zip(widths, widths[1:])])

        self.cls_convs, self.reg_convs = tower(stacked_convs, tower_bias), tower(stacked_convs, tower_bias)
        self.id_convs = tower(1, False)
        self.conv_cls = nn.Conv2d(feat_channels, num_classes, 3, padding=1)
        self.conv_id = nn.Conv2d(feat_channels, max_obj_num, 3, padding=1)
        self.conv_reg = nn.Conv2d(feat_channels, 4, 3, padding=1)
        self.conv_centerness = nn.Conv2d(feat_channels, 1, 3, padding=1)
        self.controller = nn.Conv2d(feat_channels, num_kernel_params(mask_channels), 3, padding=1)
        self.scales = nn.ModuleList([Scale(1.0) for _ in strides])

        def block(width_in: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(width_in, mask_branch_channels, 3, padding=1, bias=False),
                                 build_norm_layer(dict(mask_norm_cfg), mask_branch_channels)[1], nn.ReLU(inplace=True))

        self.mask_refine = nn.ModuleList([block(in_channels) for _ in range(num_mask_levels)])
        self.mask_head = nn.Sequential(*(block(mask_branch_channels) for _ in range(mask_branch_convs)),
                                       nn.Conv2d(mask_branch_channels, mask_channels, 1))
        self.init_weights()

    def init_weights(self) -> None:
        """Towers and predictors small and normal, classes and identities improbable; mask branch as PyTorch has it."""
        predictors = (self.conv_cls, self.conv_id, self.conv_reg, self.conv_centerness, self.controller)
        towers = (*self.cls_convs, *self.reg_convs, *self.id_convs)
        for conv in (*(layer.conv for layer in towers), *predictors):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        for conv in (self.conv_cls, self.conv_id):
            nn.init.constant_(conv.bias, -math.log(99))

    def forward(self, features: Sequence[Tensor]) -> HeadOutputs:
        """A pyramid of [B, C, h_l, w_l], finest first, to the maps of all levels."""
        outputs = HeadOutputs([], [], [], [], [], self.mask_features(features))
        for x, stride, scale in zip(features, self.strides, self.scales):
            cls = reg = x
            for layer in self.cls_convs:
                cls = layer(cls)
            for layer in self.reg_convs:
                reg = layer(reg)
            outputs.cls_logits.append(at_least_float32(self.conv_cls(cls)))
            outputs.id_logits.append(at_least_float32(self.conv_id(self.id_convs[0](x))))
            outputs.distances.append(F.relu(scale(at_least_float32(self.conv_reg(reg)))) * stride)
            outputs.centerness_logits.append(at_least_float32(self.conv_centerness(reg)))
            outputs.kernels.append(at_least_float32(self.controller(reg)))
        return outputs

    def mask_features(self, features: Sequence[Tensor]) -> Tensor:
        """Mask features float32 [B, 8, H / 8, W / 8] from the finest levels of the pyramid."""
        total = self.mask_refine[0](features[0])
        for i in range(1, len(self.mask_refine)):
            total = total + aligned_bilinear(self.mask_refine[i](features[i]), 2 ** i)
        return at_least_float32(self.mask_head(total))

    def dynamic_masks(self, mask_features: Tensor, kernels: Tensor, points: Tensor, strides: Tensor,
                      image_index: Tensor) -> Tensor:
        """``dynamic_masks`` at the stride of the finest level."""
        return dynamic_masks(mask_features, kernels, points, strides, image_index, self.strides[0])
