"""Classes first: the transformer of EoMT taught, patch by patch, what lies there; without queries."""
from typing import Any, Dict, List

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS

from ..builder import build_part
from ..layers.clip_targets import clip_targets


@MODELS.register_module()
class PatchClassifier(BaseModel):
    """A start for ``EoMT`` where no trained transformer is at hand: it learns to say which class each patch shows.

    Queries find objects by what the patches say. From scratch they say nothing, and a query gets a gradient for its
    class only when its mask has found the object; every patch of a picture gets one at once. Not a published method.
    Weights have the names of ``EoMT``; the head of the patches becomes the head of its queries.

    Args:
        backbone: a ``ViT`` or its config; its last norm is part of it.
        num_classes: K; patches outside all objects have class K.
        background_weight: of class K in the cross-entropy.
    """

    def __init__(self, backbone: Any, num_classes: int, background_weight: float = 0.3,
                 data_preprocessor: Any = dict(type='ClipPreprocessor')) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor))
        if background_weight < 0:
            raise InputError(f'PatchClassifier: background_weight is {background_weight}; it must not be negative.')
        self.backbone = build_part(backbone)
        self.num_classes = self.data_preprocessor.num_classes = num_classes
        self.background_weight = background_weight
        self.predictor = nn.ModuleDict(dict(class_head=nn.Linear(self.backbone.embed_dims, num_classes + 1)))

    def logits(self, images: Tensor) -> Tensor:
        """Class logits [N, K + 1, rows, columns] of the patches of images float32 [N, 3, H, W]."""
        tokens = self.backbone.embed(images)
        x = self.backbone.norm(self.backbone.run(0, len(self.backbone.blocks), tokens.x, tokens.rotation))
        logits = self.predictor['class_head'](x[:, self.backbone.num_prefix:])
        return logits.transpose(1, 2).unflatten(2, tokens.size)

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Cross-entropy with the shares of a patch that the classes take.

        Args:
            clips: float32 [B, T, 3, H, W], B * T images; samples: B lists of T.
        """
        targets = [clip_targets([sample]) for clip in samples for sample in clip]
        shares = torch.stack([self._class_shares(t.labels, t.masks[:, 0]) for t in targets])
        shares = F.avg_pool2d(shares, self.backbone.patch_size)
        shares[:, -1] *= self.background_weight
        entropy = -(shares * self.logits(clips.flatten(0, 1)).float().log_softmax(1)).sum()
        return dict(loss_patches=entropy / shares.sum())

    def _class_shares(self, labels: Tensor, masks: Tensor) -> Tensor:
        """Float32 [K + 1, H, W], sum 1 everywhere, of objects int64 [n] and masks [n, H, W]."""
        shares = torch.zeros(self.num_classes + 1, *masks.shape[-2:], device=masks.device)
        shares.index_put_((labels,), masks.float(), accumulate=True)
        shares[-1] = 1 - shares[:-1].sum(0).clamp(max=1)
        return shares / shares.sum(0)

    def forward(self, inputs: Tensor, data_samples: List[List[FrameSample]] = None, mode: str = 'loss'):
        """mmengine's entry point. Only ``mode='loss'`` leads anywhere: there are no objects to return."""
        if mode != 'loss':
            raise ValueError(f"forward takes mode='loss' only, not {mode!r}.")
        return self.loss(inputs, data_samples)
