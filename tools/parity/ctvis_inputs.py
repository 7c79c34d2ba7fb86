"""Inputs of the parity files of CTVIS, as the recipe beside them states: outputs of the network made by hand, embeddings of
clips, the numbers that stand for random draws."""
import json
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mmvis.engine import find_config, load_config
from mmvis.models import CTVIS

from . import fill

_HEAD = 'sem_seg_head.predictor.'
_MASK_FEATURES = 'sem_seg_head.pixel_decoder.mask_features.'
#: Of the scenarios.
NUM_CLASSES, NUM_QUERIES, CHANNELS = 5, 12, 32


def stream(key: str, salt: str) -> np.random.RandomState:
    """Where every random number of a recipe comes from."""
    return np.random.RandomState(zlib.crc32(f'{salt}:{key}'.encode()))


def read_manifest(path: Path) -> Dict[str, list]:
    return json.loads(path.read_text())


def build_model(num_classes: int, num_points: int = 12544) -> CTVIS:
    """CTVIS on the published segmenter with ResNet-50, which is MinVIS's."""
    config = load_config(find_config('minvis_r50_ytvis2019.py')).model
    return CTVIS(dict(config['segmenter'], num_classes=num_classes), official_items=True, criterion=dict(num_points=num_points),
                 data_preprocessor=config['data_preprocessor'])


def weights(manifest: Dict[str, list], salt: str, calibration: Optional[dict] = None) -> Dict[str, Tensor]:
    """The filled state dict; with a calibration fourteen queries live, masks vary in size and embeddings decide."""
    state = {key: fill.parameter(key, *entry, salt) for key, entry in manifest.items()}
    del state['criterion.empty_weight']
    if calibration is None:
        return state
    factors = {'self_attn.out_proj': 0.1, 'multihead_attn.out_proj': 0.25, 'linear2': 0.3}
    for key in state:
        if key.startswith(f'{_HEAD}transformer_'):
            for part, factor in factors.items():
                if part in key:
                    state[key] = state[key] * factor
    queries = state[f'{_HEAD}query_feat.weight'] * 16
    state[f'{_HEAD}query_embed.weight'] = state[f'{_HEAD}query_embed.weight'] * 16
    direction = torch.from_numpy(stream('direction', salt).standard_normal((256,)).astype(np.float32))
    direction = direction / direction.norm() * 16
    queries = queries - (queries @ direction)[:, None] * direction / 256
    live = stream('live', salt).permutation(len(queries))[:14]
    for i in (3, 7, 11):
        queries[live[i]] = 0.97 * queries[live[i - 1]] + 0.24 * queries[live[i]]
    for i, query in enumerate(live):
        queries[query] = queries[query] + direction * (1.3 - 0.06 * i)
    state[f'{_HEAD}query_feat.weight'] = queries
    classes = state[f'{_HEAD}class_embed.weight'] * 3
    classes = classes - (classes @ direction)[:, None] * direction / 256
    classes[-1] = -direction / 2
    state[f'{_HEAD}class_embed.weight'] = classes
    state[f'{_MASK_FEATURES}weight'][0] = 0
    state[f'{_HEAD}mask_embed.layers.2.weight'][0] = 0
    for key, factor in calibration['scale'].items():
        state[key] = state[key] * factor
    for key, values in calibration['set'].items():
        if key in state:
            state[key] = torch.tensor(values, dtype=torch.float32)
    return state


def draws(key: str, salt: str, rare: bool = False) -> Iterator[float]:
    """Stands for successive uniform draws; ``rare``: numbers above 0.7 are nearly 1."""
    k = 0
    while True:
        u = float(stream(f'{key}-{k}', salt).uniform())
        yield .9995 if rare and u > .7 else u
        k += 1


class Actor(NamedTuple):
    """An object of a scenario: identity (of a pair: nearly the first), class and its logit, frames in which it is seen."""
    who: Any
    label: int
    logit: float
    seen: List[int]


def _span(first: int, last: int) -> List[int]:
    return list(range(first, last + 1))


