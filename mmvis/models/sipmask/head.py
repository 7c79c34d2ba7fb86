"""The head of SipMask-VIS: classes, boxes, mask coefficients, mask basis and identity embeddings (arXiv 2007.14772)."""
import math
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import Scale
from torch import Tensor, nn

from mmvis.frame_sample import FrameSample
from mmvis.ops.crop_split import split_masks
from mmvis.ops.transfer import on_device, to_device, to_host
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo

from ..layers.legacy_boxes import clip, jitter
from ..layers.matching import match_logits, match_loss, match_targets
from .detection import Detections, select
from .layers import FeatureAlign, centre_cells, conv_at, conv_tower, fuse_levels, run_tower
from .losses import focal_loss, iou_loss, mask_loss, mask_weights, masks_at, mean_over_ranks
from .points import flatten_levels, level_points, to_boxes, to_distances
from .targets import assign_places, centerness_targets

#: Cells of a box that have coefficients of their own, a side.
CELLS = 2


class DenseMaps(NamedTuple):
    """What the head says at every place; lists have one entry a level, h x w is the size of the level.

    Attributes:
        logits: [B, K, h, w]; distances: float32 [B, 4, h, w] to the sides of the box (left, top, right, bottom), in
            pixels of the network input, maybe negative; centerness: [B, 1, h, w], logits.
        aligned: [B, C, h, w], from which the mask coefficients follow.
        basis: [B, num_basis, H / mask_stride, W / mask_stride], not negative.
    """
    logits: List[Tensor]
    distances: List[Tensor]
    centerness: List[Tensor]
    aligned: List[Tensor]
    basis: Tensor


@dataclass
class Positives:
    """The n places of a batch that learn an object, image by image.

    Attributes:
        image, place, objects: int64 [n], which image, which place of its pyramid, which object of the image.
        boxes: [n, 4] predicted, gt_boxes: [n, 4] and gt_labels: int64 [n] of the object, in network pixels.
        counts: how many of them each image has.
    """
    image: Tensor
    place: Tensor
    objects: Tensor
    boxes: Tensor
    gt_boxes: Tensor
    gt_labels: Tensor
    counts: List[int]

    @property
    def rows(self) -> List[slice]:
        """Those of each image."""
        ends = list(accumulate(self.counts, initial=0))
        return [slice(*ends[i:i + 2]) for i in range(len(self.counts))]

    def select(self, chosen: Tensor) -> 'Positives':
        """Some of them: a mask, bool [n], on the host."""
        index = to_device(torch.nonzero(chosen)[:, 0], self.image.device)
        return Positives(*(getattr(self, field.name)[index] for field in fields(self)[:-1]),
                         [int(chosen[rows].sum()) for rows in self.rows])


