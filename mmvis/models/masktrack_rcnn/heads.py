"""Second stage of MaskTrackRCNN: boxes, masks, identity embeddings. Slot 0 of every class axis is the background."""
from typing import Dict, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmvis.registry import MODELS

from ..layers.legacy_boxes import decode, encode, nms
from ..layers.matching import match_logits, match_loss
from .rpn_head import smooth_l1
from .sampling import SampledBoxes


@MODELS.register_module()
class MaskTrackBBoxHead(nn.Module):
    """Two fully connected layers, then 1 + K class logits and 4 (1 + K) box deltas.

    Args:
        num_classes: K, without the background.
        loss_weights: of (loss_cls, loss_reg); smoothl1_beta: of loss_reg.
    """

    def __init__(self, num_classes: int = 40, in_channels: int = 256, fc_channels: int = 1024, roi_size: int = 7,
                 target_stds: Sequence[float] = (0.1, 0.1, 0.2, 0.2), loss_weights: Sequence[float] = (1., 1.),
                 smoothl1_beta: float = 1.) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.target_stds = tuple(target_stds)
        self.loss_weights = tuple(loss_weights)
        self.smoothl1_beta = smoothl1_beta
        self.shared_fcs = nn.ModuleList([nn.Linear(in_channels * roi_size ** 2, fc_channels),
                                         nn.Linear(fc_channels, fc_channels)])
        self.fc_cls = nn.Linear(fc_channels, 1 + num_classes)
        self.fc_reg = nn.Linear(fc_channels, 4 * (1 + num_classes))
        self.init_weights()

    def init_weights(self) -> None:
        for fc in self.shared_fcs:
            nn.init.xavier_uniform_(fc.weight)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.normal_(self.fc_reg.weight, std=0.001)
        for fc in (*self.shared_fcs, self.fc_cls, self.fc_reg):
            nn.init.zeros_(fc.bias)

    def forward(self, roi_features: Tensor) -> Tuple[Tensor, Tensor]:
        """Logits [N, 1 + K] and deltas [N, 4 (1 + K)], float32, for features [N, C, s, s]."""
        x = roi_features.flatten(1).to(self.fc_cls.weight.dtype)
        for fc in self.shared_fcs:
            x = F.relu(fc(x))
        return self.fc_cls(x).float(), self.fc_reg(x).float()

    def detect(self, rois: Tensor, logits: Tensor, deltas: Tensor, img_shape: Tuple[int, int], scale_factor: float = 1.,
               score_thr: float = 0.05, iou_thr: float = 0.5, max_per_img: int = 10) -> Tuple[Tensor, Tensor, Tensor]:
        """Detections of one image.

        Args:
            rois: [N, 4] in pixels of the network input; logits [N, 1 + K], deltas [N, 4 (1 + K)] of ``forward``.
            img_shape: (height, width) of the network input before padding.
            scale_factor: the boxes are divided by it before suppression.

        Returns:
            boxes [n, 4], scores [n], labels [n] (0-based). By class, then by score; if there were more than
            ``max_per_img``, the best of them by score. (Track ids follow this order.)
        """
        scores = logits.softmax(1)[:, 1:]
        label, roi = torch.nonzero(scores.T > score_thr).unbind(1)           # class by class
        scores = scores[roi, label]
        own = deltas.reshape(len(deltas), -1, 4)[roi, label + 1]
        boxes = decode(rois[roi], own, self.target_stds, img_shape) / scale_factor
        keep = nms(boxes, scores, iou_thr, label)
        if len(keep) > max_per_img:
            keep = keep[:max_per_img]
        else:
            keep = keep[label[keep].argsort(stable=True)]
        return boxes[keep], scores[keep], label[keep]

    @torch.no_grad()
    def targets(self, sampled: Sequence[SampledBoxes], gt_boxes: Sequence[Tensor],
                gt_labels: Sequence[Tensor]) -> Tuple[Tensor, Tensor]:
        """Class slots int64 [N] (0 background) and deltas [P, 4] of the P positives, image by image."""
        slots, deltas = [], []
        for sample, boxes, labels in zip(sampled, gt_boxes, gt_labels):
            slots.append(F.pad(labels[sample.gt_index] + 1, (0, len(sample.negative))))
            deltas.append(encode(sample.pos_boxes, boxes[sample.gt_index], self.target_stds))
        return torch.cat(slots), torch.cat(deltas)

    def loss(self, logits: Tensor, deltas: Tensor, slots: Tensor, target_deltas: Tensor,
             rows: Optional[Tensor] = None) -> Dict[str, Tensor]:
        """Cross entropy, and smooth L1 on the deltas of the true class; both divided by the N sampled boxes.

        ``rows`` int64 [P], where they are known: the places of the positives among the boxes.
        """
        num = max(len(slots), 1)
        rows = torch.nonzero(slots > 0)[:, 0] if rows is None else rows
        own = deltas.reshape(len(deltas), -1, 4)[rows, slots[rows]]
        loss_cls = F.cross_entropy(logits, slots, reduction='sum') / num * self.loss_weights[0]
        loss_reg = smooth_l1(own, target_deltas, self.smoothl1_beta) / num * self.loss_weights[1]
        accuracy = (logits.argmax(1) == slots).float().sum() * (100 / num)
        return dict(loss_cls=loss_cls, loss_reg=loss_reg, acc=accuracy)