#: Name -> (frames, objects).
SCENARIOS: Dict[str, Tuple[int, List[Actor]]] = {
    'swap': (6, [Actor(0, 0, 3., _span(0, 5)), Actor(1, 0, 2.5, _span(0, 5))]),
    'reentry': (10, [Actor(0, 1, 3., _span(0, 9)), Actor(1, 2, 2., [0, 1, 2, 8, 9]), Actor(2, 0, 1., _span(4, 7))]),
    'dead': (27, [Actor(0, 0, 3., _span(0, 26)), Actor(1, 1, 2., [0, 1, *_span(23, 26)]),
                  Actor(2, 2, 2., [*_span(0, 2), *_span(23, 26)]), Actor(3, 3, 1.5, [*_span(0, 4), 26])]),
    'similar': (8, [Actor(0, 0, 2.5, _span(0, 7)), Actor((0, 5), 0, 2., [*_span(1, 4), 6, 7]),
                    Actor((0, 6), 0, 1.5, _span(2, 7)), Actor(3, 1, 1., _span(0, 7))]),
    'empty': (6, [Actor(0, 0, 3., [0, 1, 3, 5]), Actor(1, 1, 2., [0, 1, 3])]),
    'empty_first': (5, [Actor(0, 0, 3., _span(1, 4)), Actor(1, 1, 2., _span(2, 4))]),
    'none': (4, []),
    'grow': (7, [Actor(i, i % 5, 3. - 0.3 * i, _span(min(i, 3), 6)) for i in range(8)]),
    'noise': (16, [Actor(0, 0, 3., _span(0, 15)), Actor(1, 1, 1., [2]), Actor(2, 2, 1., [4, 5]),
                   Actor(3, 3, 1., [4, 13, 14, 15]), Actor(4, 4, 1., [8, 10]), Actor(5, 1, 1., [14])]),
    'turned': (7, [Actor(0, 0, 3., _span(0, 6))]),
    'cache': (16, [Actor(0, 0, 3., _span(0, 15)), Actor(1, 1, 2., _span(0, 15))]),
    'twins': (6, [Actor(0, 0, 3., _span(0, 5)), Actor(1, 0, 2.8, _span(0, 5)), Actor(2, 1, 2.6, _span(0, 5)),
                  Actor(3, 1, 2.4, _span(2, 5))]),
    'one': (1, [Actor(0, 0, 3., [0]), Actor(1, 1, 2., [0])]),
}


def _identity(who: Any, salt: str) -> np.ndarray:
    if isinstance(who, tuple):
        vector = 0.97 * _identity(who[0], salt) + 0.24 * _identity(who[1], salt)
    else:
        vector = stream(f'identity-{who}', salt).standard_normal(CHANNELS)
    return vector / np.linalg.norm(vector)


def scenario(name: str, salt: str, size: Sequence[int]) -> Tuple[Tensor, Tensor, Tensor]:
    """Logits [T, 12, 6], mask logits [T, 12, h, w] and embeddings [T, 12, 32] of a made-up network."""
    length, actors = SCENARIOS[name]
    h, w = size
    y, x = np.mgrid[0:h, 0:w]
    y, x = (y + .5) / h, (x + .5) / w
    place = stream(f'scenario-{name}', salt).uniform([.2, .2, -.02, -.02, .1, .14], [.8, .8, .02, .02, .2, .3],
                                                     (len(actors), 6))
    frames = []
    for t in range(length):
        random = stream(f'scenario-{name}-{t}', salt)
        slots = random.permutation(NUM_QUERIES)
        logits = np.zeros((NUM_QUERIES, NUM_CLASSES + 1))
        logits[:, :-1] = -6 + .2 * random.standard_normal((NUM_QUERIES, NUM_CLASSES))
        masks = -4 + .5 * random.standard_normal((NUM_QUERIES, h, w))
        embeddings = .5 * random.standard_normal((NUM_QUERIES, CHANNELS))
        for i, (actor, q) in enumerate(zip(actors, slots)):
            noise, of_class = random.standard_normal(CHANNELS), random.standard_normal(2)
            if t not in actor.seen:
                continue
            embeddings[q] = _embedding(name, t, 3.3 * _identity(actor.who, salt) + .12 * noise, actor.who, salt)
            logits[q, actor.label] = actor.logit + .3 * of_class[0]
            logits[q, (actor.label + 1) % NUM_CLASSES] = actor.logit - 2 + .3 * of_class[1]
            cx, cy, vx, vy, a, b = place[i]
            if name == 'twins' and i == 1:
                cx, cy, vx, vy, a, b = place[0] + np.array([.02 * t, 0, 0, 0, 0, 0])
            if name == 'twins' and i in (2, 3):
                masks[q] = -3
                continue
            distance = ((x - cx - vx * t) / a) ** 2 + ((y - cy - vy * t) / b) ** 2
            masks[q] = np.clip(4 * (1 - distance), -6, 6) + .3 * random.standard_normal((h, w))
        frames.append((logits, masks, embeddings))
    return tuple(torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*frames))


