"""The five losses of a frame: class, identity, box, centerness, mask (CondInst; Zhu et al., Instance As Identity)."""
from typing import Any, Dict, List, Sequence

import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import reduce_mean
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from mmvis.ops.transfer import on_device

from .targets import FrameTargets


def frame_losses(head: Any, outputs: Any, targets: FrameTargets, masks: Sequence[Tensor]) -> Dict[str, Tensor]:
    """Losses of one frame of each of B clips.

    Class and identity: focal loss over all points, divided by the number of points with an object. Box: 1 - GIoU
    weighted with the centerness of the point. Mask: dice loss of every point with an object. Over several GPUs the
    divisors of all but the mask loss are means over the GPUs. Without any object the last three are 0 and keep their
    graph.

    Args:
        head: gives ``dynamic_masks(mask_features, kernels, points, strides, image_index)``.
        outputs: what the head gave, lists over the levels of [B, C, h, w]: ``cls_logits``, ``id_logits``,
            ``distances`` (pixels), ``centerness_logits``, ``kernels``; and ``mask_features`` [B, 8, H / 8, W / 8].
        targets: of this frame.
        masks: B times uint8 [N, H, W] of the padded input.

    Returns:
        loss_cls, loss_id, loss_bbox, loss_centerness, loss_mask; float32 scalars.
    """
    cls_logits, id_logits, distances, centerness_logits = (
        _flatten(x).float() for x in (outputs.cls_logits, outputs.id_logits, outputs.distances,
                                      outputs.centerness_logits))
    kernels = _flatten(outputs.kernels)
    image, point = (targets.gt_index >= 0).nonzero(as_tuple=True)
    num_positive = reduce_mean(on_device(float(len(image)), image.device)).clamp(min=1)

    points, wanted = targets.points[point], targets.distances[image, point]
    centerness = centerness_targets(wanted)
    return dict(
        loss_cls=_focal_loss(cls_logits, targets.labels) / num_positive,
        loss_id=_focal_loss(id_logits, targets.identities) / num_positive,
        loss_bbox=_box_loss(points, distances[image, point], wanted, centerness),
        loss_centerness=F.binary_cross_entropy_with_logits(
            centerness_logits[image, point, 0], centerness, reduction='sum') / num_positive,
        loss_mask=_mask_loss(head, outputs.mask_features, kernels[image, point], image, point, targets, masks))


def clip_loss_mean(frames: List[Dict[str, Tensor]]) -> Dict[str, Tensor]:
    """Mean of each loss over the frames of a clip."""
    return {name: torch.stack([losses[name] for losses in frames]).mean() for name in frames[0]}


def centerness_targets(distances: Tensor) -> Tensor:
    """How near [n, 4] distances l t r b are to those of the centre, float32 [n] in 0..1 (FCOS, equation 3)."""
    horizontal, vertical = distances[:, 0::2], distances[:, 1::2]
    ratios = horizontal.amin(1) / horizontal.amax(1) * (vertical.amin(1) / vertical.amax(1))
    return ratios.sqrt()


def dice_loss(scores: Tensor, wanted: Tensor) -> Tensor:
    """Dice loss of each mask [n, H, W] (scores in 0..1 against 0 or 1), [n] (V-Net, Milletari et al. 2016)."""
    scores, wanted = scores.flatten(1), wanted.flatten(1)
    return 1 - 2 * (scores * wanted).sum(1) / (scores.square().sum(1) + wanted.square().sum(1) + 1e-5)


def _flatten(levels: Sequence[Tensor]) -> Tensor:
    """Levels [B, C, h, w] -> [B, P, C]."""
    return torch.cat([x.flatten(2) for x in levels], 2).transpose(1, 2)


def _focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over all points [B, P] and all columns of the logits [B, P, C]; a target of C has no column."""
    num = logits.shape[-1]
    one_hot = F.one_hot(targets, num + 1)[..., :num].to(logits.dtype)
    return sigmoid_focal_loss(logits, one_hot, alpha=0.25, gamma=2, reduction='sum')


def _boxes(points: Tensor, distances: Tensor) -> Tensor:
    return torch.cat([points - distances[:, :2], points + distances[:, 2:]], 1)


def _box_loss(points: Tensor, distances: Tensor, wanted: Tensor, centerness: Tensor) -> Tensor:
    weight = reduce_mean(centerness.sum()).clamp(min=1e-6)
    if not len(points):
        return distances.sum()              # 0, and a part of the graph
    giou = bbox_overlaps(_boxes(points, distances), _boxes(points, wanted), mode='giou', is_aligned=True, eps=1e-6)
    return (centerness * (1 - giou)).sum() / weight


def _mask_loss(head: Any, mask_features: Tensor, kernels: Tensor, image: Tensor, point: Tensor, targets: FrameTargets,
               masks: Sequence[Tensor]) -> Tensor:
    if not len(image):
        return (mask_features.float().sum() + kernels.float().sum()) * 0
    logits = head.dynamic_masks(mask_features, kernels, targets.points[point], targets.strides[point], image)
    small = [x[:, 2::4, 2::4].float() for x in masks]
    first = on_device([0, *[len(x) for x in small[:-1]]], image.device).cumsum(0)
    wanted = torch.cat(small)[first[image] + targets.gt_index[image, point]]
    return dice_loss(logits.float().sigmoid(), wanted).mean()
