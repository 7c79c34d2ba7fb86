"""Inputs of the parity files of Mask2Former and MinVIS, as the recipe beside them states: weights, frames by integer
arithmetic, random points, outputs made by hand, ground truth."""
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mmvis.models import VISModel
from mmvis.models.layers.clip_targets import ClipTargets

from . import fill

_HEAD = 'sem_seg_head.predictor.'
#: Of the files, not of our network.
_NOT_OURS = ('criterion.empty_weight', 'relative_position_index')


def official_weights(manifest: Dict[str, list], salt: str) -> Dict[str, Tensor]:
    """The filled state dict of a manifest: queries differ from one another, about half of them say "no object"."""
    weights = {key: fill.parameter(key, *entry, salt) for key, entry in manifest.items() if not key.endswith(_NOT_OURS)}
    weights[f'{_HEAD}query_feat.weight'] *= 16
    weights[f'{_HEAD}query_embed.weight'] *= 8
    weights[f'{_HEAD}class_embed.weight'] *= 6
    weights[f'{_HEAD}class_embed.bias'][-1] += 5
    for key, value in weights.items():
        if not key.startswith(_HEAD):
            continue
        if key.endswith('in_proj_weight'):
            value[:512] *= 4
        elif 'self_attention_layers' in key and key.endswith('out_proj.weight') \
                or 'ffn_layers' in key and key.endswith('linear2.weight'):
            value *= 0.05
    return weights


