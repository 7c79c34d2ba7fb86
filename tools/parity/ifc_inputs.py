"""Inputs of IFC's parity files: the recipe that stands inside them, as code."""
import zlib
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from . import fill


def stream(key: str, salt: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(f'{salt}:{key}'.encode()))


def official_weights(manifest: Dict[str, list], salt: str, spread: bool = False) -> Dict[str, Tensor]:
    """The filled state dict; with ``spread`` queries, memory tokens, classes and masks differ visibly."""
    weights = fill.state_dict(manifest, salt)
    weights.pop('criterion.empty_weight', None)         # of the loss, not of the network
    if spread:
        for name, factor in (('query_embed.weight', 16), ('transformer.memory_bus', 16), ('transformer.memory_pos', 16),
                             ('class_embed.layers.1.weight', 8), ('mask_head.convert_to_weight.layers.2.weight', 4)):
            weights[f'detr.{name}'] *= factor
        weights['detr.class_embed.layers.1.bias'][-1] += 7.
    return weights


def _objects(salt: str, num: int, length: int) -> List[dict]:
    r = stream('objects', salt)
    return [dict(cx=r.uniform(.2, .8), cy=r.uniform(.2, .8), vx=r.uniform(-.03, .03), vy=r.uniform(-.03, .03),
                 a=r.uniform(.10, .22), b=r.uniform(.12, .28), classes=(int(r.randint(0, 40)), int(r.randint(0, 40))),
                 first=0 if o < 3 else int(r.randint(0, length // 2 + 1)),
                 last=length - 1 if o % 2 == 0 else int(r.randint(length // 2, length))) for o in range(num)]


def raw_clip(salt: str, key: str, frames: Sequence[int], h: int, w: int, num_queries: int = 20, num_classes: int = 40,
             length: int = 9, num_objects: int = 6) -> Tuple[Tensor, Tensor]:
    """Hand-made outputs of one clip: class logits [1, Q, K + 1] and mask logits [1, Q, T, h, w]."""
    r = stream(f'raw-{key}', salt)
    objects = _objects(salt, num_objects, length)
    order = r.permutation(num_queries)
    logits = 0.3 * r.standard_normal((num_queries, num_classes + 1))
    masks = 0.3 * r.standard_normal((num_queries, len(frames), h, w)) - 4
    logits[:, num_classes] += 6
    y, x = np.mgrid[0:h, 0:w]
    y, x = (y + .5) / h, (x + .5) / w
    for query, thing in zip(order, objects):
        seen = [thing['first'] <= f <= thing['last'] for f in frames]
        if not any(seen):
            continue
        logits[query, num_classes] -= 6
        logits[query, thing['classes'][0]] += 4.5
        logits[query, thing['classes'][1]] += 3.0
        for t, f in enumerate(frames):
            if seen[t]:
                distance = ((x - thing['cx'] - thing['vx'] * f) / thing['a']) ** 2 \
                    + ((y - thing['cy'] - thing['vy'] * f) / thing['b']) ** 2
                masks[query, t] += 4 + np.clip(4 * (1 - distance), -6, 6)
    query = order[num_objects]           # a false positive whose place changes from clip to clip
    logits[query, num_classes] -= 6
    logits[query, int(r.randint(0, num_classes))] += 3
    cx, cy = r.uniform(.1, .9, 2)
    masks[query] += 4 + np.clip(4 * (1 - ((x - cx) / .08) ** 2 - ((y - cy) / .08) ** 2), -6, 6)[None]
    return torch.from_numpy(logits[None]).float(), torch.from_numpy(masks[None]).float()


def ground_truth(salt: str, key: str, num_frames: int, height: int, width: int, num: int = 4,
                 num_classes: int = 40) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks bool [n, T, H, W], labels [n] and ids [n, T] (-1: not in this frame) of moving ellipses.

    Object 1 is absent in the first frame, object 3 in all.
    """
    r = stream(f'gt-{key}', salt)
    y, x = np.mgrid[0:height, 0:width]
    masks = np.zeros((num, num_frames, height, width), bool)
    labels = r.randint(0, num_classes, num)
    ids = np.full((num, num_frames), -1)
    for n in range(num):
        cx, cy, vx, vy = r.uniform(.2, .8), r.uniform(.2, .8), r.uniform(-.05, .05), r.uniform(-.05, .05)
        a, b = r.uniform(.10, .25), r.uniform(.12, .30)
        for t in range(num_frames):
            if n != 3 and (n != 1 or t > 0):
                masks[n, t] = (((x + .5) / width - cx - vx * t) / a) ** 2 \
                    + (((y + .5) / height - cy - vy * t) / b) ** 2 < 1
                ids[n, t] = 10 + n
    return masks, labels, ids


def raw_training_outputs(salt: str, h: int, w: int, num_frames: int, layers: int = 3, batch: int = 2,
                         num_queries: int = 20, num_classes: int = 40) -> List[Tuple[Tensor, Tensor]]:
    """Class logits [B, Q, K + 1] and mask logits [B, Q, T, h, w] of each decoder layer."""
    out = []
    for i in range(layers):
        r = stream(f'train-{i}', salt)
        logits = 2 * r.standard_normal((batch, num_queries, num_classes + 1))
        masks = 2 * r.standard_normal((batch, num_queries, num_frames, h, w)) - 1
        out.append((torch.from_numpy(logits).float(), torch.from_numpy(masks).float()))
    return out
