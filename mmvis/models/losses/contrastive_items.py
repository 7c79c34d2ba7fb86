"""What the queries of a clip are taught about identity: each object against its own past and all other queries (CTVIS,
arXiv 2307.12616; DVIS++ and DVIS-DAQ alike)."""
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers.similarity_fusion import SimilarityFusion

#: Queries of the objects of a frame, by object; objects that are absent are left out.
Found = Dict[int, int]


@dataclass
class FrameItems:
    """The items of one frame, m in number.

    Attributes:
        slots: the objects; sources: what each positive is: 'memory', 'last' or 'later'.
        anchors, positives: [m, C].
        negatives: [Q, C], of the frame before; counted: bool [m, Q], which of them an item has.
    """
    slots: List[int]
    sources: List[str]
    anchors: Tensor
    positives: Tensor
    negatives: Tensor
    counted: Tensor


class ContrastiveItems:
    """Builds the items of a clip from the embeddings of its frames.

    A memory bank is filled frame by frame as in inference. An object of frame t is the anchor of an item: its positive is
    its memory of the frames before or, with probability 1/2, its last embedding; where it was not seen before, the first
    one after t. Its negatives are the other queries of frame t - 1: all of them, if it was absent there.

    Args:
        momentum: False: never the memory.
        noise: probability with which an absent object is given the embedding of a random query as if it were its own
            (the published models: 0).
        official_skips: leave out an object that is new in frame t when the frames after t without it are t in number, as
            the published code does by a slip.
        draw: uniform numbers in 0 .. 1; pick: a whole number below n.
    """

    def __init__(self, momentum: bool = True, noise: float = 0., official_skips: bool = False,
                 draw: Optional[Callable[[], float]] = None, pick: Optional[Callable[[int], int]] = None) -> None:
        self.momentum, self.noise, self.official_skips = momentum, noise, official_skips
        self.draw = draw or (lambda: float(torch.rand(())))
        self.pick = pick or (lambda n: int(torch.randint(n, ())))

    def __call__(self, embeddings: Tensor, found: Sequence[Found], num_slots: int) -> List[FrameItems]:
        """Items of the frames 1 .. T - 1; of a frame without any: none.

        Args:
            embeddings: [T, Q, C]; found: of T frames; num_slots: objects of the clip.
        """
        own, memory = self._fill(embeddings, found, num_slots)
        items = []
        for t in range(1, len(embeddings)):
            chosen = [(n, *positive) for n in range(num_slots) if own[t][n] is not None
                      for positive in [self._positive(own, memory, t, n)] if positive is not None]
            if not chosen:
                continue
            slots, sources, positives = zip(*chosen)
            counted = torch.ones(len(slots), embeddings.shape[1], dtype=torch.bool, device=embeddings.device)
            for row, n in zip(counted, slots):
                if n in found[t - 1]:
                    row[found[t - 1][n]] = False
            items.append(FrameItems(list(slots), list(sources), torch.stack([own[t][n] for n in slots]),
                                    torch.stack(positives), embeddings[t - 1], counted))
        return items

    def _fill(self, embeddings: Tensor, found: Sequence[Found], num_slots: int) -> Tuple[list, list]:
        """Embedding and memory of every object in every frame, None where there is none; [T][num_slots]."""
        bank = [SimilarityFusion() for _ in range(num_slots)]
        own, memory = [], []
        for frame, queries in zip(embeddings, found):
            own.append([frame[queries[n]] if n in queries else self._noise(frame) for n in range(num_slots)])
            for track, embedding in zip(bank, own[-1]):
                if embedding is not None:
                    track.add(embedding)
            memory.append([track.fused for track in bank])
        return own, memory

    def _noise(self, frame: Tensor) -> Optional[Tensor]:
        return frame[self.pick(len(frame))] if self.noise and self.draw() >= 1 - self.noise else None

    def _positive(self, own: list, memory: list, t: int, n: int) -> Optional[Tuple[str, Tensor]]:
        if memory[t - 1][n] is not None:
            if self.momentum and self.draw() > 0.5:
                return 'memory', memory[t - 1][n]
            return 'last', next(frame[n] for frame in reversed(own[:t]) if frame[n] is not None)
        later = [frame[n] for frame in own[t + 1:] if frame[n] is not None]
        if not later or self.official_skips and t == len(own) - t - 1 - len(later):
            return None
        return 'later', later[0]


def contrastive_losses(items: Sequence[FrameItems]) -> Tuple[Tensor, Tensor]:
    """Of every item log(1 + sum exp(negative - positive)) of the products with the anchor, and the mean squared error of
    the cosines with it (1 for the positive, 0 for the negatives): [m] each, of all frames together."""
    contrastive, auxiliary = [], []
    for frame in items:
        negative = frame.anchors @ frame.negatives.T
        positive = (frame.anchors * frame.positives).sum(1)
        apart = (negative - positive[:, None]).masked_fill(~frame.counted, float('-inf'))
        contrastive.append(F.softplus(apart.logsumexp(1)))
        unit = F.normalize(frame.anchors, dim=1)
        wrong = (unit @ F.normalize(frame.negatives, dim=1).T).masked_fill(~frame.counted, 0.)
        right = (unit * F.normalize(frame.positives, dim=1)).sum(1)
        auxiliary.append((wrong.square().sum(1) + (right - 1).square()) / (1 + frame.counted.sum(1)))
    return torch.cat(contrastive), torch.cat(auxiliary)


def mean_contrastive_losses(items: Sequence[FrameItems], embeddings: Tensor) -> Tuple[Tensor, Tensor]:
    """Means over all items; without any, zeros that hang on the embeddings."""
    if not items:
        nothing = 0. * embeddings.sum()
        return nothing, nothing
    return tuple(x.mean() for x in contrastive_losses(items))