@MODELS.register_module()
class MaskTrackMaskHead(nn.Module):
    """Four 3x3 convolutions, a 2x2 transposed one, then 1 + K mask logits of twice the RoI size."""

    def __init__(self, num_classes: int = 40, in_channels: int = 256, conv_channels: int = 256, num_convs: int = 4,
                 loss_weight: float = 1.) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        widths = [in_channels] + [conv_channels] * num_convs
        self.convs = nn.ModuleList([ConvModule(*pair, 3, padding=1) for pair in zip(widths, widths[1:])])
        self.upsample = nn.ConvTranspose2d(widths[-1], conv_channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(conv_channels, 1 + num_classes, 1)
        self.init_weights()

    def init_weights(self) -> None:
        for layer in (*(block.conv for block in self.convs), self.upsample, self.conv_logits):
            nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
            nn.init.zeros_(layer.bias)

    def features(self, roi_features: Tensor) -> Tensor:
        """[N, C, s, s] -> [N, conv_channels, 2 s, 2 s]."""
        x = roi_features.to(self.conv_logits.weight.dtype)
        for block in self.convs:
            x = block(x)
        return F.relu(self.upsample(x))

    def forward(self, roi_features: Tensor, labels: Optional[Tensor] = None) -> Tensor:
        """Mask logits float32 [N, 2 s, 2 s] of the ``labels`` [N]; without them of all slots [N, 1 + K, 2 s, 2 s]."""
        x = self.features(roi_features)
        if labels is None:
            return self.conv_logits(x).float()
        weight = self.conv_logits.weight.flatten(1)[labels + 1]
        logits = torch.bmm(weight[:, None].to(x.dtype), x.flatten(2)).reshape(len(x), *x.shape[2:]).float()
        return logits + self.conv_logits.bias[labels + 1, None, None].float()

    @staticmethod
    @torch.no_grad()
    def targets(boxes: Tensor, gt_masks: np.ndarray, gt_index: Tensor, size: int = 28) -> Tensor:
        """Masks float32 [P, size, size] of 0 and 1: each box of the mask of its ground truth, resized.

        Args:
            boxes: [P, 4] in pixels of the network input; gt_masks: uint8 [G, H, W]; gt_index: int64 [P]; all on the host.
        """
        canvas_h, canvas_w = gt_masks.shape[1:]
        out = np.zeros((len(boxes), size, size), np.float32)
        whole = boxes.numpy().astype(np.int32).tolist()
        for i, (index, (x1, y1, x2, y2)) in enumerate(zip(gt_index.tolist(), whole)):
            x1, y1 = min(max(x1, 0), canvas_w - 1), min(max(y1, 0), canvas_h - 1)
            crop = gt_masks[index, y1:max(y2, y1) + 1, x1:max(x2, x1) + 1]
            out[i] = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy(out)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross entropy of logits and targets [P, s, s]; 0 with a gradient when P = 0."""
        if len(logits) == 0:
            return logits.sum() * 0.
        return F.binary_cross_entropy_with_logits(logits, targets) * self.loss_weight


@MODELS.register_module()
class MaskTrackEmbeddingHead(nn.Module):
    """Identity embedding: two fully connected layers; the last has no activation."""

    def __init__(self, in_channels: int = 256, fc_channels: int = 1024, roi_size: int = 7, loss_weight: float = 1.,
                 skip_single_positive: bool = False) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.skip_single_positive = skip_single_positive
        self.fcs = nn.ModuleList([nn.Linear(in_channels * roi_size ** 2, fc_channels),
                                  nn.Linear(fc_channels, fc_channels)])
        self.init_weights()

    def init_weights(self) -> None:
        for fc in self.fcs:
            nn.init.normal_(fc.weight, std=0.01)
            nn.init.zeros_(fc.bias)

    def forward(self, roi_features: Tensor) -> Tensor:
        """Embeddings float32 [N, D] of features [N, C, s, s]."""
        x = roi_features.flatten(1).to(self.fcs[0].weight.dtype)
        return self.fcs[1](F.relu(self.fcs[0](x))).float()

    match_logits = staticmethod(match_logits)

    def loss(self, logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Dict[str, Tensor]:
        """Cross entropy of the positives of each image, mean over the images.

        Args:
            logits: B tensors [P_b, 1 + M_b]; targets: B tensors int64 [P_b], 0 for an object absent from the reference.
        """
        losses = match_loss(logits, targets, min_positives=2 if self.skip_single_positive else 1)
        losses['loss_match'] = losses['loss_match'] * self.loss_weight
        return losses
