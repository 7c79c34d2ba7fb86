"""Region proposals: the first stage of MaskTrackRCNN, with the anchors and box arithmetic of mmdet 1.x."""
import math
from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvis.ops.transfer import constant, each_to_device, to_host
from mmvis.registry import MODELS

from ..layers.legacy_boxes import decode, encode, nms
from .sampling import BoxSampler, Choose, IoUAssigner, random_choice


def base_anchors(stride: int, scales: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Anchors float32 [len(ratios) * len(scales), 4] of the first cell: inclusive corners, rounded to whole pixels."""
    centre = 0.5 * (stride - 1)
    ratio = torch.tensor(ratios)[:, None]                        # height / width
    scale = torch.tensor([float(s) for s in scales])[None]
    width = (stride * scale / ratio.sqrt()).flatten()
    height = (stride * scale * ratio.sqrt()).flatten()
    half = torch.stack([width - 1, height - 1], dim=1) * 0.5
    return torch.cat([centre - half, centre + half], dim=1).round()


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """Sum of the smooth L1 losses, quadratic below ``beta``."""
    return F.smooth_l1_loss(prediction, target, beta=beta, reduction='sum')


@MODELS.register_module()
class MaskTrackRPNHead(nn.Module):
    """Region proposal network shared over the levels of the pyramid.

    Args:
        in_channels: of the pyramid; feat_channels: of the 3x3 convolution.
        anchor_scales, anchor_ratios: of the anchors, in cells and height / width; anchor_strides: one a level.
        train_cfg: dict(assigner, sampler, allowed_border, smoothl1_beta) as in the official config.
        test_cfg: dict(nms_pre, nms_post, max_num, nms_thr, min_bbox_size, nms_across_levels); also used in training.
        loss_weights: of (loss_rpn_cls, loss_rpn_reg).
    """

    def __init__(self, in_channels: int = 256, feat_channels: int = 256, anchor_scales: Sequence[float] = (8,),
                 anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0), anchor_strides: Sequence[int] = (4, 8, 16, 32, 64),
                 target_stds: Sequence[float] = (1., 1., 1., 1.), train_cfg: Optional[dict] = None,
                 test_cfg: Optional[dict] = None, loss_weights: Sequence[float] = (1., 1.)) -> None:
        super().__init__()
        self.anchor_strides = tuple(anchor_strides)
        self.target_stds = tuple(target_stds)
        self.loss_weights = tuple(loss_weights)
        self.base_anchors = [base_anchors(s, anchor_scales, anchor_ratios) for s in anchor_strides]
        num_anchors = len(self.base_anchors[0])
        self.rpn_conv = nn.Conv2d(in_channels, feat_channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(feat_channels, num_anchors, 1)
        self.rpn_reg = nn.Conv2d(feat_channels, num_anchors * 4, 1)
        train = dict(dict(assigner=dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=0.5),
                          sampler=dict(num=64, pos_fraction=0.5), allowed_border=0, smoothl1_beta=1 / 9),
                     **train_cfg or {})
        self.assigner = IoUAssigner(**train['assigner'])
        self.sampler = BoxSampler(**train['sampler'])
        self.allowed_border = train['allowed_border']
        self.smoothl1_beta = train['smoothl1_beta']
        self.test_cfg = dict(dict(nms_pre=200, nms_post=200, max_num=200, nms_thr=0.7, min_bbox_size=0,
                                  nms_across_levels=False), **test_cfg or {})
        self.init_weights()

    def init_weights(self) -> None:
        for conv in (self.rpn_conv, self.rpn_cls, self.rpn_reg):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def forward(self, features: Sequence[Tensor]) -> Tuple[List[Tensor], List[Tensor]]:
        """Objectness logits [B, A, h_l, w_l] and deltas [B, 4 A, h_l, w_l] of each level l."""
        hidden = [F.relu(self.rpn_conv(x)) for x in features]
        return [self.rpn_cls(x) for x in hidden], [self.rpn_reg(x) for x in hidden]

    def level_anchors(self, level: int, size: Tuple[int, int], device: torch.device) -> Tensor:
        """Anchors [h * w * A, 4] of a level whose map is ``size`` (h, w), ordered y, x, anchor."""
        stride = self.anchor_strides[level]
        y = torch.arange(size[0], device=device) * stride
        x = torch.arange(size[1], device=device) * stride
        y, x = torch.meshgrid(y, x, indexing='ij')
        shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
        return (shifts + constant(tuple(map(tuple, self.base_anchors[level].tolist())), device)).reshape(-1, 4)

    @staticmethod
    def _flat(logits: Tensor, deltas: Tensor) -> Tuple[Tensor, Tensor]:
        """[A, h, w] and [4 A, h, w] -> float32 [h w A] and [h w A, 4]."""
        return logits.permute(1, 2, 0).reshape(-1).float(), deltas.permute(1, 2, 0).reshape(-1, 4).float()

    @torch.no_grad()
    def proposals(self, logits: List[Tensor], deltas: List[Tensor],
                  img_shapes: Sequence[Tuple[int, int]]) -> List[Tensor]:
        """Proposals of each image.

        Args:
            logits, deltas: levels, as ``forward`` gives them.
            img_shapes: B times (height, width) before padding: boxes are clipped to it.

        Returns:
            B tensors [n, 5] (x1 y1 x2 y2 score) in pixels of the network input, best first.
        """
        anchors = [self.level_anchors(i, x.shape[-2:], x.device) for i, x in enumerate(logits)]
        return [self._proposals_of([x[b] for x in logits], [x[b] for x in deltas], anchors, shape)
                for b, shape in enumerate(img_shapes)]

    def _proposals_of(self, logits: List[Tensor], deltas: List[Tensor], anchors: List[Tensor],
                      img_shape: Tuple[int, int]) -> Tensor:
        cfg = self.test_cfg
        boxes, scores, levels = [], [], []
        for level, (cls, reg, level_anchors) in enumerate(zip(logits, deltas, anchors)):
            cls, reg = self._flat(cls, reg)
            score = cls.sigmoid()
            if 0 < cfg['nms_pre'] < len(score):
                score, order = score.topk(cfg['nms_pre'])
                reg, level_anchors = reg[order], level_anchors[order]
            boxes.append(decode(level_anchors, reg, self.target_stds, img_shape))
            scores.append(score)
            levels.append(torch.full_like(score, level, dtype=torch.long))
        boxes, scores, levels = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        if cfg['min_bbox_size'] > 0:
            big = (boxes[:, 2:] - boxes[:, :2] + 1 >= cfg['min_bbox_size']).all(1)
            boxes, scores, levels = boxes[big], scores[big], levels[big]
        keep = nms(boxes, scores, cfg['nms_thr'], None if cfg['nms_across_levels'] else levels)
        if cfg['nms_post'] < cfg['nms_pre'] and not cfg['nms_across_levels']:
            rank = F.one_hot(levels[keep], len(logits)).cumsum(0).gather(1, levels[keep][:, None])[:, 0]
            keep = keep[rank <= cfg['nms_post']]
        keep = keep[:cfg['max_num']]
        return torch.cat([boxes[keep], scores[keep, None]], dim=1)

    def loss(self, logits: List[Tensor], deltas: List[Tensor], gt_boxes: List[Tensor], crowd_boxes: List[Tensor],
             img_shapes: Sequence[Tuple[int, int]], choose: Choose = random_choice) -> Dict[str, List[Tensor]]:
        """Binary cross entropy and smooth L1, one entry a level.

        Each is a sum over the batch divided by the number of sampled anchors of the batch.

        Args:
            gt_boxes, crowd_boxes: B tensors [G, 4] in pixels of the network input.
            img_shapes: B times (height, width) before padding.
            choose: how to draw ``num`` of given indices.
        """
        level_anchors = [self.level_anchors(i, x.shape[-2:], x.device) for i, x in enumerate(logits)]
        sizes = [len(x) for x in level_anchors]
        anchors = torch.cat(level_anchors)
        total = 0
        cls_losses = [x.sum() * 0. for x in map(torch.Tensor.float, logits)]
        reg_losses = [x.sum() * 0. for x in map(torch.Tensor.float, deltas)]
        for b, (positive, negative, gt_index) in enumerate(self._targets(anchors, gt_boxes, crowd_boxes, img_shapes, choose)):
            total += max(len(positive), 1) + max(len(negative), 1)
            on_levels, starts = [], 0
            for size in sizes:
                pos_here = (positive >= starts) & (positive < starts + size)
                neg_here = (negative >= starts) & (negative < starts + size)
                on_levels += [positive[pos_here] - starts, negative[neg_here] - starts, gt_index[pos_here]]
                starts += size
            on_levels = each_to_device(on_levels, anchors.device)
            for level, (pos, neg, truth) in enumerate(zip(on_levels[::3], on_levels[1::3], on_levels[2::3])):
                cls, reg = self._flat(logits[level][b], deltas[level][b])
                target = torch.cat([torch.ones_like(cls[pos]), torch.zeros_like(cls[neg])])
                cls_losses[level] = cls_losses[level] + F.binary_cross_entropy_with_logits(
                    cls[torch.cat([pos, neg])], target, reduction='sum')
                if len(pos):
                    goal = encode(level_anchors[level][pos], gt_boxes[b][truth], self.target_stds)
                    reg_losses[level] = reg_losses[level] + smooth_l1(reg[pos], goal, self.smoothl1_beta)
        scale_cls, scale_reg = (weight / max(total, 1) for weight in self.loss_weights)
        return dict(loss_rpn_cls=[x * scale_cls for x in cls_losses], loss_rpn_reg=[x * scale_reg for x in reg_losses])

    @torch.no_grad()
    def _targets(self, anchors: Tensor, gt_boxes: Sequence[Tensor], crowd_boxes: Sequence[Tensor],
                 img_shapes: Sequence[Tuple[int, int]], choose: Choose) -> List[Tuple[Tensor, Tensor, Tensor]]:
        """Of each image positive and negative indices into the anchors of all levels, and the ground truth of each
        positive; on the host."""
        border = self.allowed_border if self.allowed_border >= 0 else math.inf
        inside = [(anchors[:, 0] >= -border) & (anchors[:, 1] >= -border) & (anchors[:, 2] < width + border)
                  & (anchors[:, 3] < height + border) for height, width in img_shapes]
        inside = [torch.nonzero(x)[:, 0] for x in to_host(*inside)]
        assigned = [self.assigner(anchors[x], *truth)
                    for x, *truth in zip(each_to_device(inside, anchors.device), gt_boxes, crowd_boxes)]
        out = []
        for own, places in zip(to_host(*assigned), inside):
            positive, negative = self.sampler(own, choose)
            out.append((places[positive], places[negative], own[positive] - 1))
        return out
