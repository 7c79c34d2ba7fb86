"""Single images (COCO): what the official code makes of a clip of one frame."""
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class ImageInstances:
    """Instances of one image at its original size h x w, in the order of the queries.

    Attributes:
        scores: float32 [n]; labels: int64 [n].
        boxes: float32 [n, 4], x1 y1 x2 y2, tight around the mask at network size, then scaled.
        masks: bool [n, h, w].
    """
    scores: Tensor
    labels: Tensor
    boxes: Tensor
    masks: Tensor


def image_instances(logits: Tensor, masks: Tensor, padded: Tuple[int, int], img_shapes: Sequence[Tuple[int, int]],
                    ori_shapes: Sequence[Tuple[int, int]]) -> List[ImageInstances]:
    """Instances of images from the last decoder layer's outputs for clips of one frame.

    Queries whose best class is no object are dropped, and so are instances without a pixel. Unlike those of videos,
    masks are made binary at network size, then enlarged and cut at 0.5.

    Args:
        logits: [B, Q, K + 1]; masks: [B, Q, 1, h8, w8], logits.
        padded: (H, W) of the batch; img_shapes, ori_shapes: (height, width) of each image in the batch and originally.
    """
    out = []
    for logit, mask, shape, ori_shape in zip(logits, masks, img_shapes, ori_shapes):
        scores, labels = logit.softmax(-1)[:, :-1].max(-1)
        keep = logit.argmax(-1) < logit.shape[-1] - 1
        small = F.interpolate(mask[keep], padded, mode='bilinear', align_corners=False)[:, 0] > 0
        small = small[:, :shape[0], :shape[1]]
        has_pixel = small.flatten(1).any(1)
        small, scores, labels = small[has_pixel], scores[keep][has_pixel], labels[keep][has_pixel]
        full = torch.zeros(len(small), *ori_shape, dtype=torch.bool, device=mask.device)
        for target, one in zip(full, small):
            enlarged = F.interpolate(one[None, None].float(), ori_shape, mode='bilinear', align_corners=False)
            target[:] = enlarged[0, 0] > 0.5
        height, width = (new / old for new, old in zip(ori_shape, shape))
        boxes = _tight_boxes(small) * small.new_tensor([width, height, width, height], dtype=torch.float32)
        out.append(ImageInstances(scores, labels, boxes, full))
    return out


def _tight_boxes(masks: Tensor) -> Tensor:
    """Float32 [n, 4] of bool masks [n, h, w], none empty; x2, y2 one past the last pixel."""
    ends = []
    for any_pixel in (masks.any(1), masks.any(2)):
        size = any_pixel.shape[1]
        ends.append((any_pixel.int().argmax(1), size - any_pixel.flip(1).int().argmax(1)))
    (x1, x2), (y1, y2) = ends
    return torch.stack([x1, y1, x2, y2], dim=1).float()
