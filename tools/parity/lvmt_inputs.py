"""Inputs of the parity files of PMT and LVMT, as the recipe beside them states (the rest is VidEoMT's)."""
from typing import Dict, Tuple

import numpy as np
import torch
from torch import Tensor

from . import fill, videomt_inputs
from .videomt_inputs import moving_ellipses, normal

_SPREAD = {'pos_embed': 0.5, 'cls_token': 0.5, 'reg_token': 0.5, 'register_tokens': 0.5, 'decoder.q.weight': 1.5}
_GAIN = {'query_updater.weight': 0.7, 'class_head.weight': 3., 'query_gru.weight_hh': 2.}


def official_weights(manifest: Dict[str, list], salt: str) -> Dict[str, Tensor]:
    """The filled state dict of a manifest. The update gate of the GRU is slow: slots stay apart for a dozen frames."""
    weights = videomt_inputs.official_weights(manifest, salt, spread=_SPREAD, gain=_GAIN)
    for key, value in weights.items():
        if key.endswith(('query_gru.bias_ih', 'query_gru.bias_hh')):
            weights[key] = value - 1                     # the rule takes them for scales
            if key.endswith('bias_ih'):
                weights[key][len(value) // 3:2 * len(value) // 3] += 1.5
    return weights


def long_clip(key: str, num_frames: int, height: int, width: int, num_classes: int, salt: str
              ) -> Tuple[Tensor, Tensor, Tensor]:
    """Ground truth of six objects for training in chunks: labels [6], ids [6, T] (-1: absent), masks bool [6, T, H, W].

    Object 0 is always there, 1 in the first third, 2 in the last, 3 in both of these, 4 in the middle frame of each
    third, 5 in the middle third.
    """
    labels = moving_ellipses(key, 6, num_frames, height, width, num_classes, f'{salt}-all')[0]
    third, t = num_frames // 3, np.arange(num_frames)
    where = [t >= 0, t < third, t >= 2 * third, (t < third) | (t >= 2 * third), t % third == third // 2,
             (t >= third) & (t < 2 * third)]
    stream = fill._stream(f'{key}-tubes', salt)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ids, masks = [], []
    for i, present in enumerate(where):
        cy, cx = stream.uniform(.3, .7) * height, stream.uniform(.3, .7) * width
        a, b = stream.uniform(.15, .3) * height, stream.uniform(.15, .3) * width
        vy, vx = stream.uniform(-2, 2), stream.uniform(-3, 3)
        tube = np.stack([((y - cy - vy * k) / a) ** 2 + ((x - cx - vx * k) / b) ** 2 < 1 for k in range(num_frames)])
        tube[~present] = False
        ids.append(np.where(tube.any((1, 2)), 10 + 3 * i, -1))
        masks.append(tube)
    return labels, torch.from_numpy(np.stack(ids)), torch.from_numpy(np.stack(masks))


def scene_tokens(key: str, num_frames: int, grid: Tuple[int, int], channels: int, prefix: int, salt: str) -> Tensor:
    """Tokens [T, prefix + rows * columns, C] of a video made by hand: on a fixed background object 0, which leaves after
    frame 2 and returns in frame 6, and object 1, which enters in frame 3."""
    rows, columns = grid
    base = normal(f'{key}-background', (prefix + rows * columns, channels), salt, 0.5)
    objects = normal(f'{key}-objects', (2, channels), salt, 2.)
    y, x = torch.meshgrid(torch.arange(rows).float(), torch.arange(columns).float(), indexing='ij')
    frames = []
    for t in range(num_frames):
        tokens = base + normal(f'{key}-noise{t}', (prefix + rows * columns, channels), salt, 0.1)
        for i, (y0, x0, vy, vx) in enumerate(((0.3, 0.3, 0.02, 0.04), (0.6, 0.7, -0.03, -0.04))):
            if (t < 3 or t >= 6) if i == 0 else t >= 3:
                inside = ((y / rows - y0 - vy * t) / 0.25) ** 2 + ((x / columns - x0 - vx * t) / 0.2) ** 2 < 1
                tokens[prefix:] += inside.float().reshape(-1, 1) * objects[i]
        frames.append(tokens)
    return torch.stack(frames)


def empty_at_times(masks: Tensor) -> Tensor:
    """Mask logits [T, Q, h, w] of which every third query is empty in the first half of the frames and every fifth after
    the frame in the middle."""
    masks, middle = masks.clone(), len(masks) // 2
    masks[:middle, ::3] -= 60
    masks[middle + 1:, ::5] -= 60
    return masks