class MovingScene:
    """A texture and five striped ellipses that move over it; whole numbers only."""

    def __init__(self, num: int, height: int, width: int, start: int, salt: str) -> None:
        stream = fill._stream(f'scene-{num}x{height}x{width}-{start}', salt)
        self.start = start
        self.grid = stream.randint(0, 256, (height // 16 + 2, width // 16 + 2, 3)).astype(np.int64)
        ranges = ((0, width), (0, height), (-7, 8), (-5, 6), (width // 16, width // 5), (height // 14, height // 4))
        self.ellipses = [([int(stream.randint(*one)) for one in ranges],
                          stream.randint(0, 256, 3).astype(np.int64), int(stream.randint(2, 9))) for _ in range(5)]

    def draw(self, t: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        rows, below, columns, right = y // 16, (y % 16)[..., None], x // 16, (x % 16)[..., None]
        upper = self.grid[rows, columns] * (16 - below) + self.grid[rows + 1, columns] * below
        next_to = self.grid[rows, columns + 1] * (16 - below) + self.grid[rows + 1, columns + 1] * below
        image = (upper * (16 - right) + next_to * right) // 256
        for (cx, cy, vx, vy, a, b), colour, step in self.ellipses:
            dx, dy = x - cx - vx * (t - self.start), y - cy - vy * (t - self.start)
            inside = (dx * b) ** 2 + (dy * a) ** 2 < (a * b) ** 2
            stripes = 40 * ((dx + dy) // step % 2)
            image = np.where(inside[..., None], np.clip(colour + stripes[..., None], 0, 255), image)
        return image


def frames(num: int, height: int, width: int, salt: str, cuts: Sequence[int] = ()) -> np.ndarray:
    """uint8 [num, height, width, 3] in RGB order; a new scene begins at every frame of ``cuts``."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    clip, scene = np.empty((num, height, width, 3), np.uint8), None
    for t in range(num):
        if t == 0 or t in cuts:
            scene = MovingScene(num, height, width, t, salt)
        clip[t] = scene.draw(t, y, x)
    return clip


def network_input(model: VISModel, clips: List[np.ndarray]) -> Tensor:
    """uint8 RGB clips [T, height, width, 3] -> normalised and padded [B, T, 3, H, W]."""
    clips = [torch.from_numpy(np.ascontiguousarray(clip[..., ::-1].transpose(0, 3, 1, 2))) for clip in clips]
    return model.data_preprocessor(dict(inputs=clips), True)['inputs']


class NamedDraws:
    """In place of ``torch.rand`` in the losses: every draw has the name of its use.

    ``names`` says them in the order in which they are asked for, ``calls`` lists (name, shape).
    """

    def __init__(self, salt: str, stage: str, layers: Sequence[int], has_objects: Sequence[bool]) -> None:
        self.salt, self.calls = salt, []
        self._names = [f'{stage}-{name}' for layer in layers
                       for name in (*(f'match-layer{layer}-image{b}' for b, any_there in enumerate(has_objects)
                                      if any_there), f'oversample-layer{layer}', f'random-layer{layer}')]

    def __call__(self, *shape: Any, **kwargs: Any) -> Tensor:
        shape = [int(side) for side in (shape[0] if isinstance(shape[0], (tuple, list, torch.Size)) else shape)]
        self.calls.append([self._names[len(self.calls)], shape])
        return rand(self.calls[-1][0], shape, self.salt)


def rand(name: str, shape: Sequence[int], salt: str) -> Tensor:
    """Uniform numbers float32 named by their use."""
    return torch.from_numpy(fill._stream(f'rand-{name}', salt).random_sample(tuple(shape)).astype(np.float32))


def ground_truth(salt: str, key: str, num_frames: int, height: int, width: int, num: int = 4, num_classes: int = 40
                 ) -> Tuple[Tensor, Tensor, Tensor]:
    """One clip: labels [num], ids [num, T] (-1: not in this frame), masks bool [num, T, H, W].

    Instance n has the id 10 + n. In clips instance 1 is absent in the first frame, 2 in the last; 3 is in no frame.
    """
    stream = fill._stream(f'gt-{key}', salt)
    y, x = np.mgrid[0:height, 0:width]
    labels = stream.randint(0, num_classes, num)
    masks, ids = np.zeros((num, num_frames, height, width), bool), np.full((num, num_frames), -1)
    for n in range(num):
        cx, cy = stream.randint(width // 5, 4 * width // 5), stream.randint(height // 5, 4 * height // 5)
        vx, vy = stream.randint(-9, 10), stream.randint(-7, 8)
        a, b = stream.randint(width // 10, width // 4), stream.randint(height // 9, height // 3)
        for t in range(num_frames):
            absent = num_frames > 1 and (n == 1 and t == 0 or n == 2 and t == num_frames - 1)
            if n != 3 and not absent:
                masks[n, t] = ((x - cx - vx * t) * b) ** 2 + ((y - cy - vy * t) * a) ** 2 < (a * b) ** 2
                ids[n, t] = 10 + n
    return torch.from_numpy(labels), torch.from_numpy(ids), torch.from_numpy(masks)


def targets_of(labels: Tensor, ids: Tensor, masks: Tensor, size: Tuple[int, int]) -> ClipTargets:
    """Ground truth in our form, padded to ``size``; objects that are in no frame are left out."""
    kept = (ids >= 0).any(1)
    padded = torch.nn.functional.pad(masks[kept].to(torch.uint8),
                                     (0, size[1] - masks.shape[-1], 0, size[0] - masks.shape[-2]))
    return ClipTargets(labels[kept], ids[kept].max(1).values, ids[kept] >= 0, padded)


def blobs(salt: str, key: str, num: int, height: int, width: int) -> Tensor:
    """Mask logits [num, height, width], an ellipse each."""
    stream = fill._stream(f'blobs-{key}', salt)
    y, x = (np.mgrid[0:height, 0:width] + .5) / np.array([height, width]).reshape(2, 1, 1)
    logits = 0.4 * stream.standard_normal((num, height, width)) - 1
    centres, sizes = stream.uniform(.05, .95, (num, 2)), stream.uniform(.05, .3, (num, 2))
    for logit, centre, size in zip(logits, centres, sizes):
        logit += np.clip(5 * (1 - ((x - centre[0]) / size[0]) ** 2 - ((y - centre[1]) / size[1]) ** 2), -5, 5)
    return torch.from_numpy(logits).float()


def raw_image(salt: str, key: str, height: int, width: int, queries: int = 100, classes: int = 80
              ) -> Tuple[Tensor, Tensor]:
    """Hand-made outputs of one image: [Q, K + 1] and [Q, height, width]; a sure query has an empty mask."""
    stream = fill._stream(f'raw-image-{key}', salt)
    logits = 1.5 * stream.standard_normal((queries, classes + 1))
    logits[:, classes] += 3
    sure = stream.permutation(queries)[:25]
    logits[sure, stream.randint(0, classes, 25)] += 7
    masks = blobs(salt, f'raw-image-{key}', queries, height, width)
    masks[int(sure[0])] = -3.
    return torch.from_numpy(logits).float(), masks


def raw_outputs(salt: str, batch: int, height: int, width: int, queries: int = 100, classes: int = 40,
                layers: int = 10) -> List[Tuple[Tensor, Tensor]]:
    """Hand-made outputs of all layers, the learned queries first: [B, Q, K + 1] and [B, Q, height, width]."""
    outputs = []
    for i in range(layers):
        logits = 2 * fill._stream(f'raw-outputs-{i}', salt).standard_normal((batch, queries, classes + 1))
        outputs.append((torch.from_numpy(logits).float(), torch.stack(
            [blobs(salt, f'raw-outputs-{i}-{n}', queries, height, width) for n in range(batch)])))
    return outputs


def features(salt: str, batch: int, height: int, width: int, channels: Sequence[int] = (256, 512, 1024, 2048)
             ) -> List[Tensor]:
    """Hand-made maps of a backbone, strides 4 to 32."""
    return [fill.unit(f'features-res{i + 2}', (batch, c, height // 4 >> i, width // 4 >> i), salt).abs()
            for i, c in enumerate(channels)]


def _is_away(identity: int, t: int, num_frames: int) -> bool:
    """Object 1 enters late, 2 leaves early, 3 is away in the middle."""
    return identity == 1 and t < num_frames // 3 or identity == 2 and t > 2 * num_frames // 3 \
        or identity == 3 and num_frames // 3 <= t < 2 * num_frames // 3


def raw_video(salt: str, num_frames: int, height: int, width: int, queries: int = 100, classes: int = 40,
              num_objects: int = 14, dim: int = 256) -> Tuple[Tensor, Tensor, Tensor, np.ndarray]:
    """Hand-made outputs of a video, each frame in an order of its own: [T, Q, K + 1], [T, Q, height, width],
    [T, Q, dim], and which identity each query of a frame carries [T, Q].

    Beside entries and exits: 4 and 5 look alike, 6 turns slowly into something else, 7 changes its class.
    """
    stream = fill._stream('raw-video', salt)
    identity = stream.standard_normal((queries, dim))
    identity[5] = identity[4] + 0.5 * stream.standard_normal(dim)
    turn = stream.standard_normal(dim)
    first, second = stream.randint(0, classes, queries), stream.randint(0, classes, queries)
    ranges = ((.2, .8), (.2, .8), (-.03, .03), (-.03, .03), (.06, .2), (.08, .25))
    cx, cy, vx, vy, a, b = (stream.uniform(*one, queries) for one in ranges)
    y, x = (np.mgrid[0:height, 0:width] + .5) / np.array([height, width]).reshape(2, 1, 1)
    found: List[tuple] = []
    for t in range(num_frames):
        embeddings = 0.5 * identity
        if t:
            embeddings = embeddings + 0.9 * stream.standard_normal((queries, dim))
        logits = 0.7 * stream.standard_normal((queries, classes + 1))
        logits[:, -1] += 5
        masks = 0.4 * stream.standard_normal((queries, height, width)) - 5
        for o in range(num_objects):
            if _is_away(o, t, num_frames):
                embeddings[o] = stream.standard_normal(dim)
                continue
            embeddings[o] = 3 * identity[o] + 1.2 * stream.standard_normal(dim)
            if o == 6:
                embeddings[o] += 3 * (t / max(num_frames - 1, 1)) * (turn - identity[o])
            label = second[o] if o == 7 and 2 * t >= num_frames else first[o]
            logits[o, label] += 12 if o in (1, 2, 3, 7) else 5 + 0.4 * o
            logits[o, -1] -= 4
            inside = 1 - ((x - cx[o] - vx[o] * t) / a[o]) ** 2 - ((y - cy[o] - vy[o] * t) / b[o]) ** 2
            masks[o] += 5 + np.clip(5 * inside, -6, 6)
        order = stream.permutation(queries)
        found.append((logits[order], masks[order], embeddings[order], order))
    *tensors, orders = (np.stack(x) for x in zip(*found))
    return (*(torch.from_numpy(x).float() for x in tensors), orders)
