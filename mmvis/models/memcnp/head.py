"""The head of MemCNP-VIS: a conditional neural process with a memory, on SipMask's kind of dense head.

Numbers and keys of the state dict follow the official code (github.com/SCoulY/MemCNP-VIS), where it is CNPContrastHead.
"""
import math
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import Scale
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.ops.crop_split import split_masks
from mmvis.ops.transfer import constant_like, on_device, to_device, to_host
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo

from ..layers.legacy_boxes import jitter, paired_iou
from ..layers.matching import match_targets
from ..sipmask.detection import Detections, select
from ..sipmask.layers import FeatureAlign, centre_cells, conv_tower, fuse_levels, run_tower
from ..sipmask.losses import focal_loss, mask_loss, mask_weights, masks_at, mean_over_ranks
from ..sipmask.points import flatten_levels, level_points, to_boxes
from .losses import box_mixture_loss, contrastive_loss, cosine_logits, giou_loss
from .memory import SlotMemory
from .targets import ASSIGNERS, memory_boxes, point_targets

#: Levels that make the mask map and the embedding map, and how much larger than the first of them the mask map is.
_FUSED, _UPSAMPLE = 3, 4
#: Boxes of the mask loss are wider and higher than this, in pixels of the mask map.
_MIN_SIDE = 4


class MemCNPMaps(NamedTuple):
    """What the head says of B images; lists have one entry a level, h x w is the size of the level.

    Attributes:
        logits: [B, K, h, w]; centerness: [B, 1, h, w], logits.
        regression: [B, 8, h, w]: mean and deviation of the four distances, before their activations.
        basis: [B, C, H / 2, W / 2], not negative, for the masks.
        tracking: [B, C, H / 8, W / 8]: the embeddings, which are the mask coefficients, too.
    """
    logits: List[Tensor]
    regression: List[Tensor]
    centerness: List[Tensor]
    basis: Tensor
    tracking: Tensor


@dataclass
class UncertainDetections(Detections):
    """Also uncertainty: float32 [n, 4], deviation of each side as a part of the image, at most 1; centerness: [n]."""
    uncertainty: Tensor
    centerness: Tensor


class ImagePairs(NamedTuple):
    """Points of one image: embeddings [n, C] at the centres of their boxes, and their objects, chosen int64 [n]."""
    embeddings: Tensor
    chosen: Tensor