def _embedding(name: str, t: int, vector: np.ndarray, who: Any, salt: str) -> np.ndarray:
    if name == 'turned' and t in (3, 4):
        return -vector
    if name == 'cache':
        return vector + 3.3 * (t / 15) * (_identity(7, salt) - .3 * _identity(who, salt))
    return vector


#: Name -> (videos, frames, queries, objects).
CLIPS = {'plain': (2, 10, 100, 5), 'last_only': (2, 10, 20, 5), 'noise': (2, 10, 20, 4), 'late': (1, 6, 20, 6),
         'opposed': (1, 8, 20, 3), 'none': (2, 4, 20, 2), 'short': (3, 2, 20, 3)}
_LATE = ([1], [1, 5], [2, 3], [2, 5], [3], [0, 1, 2, 3, 4, 5])


def clip_embeddings(name: str, salt: str) -> Tuple[Tensor, np.ndarray, np.ndarray]:
    """Embeddings [B, T, Q, 256], whether an object is there and its query [B, T, N]."""
    b, t, q, n = CLIPS[name]
    random = stream(f'cl-{name}', salt)
    valid = random.uniform(0, 1, (b, t, n)) < .75
    if name == 'late':
        valid[:] = [[[frame in seen for seen in _LATE] for frame in range(t)]]
    if name == 'none':
        valid[:] = np.arange(t)[:, None] == 0
    query = np.stack([[random.permutation(q)[:n] for _ in range(t)] for _ in range(b)])
    embeddings = .35 * random.standard_normal((b, t, q, 256))
    own = .35 * random.standard_normal((b, n, 256))
    for i, j, k in np.ndindex(b, t, n):
        sign = -1 if name == 'opposed' and (j + k) % 3 == 2 else 1
        embeddings[i, j, query[i, j, k]] = sign * own[i, k] + .5 * embeddings[i, j, query[i, j, k]]
    return torch.from_numpy(embeddings.astype(np.float32)), valid, query


def observations(salt: str) -> List[Tensor]:
    """14 embeddings [32] of one track."""
    def normal(key: str, scale: float = 1.) -> Tensor:
        return torch.from_numpy((scale * stream(key, salt).standard_normal(32)).astype(np.float32))

    own = normal('memory-own')
    return [own * (-1 if i in (5, 9) else 1) + normal(f'memory-{i}', .6) for i in range(14)]


def nms_masks() -> Tensor:
    """Mask logits [9, 12, 16]: ellipses, two empty ones, one all 0."""
    y, x = np.mgrid[0:12, 0:16]
    shapes = {0: (5, 5, 4, 4), 1: (6, 5, 4, 4), 2: (11, 6, 3, 5), 4: (5, 7, 4, 4), 5: (8, 6, 9, 9), 7: (11, 6, 3, 4)}
    masks = np.full((9, 12, 16), -2., np.float32)
    masks[8] = 0
    for i, (cx, cy, a, b) in shapes.items():
        masks[i][((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1] = 2
    return torch.from_numpy(masks)
