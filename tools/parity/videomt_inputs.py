"""Inputs of VidEoMT's parity files, as the recipe beside them states: weights, frames, random points, outputs made by
hand, ground truth."""
import math
import zlib
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmvis.models.layers.clip_targets import ClipTargets

from . import fill

#: Ends of keys: standard deviation of the tensors under them, or factor of the rule's value.
SPREAD = {'pos_embed': 0.5, 'cls_token': 0.5, 'reg_token': 0.5, 'register_tokens': 0.5, 'q.weight': 2.,
          'query.weight': 2., 'position_embeddings.weight': 0.5}
GAIN = {'query_updater.weight': 0.7, 'class_head.weight': 3., 'class_predictor.weight': 3.}
_LAST_NORM = ('upscale.1.norm', 'upscale_block.block.1.layernorm2d')
_LAST_LINEAR = ('mask_head.4.bias', 'mask_head.fc3.bias')
#: Of the files, not of the network.
_NOT_NETWORK = ('attn_mask_probs', 'empty_weight', 'pixel_mean', 'pixel_std', 'mask_token')


def official_weights(manifest: Dict[str, list], salt: str, shift: float = 9., spread: Dict[str, float] = SPREAD,
                     gain: Dict[str, float] = GAIN) -> Dict[str, Tensor]:
    """The filled state dict of a manifest; ``shift`` lowers the mask logits, so that masks are small and can vanish."""
    weights = {key: _weight(key, *entry, salt, spread, gain) for key, entry in manifest.items()
               if not key.endswith(_NOT_NETWORK)}
    for key, value in weights.items():
        if key.endswith(tuple(f'{norm}.weight' for norm in _LAST_NORM)):
            value[0] = 0
        elif key.endswith(tuple(f'{norm}.bias' for norm in _LAST_NORM)):
            value[0] = shift
        elif key.endswith(_LAST_LINEAR):
            value[0] = -1
    return weights


def _weight(key: str, shape: Sequence[int], dtype: str, salt: str, spread: Dict[str, float], gain: Dict[str, float]
            ) -> Tensor:
    value = fill.parameter(key, shape, dtype, salt)
    for end, deviation in spread.items():
        if f'.{key}'.endswith(f'.{end}'):
            value = value * (deviation * math.sqrt(np.prod(shape[1:])))
    for end, factor in gain.items():
        if key.endswith(end):
            value = value * factor
    return value


def rgb_frames(num: int, height: int, width: int, salt: str) -> Tensor:
    """uint8 [num, 3, height, width] in RGB order."""
    return torch.from_numpy(fill.frames(num, height, width, salt)[..., ::-1].transpose(0, 3, 1, 2).copy())


class NamedPoints:
    """In place of ``torch.rand``: the i-th draw since ``restart`` is a function of i and its shape."""

    def __init__(self, salt: str) -> None:
        self.salt = salt
        self.draws: List[List[int]] = []

    def restart(self) -> None:
        self.draws = []

    def __call__(self, *shape: Any, **kwargs: Any) -> Tensor:
        shape = [int(side) for side in (shape[0] if isinstance(shape[0], (tuple, list, torch.Size)) else shape)]
        name = f'{self.salt}:rand-{len(self.draws)}-{"x".join(map(str, shape))}'
        self.draws.append(shape)
        stream = np.random.RandomState(zlib.crc32(name.encode()))
        return torch.from_numpy(stream.random_sample(shape).astype(np.float32))


def normal(key: str, shape: Sequence[int], salt: str, scale: float = 1.) -> Tensor:
    stream = fill._stream(key, salt)
    return torch.from_numpy((stream.standard_normal(tuple(shape)) * scale).astype(np.float32))


def smooth_fields(key: str, num: int, height: int, width: int, salt: str, shift: float) -> Tensor:
    """[num, height, width], enlarged from a random grid of 5 x 7."""
    grid = normal(key, (1, num, 5, 7), salt, 4. * 1.3) + shift
    return F.interpolate(grid, size=(height, width), mode='bilinear', align_corners=True)[0]


