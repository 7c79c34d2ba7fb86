"""Random choice between pipelines."""
from typing import Optional, Sequence

import numpy as np

from mmvis.datasets.clip import Clip
from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS

from .base import ClipCompose


@TRANSFORMS.register_module()
class ClipRandomChoice:
    """One of several pipelines, drawn once a clip.

    DETR's training, for one::

        dict(type='ClipRandomChoice', branches=[
            [dict(type='ClipResize', scale=scales, rule='detr')],
            [dict(type='ClipResize', scale=[(None, 400), (None, 500), (None, 600)], rule='detr'),
             dict(type='ClipCrop', size=(384, 600), mode='absolute_range'),
             dict(type='ClipResize', scale=scales, rule='detr')]])

    Args:
        branches: lists of transforms; an empty one leaves the clip as it is.
        prob: probability of each branch; equal if not given.
    """

    def __init__(self, branches: Sequence[Sequence[dict]], prob: Optional[Sequence[float]] = None) -> None:
        if prob is not None and (len(prob) != len(branches) or abs(sum(prob) - 1) > 1e-6):
            raise InputError(f'ClipRandomChoice: prob must be {len(branches)} numbers of sum 1, got {prob!r}.')
        self.branches = [ClipCompose(branch) for branch in branches]
        self.prob = prob

    @property
    def wants_polygons(self) -> bool:
        return any(branch.wants_polygons for branch in self.branches)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        return self.branches[int(rng.choice(len(self.branches), p=self.prob))](clip, rng)