@MODELS.register_module()
class SipMaskHead(nn.Module):
    """Dense head on a feature pyramid, its weights shared by the levels.

    Args:
        num_classes: K, without background.
        in_channels: of the pyramid; feat_channels: of the towers.
        stacked_convs: blocks of the box tower; the class tower has one fewer, the tracking tower two.
        num_groups: of the group norms.
        strides: of the levels in pixels, finest first; regress_ranges: sizes that each level learns, in pixels.
        center_sample_radius: in strides.
        num_basis: channels of the mask basis; mask_channels: before it; basis_upsample: its size over the first level.
        track_channels: length of an embedding.
        fuse_levels: levels from which basis and embeddings are made.
        test_cfg: dict(nms_pre, score_thr, nms=dict(iou_thr), max_per_img, mask_thr_binary).
        aug_ref_bbox_param: (centre, size) jitter of the reference boxes in training; ``None``: none.
        loss_weights: of (loss_cls, loss_bbox, loss_centerness, loss_mask, loss_match).
    """

    #: How masks are resized, see ``encode_masks``.
    ratio_of_sizes = True

    def __init__(self, num_classes: int = 40, in_channels: int = 256, feat_channels: int = 256, stacked_convs: int = 3,
                 num_groups: int = 32, strides: Sequence[int] = (8, 16, 32, 64, 128),
                 regress_ranges: Sequence[Tuple[float, float]] = ((-1, 64), (64, 128), (128, 256), (256, 512),
                                                                  (512, 1e8)),
                 center_sample_radius: float = 1.5, num_basis: int = 32, mask_channels: int = 512,
                 basis_upsample: int = 4, track_channels: int = 512, fuse_levels: int = 3,
                 test_cfg: Optional[dict] = None, aug_ref_bbox_param: Optional[Sequence[float]] = (0.05, 0.05),
                 loss_weights: Sequence[float] = (1., 1., 1., 1., 1.)) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.regress_ranges = tuple(tuple(x) for x in regress_ranges)
        self.center_sample_radius = center_sample_radius
        self.num_basis = num_basis
        self.basis_upsample = basis_upsample
        self.mask_stride = self.strides[0] / basis_upsample
        self.fuse_levels = fuse_levels
        self.aug_ref_bbox_param = aug_ref_bbox_param
        self.loss_weights = tuple(loss_weights)
        self.test_cfg = dict(dict(nms_pre=200, score_thr=0.03, nms=dict(iou_thr=0.5), max_per_img=10,
                                  mask_thr_binary=0.5), **test_cfg or {})
        self.cls_convs = conv_tower(stacked_convs - 1, in_channels, feat_channels, num_groups)
        self.reg_convs = conv_tower(stacked_convs, in_channels, feat_channels, num_groups)
        self.track_convs = conv_tower(2, in_channels, feat_channels, num_groups)
        self.fcos_cls = nn.Conv2d(feat_channels, num_classes, 3, padding=1)
        self.fcos_reg = nn.Conv2d(feat_channels, 4, 3, padding=1)
        self.fcos_centerness = nn.Conv2d(feat_channels, 1, 3, padding=1)
        self.scales = nn.ModuleList([Scale(1.0) for _ in strides])
        self.feat_align = FeatureAlign(feat_channels, feat_channels, num_groups)
        self.sip_cof = nn.Conv2d(feat_channels, CELLS ** 2 * num_basis, 3, padding=1)
        self.sip_mask_lat0 = nn.Conv2d(fuse_levels * feat_channels, mask_channels, 1)
        self.sip_mask_lat = nn.Conv2d(mask_channels, num_basis, 3, padding=1)
        self.sipmask_track = nn.Conv2d(fuse_levels * feat_channels, track_channels, 1)
        self.init_weights()

    def init_weights(self) -> None:
        for tower in (self.cls_convs, self.reg_convs, self.track_convs):
            for block in tower:
                nn.init.normal_(block.conv.weight, std=0.01)
        for conv in (self.fcos_cls, self.fcos_reg, self.fcos_centerness, self.sip_cof, self.sip_mask_lat0,
                     self.sip_mask_lat):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)
        nn.init.constant_(self.fcos_cls.bias, -math.log(99))
        nn.init.zeros_(self.feat_align.conv_offset.weight)
        nn.init.normal_(self.feat_align.conv_adaption.weight, std=0.01)
        self.sipmask_track.reset_parameters()

    # The network

    def forward(self, features: Sequence[Tensor]) -> DenseMaps:
        """Maps of the head for a pyramid [B, C, H / stride, W / stride]; H and W are multiples of 32."""
        logits, distances, centerness, aligned, boxes = [], [], [], [], []
        for x, stride, scale in zip(features, self.strides, self.scales):
            box = run_tower(self.reg_convs, x)
            cells = scale(self.fcos_reg(box)).float()
            feature = self.feat_align(run_tower(self.cls_convs, x), cells.detach())
            logits.append(self.fcos_cls(feature))
            distances.append(cells * stride)
            centerness.append(self.fcos_centerness(box))
            aligned.append(feature)
            boxes.append(box)
        return DenseMaps(logits, distances, centerness, aligned, self.basis(boxes[:self.fuse_levels]))

    def basis(self, boxes: Sequence[Tensor]) -> Tensor:
        """Mask basis from the box tower's maps of the first levels."""
        x = F.relu(self.sip_mask_lat0(fuse_levels(boxes)))
        x = F.relu(self.sip_mask_lat(x))
        return F.interpolate(x, scale_factor=self.basis_upsample, mode='bilinear', align_corners=False)

    def track_features(self, features: Sequence[Tensor]) -> Tensor:
        """Map [B, fuse_levels * C, H / stride, W / stride] at the stride of the first level, for ``embed``."""
        return fuse_levels([run_tower(self.track_convs, x) for x in features[:self.fuse_levels]])

    def embed(self, track_features: Tensor, boxes: Tensor) -> Tensor:
        """Embeddings float32 [n, D] of boxes [n, 4] in one frame (network pixels): at their centres, map [C, h, w]."""
        cells = centre_cells(boxes, self.strides[0], track_features.shape[1:])
        return conv_at(self.sipmask_track, track_features, *cells).float()

    # Training

    def loss(self, features: Sequence[Tensor], reference: Sequence[Tensor],
             samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of B pairs of frames.

        Args:
            features, reference: pyramids [B, C, H / stride, W / stride] of the key and of the reference frames.
            samples: B pairs [key, reference]; boxes with inclusive corners.

        Returns:
            loss_cls, loss_bbox, loss_centerness, loss_mask, loss_match; match_acc in percent.
        """
        return self.loss_of_maps(self(features), self.track_features(features), self.track_features(reference), samples)

    def loss_of_maps(self, maps: DenseMaps, tracking: Tensor, reference: Tensor,
                     samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses as ``loss`` gives them from the maps of the head; tracking, reference: of ``track_features``."""
        points = level_points([x.shape[-2:] for x in maps.logits], self.strides, maps.basis.device)
        truth = [key.gt_instances for key, _ in samples]
        objects = torch.stack([assign_places(points, x.bboxes, self.strides, self.regress_ranges,
                                             self.center_sample_radius) for x in truth])
        objects, = to_host(objects)
        positive = torch.nonzero(objects >= 0)
        counts = torch.bincount(positive[:, 0], minlength=len(truth)).tolist()
        image, place, objects = to_device(torch.cat([positive, objects[objects >= 0][:, None]], 1).T,
                                          maps.basis.device).contiguous()
        points = torch.cat(points)[place]
        gt_boxes, gt_labels = (torch.cat([x[name][own] for x, own in zip(truth, objects.split(counts))])
                               for name in ('bboxes', 'labels'))
        boxes = to_boxes(points, flatten_levels(maps.distances)[image, place])
        positives = Positives(image, place, objects, boxes, gt_boxes, gt_labels, counts)
        logits = flatten_levels(maps.logits)
        losses = self.loss_detection(logits, flatten_levels(maps.centerness), positives,
                                     centerness_targets(to_distances(points, gt_boxes)))
        usable = (boxes[:, 2:] - boxes[:, :2]).prod(1) > self.mask_stride ** 2       # more than a pixel of the basis
        positives = positives.select(*to_host(usable))
        coefficients = flatten_levels([self.sip_cof(x) for x in maps.aligned])[positives.image, positives.place]
        losses['loss_mask'] = self.loss_masks(
            maps.basis, coefficients.unflatten(1, (CELLS ** 2, -1)), positives,
            logits[positives.image, positives.place, positives.gt_labels].sigmoid(), [x.masks for x in truth])
        losses.update(self.loss_identities(tracking, reference, positives, samples))
        return losses

    def loss_detection(self, logits: Tensor, centerness: Tensor, positives: Positives,
                       gt_centerness: Tensor) -> Dict[str, Tensor]:
        """Class, box and centreness losses from logits [B, P, K], centerness [B, P, 1] and its targets [n]."""
        image, place = positives.image, positives.place
        labels = place.new_full(logits.shape[:2], self.num_classes)
        labels[image, place] = positives.gt_labels
        numbers = on_device([float(len(place)), float(len(logits))], place.device)
        count, weight, images = mean_over_ranks(numbers[0], gt_centerness.sum(), numbers[1])
        cross_entropy = F.binary_cross_entropy_with_logits(centerness[image, place, 0], gt_centerness, reduction='sum')
        from_box = iou_loss(positives.boxes, positives.gt_boxes) * gt_centerness
        factors = self.loss_weights
        # Without a positive the sums are 0, with a gradient.
        return dict(loss_cls=focal_loss(logits.flatten(0, 1), labels.flatten()) / (count + images) * factors[0],
                    loss_bbox=from_box.sum() / weight.clamp(min=1e-6) * factors[1],
                    loss_centerness=cross_entropy / count.clamp(min=1e-6) * factors[2])

    def loss_masks(self, basis: Tensor, coefficients: Tensor, positives: Positives, scores: Tensor,
                   masks: Sequence[Tensor]) -> Tensor:
        """Mask loss, mean over the images: coefficients [n, 4, num_basis] and scores of the true class [n] of the
        positives, masks uint8 [G, H, W] of each image."""
        total = basis[..., 0, 0].sum() * 0. + coefficients.sum() * 0.
        boxes, gt_boxes = positives.boxes.detach() / self.mask_stride, positives.gt_boxes / self.mask_stride
        for b, rows in enumerate(positives.rows):
            if positives.counts[b]:
                weights = mask_weights(scores[rows], boxes[rows], gt_boxes[rows])
                probabilities = split_masks(basis[b], coefficients[rows], boxes[rows])
                target = masks_at(masks[b], basis.shape[-2:])[positives.objects[rows]]
                total = total + mask_loss(probabilities, target, boxes[rows], weights)
        return total / len(basis) * self.loss_weights[3]

    def loss_identities(self, tracking: Tensor, reference: Tensor, positives: Positives,
                        samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Positives of the key frames against the objects of the reference frames; maps of ``track_features``."""
        logits, targets = [], []
        for b, ((key, other), rows) in enumerate(zip(samples, positives.rows)):
            known = other.gt_instances.bboxes
            if self.aug_ref_bbox_param is not None:
                known = jitter(known, self.aug_ref_bbox_param)
            logits.append(match_logits(self.embed(tracking[b], positives.boxes[rows].detach()),
                                       self.embed(reference[b], known)))
            ids = match_targets(key.gt_instances.instance_ids, other.gt_instances.instance_ids)
            targets.append(ids[positives.objects[rows]])
        losses = match_loss(logits, targets)
        losses['loss_match'] = losses['loss_match'] * self.loss_weights[4]
        return losses

    # Inference

    def detect(self, features: Sequence[Tensor], video: VideoInfo) -> Tuple[List[Detections], Tensor]:
        """Detections of each of the T frames of a pyramid, and the mask basis [T, num_basis, h, w]."""
        maps = self(features)
        tracking = self.track_features(features)
        points = torch.cat(level_points([x.shape[-2:] for x in maps.logits], self.strides, maps.basis.device))
        scores = flatten_levels(maps.logits).sigmoid() * flatten_levels(maps.centerness).sigmoid()
        boxes = clip(to_boxes(points, flatten_levels(maps.distances)).flatten(0, 1), video.img_shape)
        boxes = boxes.view(*scores.shape[:2], 4)
        sizes, out = [x[0, 0].numel() for x in maps.logits], []
        for t, (box, score) in enumerate(zip(boxes, scores)):
            box = box / video.scale_factor
            places, best, labels = select(box, score, sizes, self.test_cfg)
            original = box[places]
            out.append(Detections(original, best, labels, self.embed(tracking[t], original * video.scale_factor),
                                  self.coefficients([x[t] for x in maps.aligned], places)))
        return out, maps.basis

    def coefficients(self, aligned: Sequence[Tensor], places: Tensor) -> Tensor:
        """Mask coefficients float32 [n, 4, num_basis] at places [n] of the pyramid of one frame, maps [C, h, w]."""
        out = aligned[0].new_zeros(len(places), CELLS ** 2 * self.num_basis, dtype=torch.float32)
        start, device = 0, places.device
        places, = to_host(places)
        for x in aligned:
            size = x[0].numel()
            rows = torch.nonzero((places >= start) & (places < start + size))[:, 0]
            rows, cells = to_device(rows, device), to_device(places[rows] - start, device)
            if len(rows):
                out[rows] = conv_at(self.sip_cof, x, cells // x.shape[2], cells % x.shape[2]).float()
            start += size
        return out.view(len(places), CELLS ** 2, self.num_basis)