#: Frames in which every fifth object is absent, counted from the end where negative.
def _absent(kind: int, num_frames: int) -> Sequence[int]:
    return {0: (), 1: (0,), 2: (num_frames - 1,), 3: [t for t in range(num_frames) if t != num_frames // 2],
            4: (0, 1)}[kind]


def moving_ellipses(key: str, num: int, num_frames: int, height: int, width: int, num_classes: int, salt: str
                    ) -> Tuple[Tensor, Tensor, Tensor]:
    """Ground truth of a clip: labels [n], ids [n, T] (-1: absent) and masks bool [n, T, H, W]."""
    stream = fill._stream(f'{key}-target', salt)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    labels, ids, masks = [], [], []
    for i in range(num):
        cy, cx = stream.uniform(.2, .8) * height, stream.uniform(.2, .8) * width
        a, b = stream.uniform(.1, .3) * height, stream.uniform(.1, .3) * width
        vy, vx = stream.uniform(-5, 5), stream.uniform(-8, 8)
        tube = np.stack([((y - cy - vy * t) / a) ** 2 + ((x - cx - vx * t) / b) ** 2 < 1 for t in range(num_frames)])
        absent = _absent(i % 5, num_frames)
        present = np.array([t not in absent and tube[t].any() for t in range(num_frames)])
        tube[~present] = False
        labels.append(int(stream.randint(num_classes)))
        ids.append(np.where(present, 10 + 3 * i, -1))
        masks.append(tube)
    return torch.tensor(labels), torch.from_numpy(np.stack(ids)), torch.from_numpy(np.stack(masks))


def targets_of(labels: Tensor, ids: Tensor, masks: Tensor) -> ClipTargets:
    """Ground truth in our form; objects that are in no frame stay."""
    return ClipTargets(labels, ids.max(1).values, ids >= 0, masks.to(torch.uint8))


def raw_video(key: str, num_frames: int, height: int, width: int, salt: str, queries: int = 200, classes: int = 40
              ) -> Tuple[Tensor, Tensor]:
    """Hand-made outputs of a video: class logits [T, Q, K + 1], mask logits [T, Q, h4, w4]."""
    logits = normal(f'{key}-logits', (queries, classes + 1), salt, 2.) \
        + normal(f'{key}-jitter', (num_frames, queries, classes + 1), salt)
    masks = [smooth_fields(f'{key}-mask{q}', num_frames, height, width, salt, -3.) for q in range(queries)]
    return logits, torch.stack(masks, dim=1)


def raw_layer(key: str, truth: List[tuple], num_frames: int, queries: int, height: int, width: int, salt: str,
              classes: int = 40) -> Tuple[Tensor, Tensor]:
    """Hand-made outputs of one layer: [B * T, Q, K + 1] and [B * T, Q, H / 4, W / 4].

    Query 3 looks like object 0 in the first frame of a clip and like object 1 in the second.
    """
    h4, w4, num = height // 4, width // 4, num_frames * len(truth)
    logits = normal(f'{key}-logits', (num, queries, classes + 1), salt, 2.)
    masks = torch.stack([smooth_fields(f'{key}-mask{q}', num, h4, w4, salt, -1.) for q in range(queries)], dim=1)
    for clip, (labels, _, objects) in enumerate(truth):
        for t in (0, 1):
            cells = objects[t, t].float().unflatten(0, (h4, 4)).unflatten(2, (w4, 4)).mean((1, 3))
            masks[clip * num_frames + t, 3] = 10 * (cells - 0.5)
            logits[clip * num_frames + t, 3, labels[t]] += 6
    return logits, masks


def polygons(key: str, num: int, height: int, width: int, salt: str) -> List[List[float]]:
    """``num`` polygons of 5 to 9 corners, each x0, y0, x1, y1, ..."""
    stream, found = fill._stream(f'{key}-polygons', salt), []
    for _ in range(num):
        corners = stream.randint(5, 10)
        angle = np.sort(stream.uniform(0, 2 * np.pi, corners))
        x = stream.uniform(.2, .8) * width + stream.uniform(.1, .3) * width * np.cos(angle)
        y = stream.uniform(.2, .8) * height + stream.uniform(.1, .3) * height * np.sin(angle)
        found.append(np.stack([x.clip(0, width - 1), y.clip(0, height - 1)], 1).reshape(-1).round(2).tolist())
    return found