@MODELS.register_module()
class MemCNPHead(nn.Module):
    """Dense head on a feature pyramid, its weights shared by the levels.

    Args:
        num_classes: K, without background.
        in_channels: of the pyramid; feat_channels: C, of everything else.
        stacked_convs: blocks of the mask tower; the class and tracking towers have one fewer.
        num_groups: of the group norms.
        strides: of the levels in pixels, finest first; more levels of the pyramid are not looked at.
        num_slots, memory_momentum: see ``SlotMemory``.
        assigner: which points learn an object: 'uncertainty', or 'centre' (fixed radii).
        test_cfg: dict(nms_pre, score_thr, nms=dict(iou_thr), max_per_img, mask_thr_binary).
        aug_ref_bbox_param: (centre, size) jitter of the reference boxes in training; ``None``: none.
        loss_clips: loss_match compares the objects of all pairs of frames of a process, as published, so it depends on how
            the pairs of a step are shared out. A number: those of so many pairs at a time; then it does not, where the
            number divides the batch of every process.
    """

    #: How masks are resized, see ``encode_masks`` of SipMask.
    ratio_of_sizes = False

    def __init__(self, num_classes: int = 40, in_channels: int = 256, feat_channels: int = 256, stacked_convs: int = 3,
                 num_groups: int = 32, strides: Sequence[int] = (8, 16, 32, 64), num_slots: int = 128,
                 memory_momentum: float = 0.999, assigner: str = 'uncertainty', test_cfg: Optional[dict] = None,
                 aug_ref_bbox_param: Optional[Sequence[float]] = (0.05, 0.05), loss_clips: Optional[int] = None) -> None:
        super().__init__()
        if assigner not in ASSIGNERS or len(strides) < _FUSED:
            raise InputError(f'MemCNPHead: assigner is one of {", ".join(ASSIGNERS)}, not {assigner!r}, and there are '
                             f'at least {_FUSED} strides, not {len(strides)}.')
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.mask_stride = self.strides[0] / _UPSAMPLE
        self.aug_ref_bbox_param, self.loss_clips = aug_ref_bbox_param, loss_clips
        self.test_cfg = dict(dict(nms_pre=200, score_thr=0.015, nms=dict(iou_thr=0.5), max_per_img=10,
                                  mask_thr_binary=0.5), **test_cfg or {})
        self.cls_convs = conv_tower(stacked_convs - 1, in_channels, feat_channels, num_groups, last_relu=False)
        self.mask_convs = conv_tower(stacked_convs, in_channels, feat_channels, num_groups)
        self.track_convs = conv_tower(stacked_convs - 1, in_channels, feat_channels, num_groups)
        self.mem = SlotMemory(num_slots, feat_channels, memory_momentum)
        self.fcos_cls = nn.Conv2d(feat_channels, num_classes, 3, padding=1)
        self.fcos_reg = nn.Conv2d(2 * feat_channels, 8, 3, padding=1)
        self.fcos_centerness = nn.Conv2d(feat_channels, 1, 3, padding=1)
        # They scale the input of the alignment alone, which passes no gradient: they stay what they are.
        self.scales = nn.ModuleList([Scale(1.) for _ in strides]).requires_grad_(False)
        self.cls_align = FeatureAlign(2 * feat_channels, feat_channels, num_groups)
        self.mask_align = FeatureAlign(feat_channels, feat_channels, num_groups)
        self.mask_fuse = nn.Conv2d(_FUSED * feat_channels, feat_channels, 1)
        self.track_fuse = nn.Conv2d(_FUSED * feat_channels, feat_channels, 1)
        self.assigner = ASSIGNERS[assigner]()
        self.init_weights()

    def init_weights(self) -> None:
        towers = (block.conv for tower in (self.cls_convs, self.mask_convs, self.track_convs) for block in tower)
        aligns = (conv for x in (self.cls_align, self.mask_align) for conv in (x.conv_offset, x.conv_adaption))
        for conv in (*towers, *aligns, self.fcos_cls, self.fcos_reg, self.fcos_centerness, self.mask_fuse,
                     self.track_fuse):
            nn.init.normal_(conv.weight, std=0.01)
            if getattr(conv, 'bias', None) is not None:
                nn.init.zeros_(conv.bias)
        nn.init.constant_(self.fcos_cls.bias, -math.log(99))

    # The network

    def image_size(self, maps: Sequence[Tensor]) -> Tuple[int, int]:
        """(H, W), padded, of the images that a pyramid or maps of its levels belong to."""
        height, width = maps[0].shape[-2:]
        return height * self.strides[0], width * self.strides[0]

    def points(self, maps: Sequence[Tensor]) -> List[Tensor]:
        """Points float32 [h * w, 2] (x, y) of each level, in pixels of the network input."""
        return level_points([x.shape[-2:] for x in maps], self.strides, maps[0].device)

    def forward(self, features: Sequence[Tensor], written: Optional[Sequence[Tensor]] = None) -> MemCNPMaps:
        """Maps of the head for a pyramid [B, C, H / stride, W / stride]; H and W are multiples of 32.

        Args:
            written: boxes of each level [B, 4, h, w] that go into the memory, in training.
        """
        features = features[:len(self.strides)]
        height, width = self.image_size(features)
        logits, regression, centerness, masks = [], [], [], []
        for level, (x, stride) in enumerate(zip(features, self.strides)):
            own, mask = run_tower(self.cls_convs, x), run_tower(self.mask_convs, x)
            context = self.mem(own, None if written is None else written[level])
            joint = torch.cat([own, context.to(own.dtype)], dim=1)
            box = self.fcos_reg(joint).float()
            with torch.no_grad():
                cells = constant_like(box, (width, height) * 2).view(1, 4, 1, 1) / stride
                cells = self.scales[level](box[:, :4].sigmoid() * cells)
            logits.append(self.fcos_cls(self.cls_align(joint, cells)))
            regression.append(box)
            centerness.append(self.fcos_centerness(mask))
            if level < _FUSED:
                masks.append(self.mask_align(mask, cells))
        return MemCNPMaps(logits, regression, centerness, self.basis(masks), self.tracking(features))

    def basis(self, masks: Sequence[Tensor]) -> Tensor:
        """Mask map from the aligned maps of the mask tower."""
        # A 1x1 convolution and a bilinear resize commute; in the published order, resize first, it costs 16 times more.
        x = self.mask_fuse(fuse_levels(masks))
        return F.interpolate(x, scale_factor=_UPSAMPLE, mode='bilinear', align_corners=False).relu()

    def tracking(self, features: Sequence[Tensor]) -> Tensor:
        """Map of embeddings [B, C, H / 8, W / 8] of a pyramid."""
        return self.track_fuse(fuse_levels([run_tower(self.track_convs, x) for x in features[:_FUSED]]))

    def embed(self, tracking: Tensor, boxes: Tensor, rounding=torch.floor) -> Tensor:
        """Embeddings float32 [n, C] of boxes [n, 4] (network pixels) of a frame: a map [C, h, w] at their centres."""
        rows, columns = centre_cells(boxes, self.strides[0], tracking.shape[1:], rounding)
        return tracking[:, rows, columns].T.float()

    def decode(self, regression: Sequence[Tensor]) -> Tuple[Tensor, Tensor]:
        """Boxes, clamped to the padded image, and deviations of their sides: [B, P, 4] each, as parts of its size."""
        height, width = self.image_size(regression)
        values = flatten_levels(regression)
        points = torch.cat(self.points(regression)) / constant_like(values, (width, height))
        return to_boxes(points, values[..., :4].sigmoid()).clamp(0, 1), 0.1 + 0.9 * F.softplus(values[..., 4:])

    # Training

    def loss(self, features: Sequence[Tensor], reference: Sequence[Tensor],
             samples: Sequence[Sequence[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of B pairs of frames from the pyramids of the key frames and of the reference frames.

        Args:
            samples: B pairs [key, reference].

        Returns:
            loss_cls, loss_bbox, loss_cnp, loss_centerness, loss_seg, loss_match; match_acc in percent.
        """
        truth, seen = ([pair[i].gt_instances for pair in samples] for i in (0, 1))
        if self.aug_ref_bbox_param is not None:
            seen = [InstanceData(bboxes=jitter(x.bboxes, self.aug_ref_bbox_param), instance_ids=x.instance_ids)
                    for x in seen]
        maps = self(features, self.written(features, [x.bboxes for x in truth]))
        return self.loss_of_maps(maps, self.tracking(reference), truth, seen)

    @torch.no_grad()
    def written(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> List[Tensor]:
        """Boxes [B, 4, h, w] of each level for the memory, from the objects [G, 4] of each of the B images."""
        maps = features[:len(self.strides)]
        points, size = torch.cat(self.points(maps)), self.image_size(maps)
        every = torch.stack([memory_boxes(points, x, size) for x in boxes]).transpose(1, 2)
        return [x.unflatten(2, y.shape[-2:]) for x, y in zip(every.split([y[0, 0].numel() for y in maps], 2), maps)]

    def loss_of_maps(self, maps: MemCNPMaps, reference: Tensor, truth: Sequence[InstanceData],
                     seen: Sequence[InstanceData]) -> Dict[str, Tensor]:
        """As ``loss``, from the maps of the key frames and the embeddings [B, C, h, w] of the reference frames."""
        points = self.points(maps.logits)
        parts, deviations = self.decode(maps.regression)
        logits, centerness = flatten_levels(maps.logits), flatten_levels(maps.centerness)[..., 0]
        every = logits, centerness, parts, deviations, maps.basis, maps.tracking, reference
        zero = sum(x[..., 0].float().sum() for x in every) * 0.           # 0, with a gradient for every parameter
        sums = dict.fromkeys(('loss_cls', 'loss_bbox', 'loss_cnp', 'loss_centerness', 'loss_seg'), zero)
        pairs: List[Optional[ImagePairs]] = [None] * len(truth)
        for b, objects in enumerate(truth):
            if not len(objects):
                continue
            targets = point_targets(points, [x.shape[-2:] for x in maps.logits], objects.bboxes)
            positive, negative = self.assigner(targets, deviations[b].detach().mean(1), points, objects.bboxes)
            # Which points count is known on the host after one wait; indices from there cost none.
            positive, negative, nearest, inside = to_host(positive, negative, targets.nearest, targets.inside)
            inside, place, counted = (to_device(torch.nonzero(x)[:, 0], logits.device)
                                      for x in (inside, positive, positive | negative))
            sums['loss_centerness'] = sums['loss_centerness'] + F.binary_cross_entropy_with_logits(
                centerness[b, inside], targets.centreness[inside], reduction='sum') / max(len(inside), 1)
            if not len(place):
                continue
            chosen, objects_of = targets.nearest[place], nearest[positive]
            labels = torch.full_like(targets.nearest, self.num_classes)
            labels[place] = objects.labels[chosen]
            sums['loss_cls'] = sums['loss_cls'] + focal_loss(logits[b, counted], labels[counted]) / len(place)
            scores = logits[b, place, labels[place]].detach().sigmoid()
            self._add_boxes(sums, parts[b, place], deviations[b, place], objects.bboxes, objects_of, scores,
                            targets.centreness[place], maps)
            pairs[b] = self._add_masks(sums, maps, b, parts[b, place].detach(), objects, chosen, scores)
        counts = sum(len(x) > 0 for x in truth), len(truth)
        with_objects, images = mean_over_ranks(*on_device([float(x) for x in counts], zero.device))
        with_objects = with_objects.clamp(min=1e-6)         # without any object the sums are 0, with a gradient
        losses = {name: value / (images if name == 'loss_centerness' else with_objects) for name, value in sums.items()}
        step = self.loss_clips or max(len(truth), 1)
        groups = [slice(first, first + step) for first in range(0, len(truth), step)]
        found = [self._loss_match(maps.tracking[x], reference[x], truth[x], seen[x], pairs[x]) for x in groups]
        loss_match, match_acc = (sum(values) for values in zip(*found))
        return dict(losses, loss_match=(zero + loss_match) / with_objects, match_acc=match_acc / len(groups))

    def _add_boxes(self, sums: Dict[str, Tensor], parts: Tensor, deviations: Tensor, gt_boxes: Tensor, chosen: Tensor,
                   scores: Tensor, weights: Tensor, maps: MemCNPMaps) -> None:
        """Add the box losses of an image: its n positives predict ``parts`` and ``deviations`` [n, 4] of the objects
        ``chosen`` [n] (on the host); scores of the true class [n], weights [n] their centreness."""
        height, width = self.image_size(maps.logits)
        size = constant_like(parts, (width, height) * 2)
        boxes, targets = parts * size, gt_boxes / size
        wanted = gt_boxes[to_device(chosen, gt_boxes.device)]
        sums['loss_bbox'] = sums['loss_bbox'] + giou_loss(boxes, wanted)
        # What the deviations should tell: how wrong class and box are.
        wrong = (1 - scores) + (1 - paired_iou(boxes.detach(), wanted))
        num_points = flatten_levels(maps.centerness).shape[1]
        for index in chosen.unique().tolist():
            own = to_device(torch.nonzero(chosen == index)[:, 0], parts.device)
            density = box_mixture_loss(parts[own], deviations[own], weights[own] + 1e-9, targets[index])
            told = F.smooth_l1_loss(deviations[own], wrong[own, None].expand(-1, 4))
            sums['loss_cnp'] = sums['loss_cnp'] + density / num_points + told

    def _add_masks(self, sums: Dict[str, Tensor], maps: MemCNPMaps, b: int, parts: Tensor, objects: InstanceData,
                   chosen: Tensor, scores: Tensor) -> Optional[ImagePairs]:
        """Add the mask loss of image b and return those of its pairs whose box is large enough for a mask, if any."""
        height, width = self.image_size(maps.logits)
        boxes = parts * constant_like(parts, (width, height) * 2)
        large, = to_host(((boxes[:, 2:] - boxes[:, :2]) / self.mask_stride > _MIN_SIDE).all(1))
        if not large.any():
            return None
        large = to_device(torch.nonzero(large)[:, 0], boxes.device)
        boxes, chosen, scores = boxes[large], chosen[large], scores[large]
        embeddings = self.embed(maps.tracking[b], boxes)
        small, gt_small = boxes / self.mask_stride, objects.bboxes / self.mask_stride
        weights = mask_weights(scores, small, gt_small[chosen])
        target = masks_at(objects.masks, maps.basis.shape[-2:])[chosen]
        probabilities = split_masks(maps.basis[b], embeddings[:, None], small)
        sums['loss_seg'] = sums['loss_seg'] + mask_loss(probabilities, target, small, weights)
        return ImagePairs(embeddings.detach(), chosen)

    def _loss_match(self, tracking: Tensor, reference: Tensor, truth: Sequence[InstanceData],
                    seen: Sequence[InstanceData], pairs: Sequence[Optional[ImagePairs]]) -> Tuple[Tensor, Tensor]:
        """Contrastive loss of the objects of the images that have pairs, and the percentage of pairs whose nearest
        object of the reference frame is the right one. 0 where that percentage is 0, as published."""
        current, known, same, right, count = [], [], [], 0., 0
        for b, found in enumerate(pairs):
            if found is None:
                continue
            column = match_targets(truth[b].instance_ids, seen[b].instance_ids)       # 0: not in the reference frame
            same.append(torch.where(column > 0, column - 1 + sum(map(len, known)), -1))
            current.append(self.embed(tracking[b], truth[b].bboxes))
            known.append(self.embed(reference[b], seen[b].bboxes))
            guess = F.pad(cosine_logits(found.embeddings, known[-1].detach()), (1, 0)).argmax(1)
            right = right + (guess == column[found.chosen]).sum()
            count += len(guess)
        accuracy = torch.as_tensor(right * (100. / max(count, 1)), device=tracking.device)
        if not current:
            return accuracy.float() * 0., accuracy
        loss = contrastive_loss(torch.cat(current), torch.cat(known), torch.cat(same), len(current))
        return torch.where(accuracy > 0, loss, loss * 0.), accuracy

    # Inference

    def detect(self, features: Sequence[Tensor], video: VideoInfo) -> Tuple[List[UncertainDetections], Tensor]:
        """Detections of each of the T frames of a pyramid, and the mask map [T, C, h, w]."""
        maps = self(features)
        return self.detect_in_maps(maps, video), maps.basis

    def detect_in_maps(self, maps: MemCNPMaps, video: VideoInfo) -> List[UncertainDetections]:
        """Detections of each of the T frames whose maps are given."""
        height, width = self.image_size(maps.logits)
        boxes, deviations = self.decode(maps.regression)
        boxes = boxes * constant_like(boxes, (width, height) * 2)
        centerness = flatten_levels(maps.centerness).sigmoid()
        scores = flatten_levels(maps.logits).sigmoid() * centerness
        sizes, out = [x[0, 0].numel() for x in maps.logits], []
        for t, (box, score) in enumerate(zip(boxes, scores)):
            places, best, labels = select(box, score, sizes, self.test_cfg)
            original = box[places] / video.scale_factor
            # The same map at the same centre, but for the association the nearest place and not the cell.
            embeddings = self.embed(maps.tracking[t], original * video.scale_factor, torch.round)
            coefficients = self.embed(maps.tracking[t], box[places])[:, None]
            out.append(UncertainDetections(original, best, labels, embeddings, coefficients,
                                           deviations[t, places].clamp(max=1), centerness[t, places, 0]))
        return out
