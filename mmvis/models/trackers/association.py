"""Online association by embedding, box, class and confidence, and what a video remembers of its tracks.

MaskTrack R-CNN (arXiv 1905.04804, section 3.3, equation 5); the same rule serves SipMask-VIS (arXiv 2007.14772).
"""
from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mmvis.ops.transfer import on_device, to_device
from mmvis.registry import MODELS
from mmvis.structures import TrackScore

from ..layers.legacy_boxes import box_iou


@dataclass
class TrackMemory:
    """The M objects that the next frame is compared with. ``num_ids`` counts every object since the start of the video.

    One unseen for more than ``max_age`` frames is forgotten; None: none is.

    Attributes:
        track_ids: int64 [M]; embeddings: float32 [M, D], on the device of the model, of the latest match;
        boxes: float32 [M, 4] in original pixels and scores: float32 [M], of the latest match;
        labels: int64 [M], of the first detection (a match never changes it); last_seen: int64 [M] frame indices.
        All but the embeddings are on the CPU.
    """
    max_age: Optional[int] = None
    num_ids: int = 0
    frame_idx: int = 0
    track_ids: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    embeddings: Optional[Tensor] = None
    boxes: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    scores: Tensor = field(default_factory=lambda: torch.zeros(0))
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    last_seen: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.track_ids)

    def keep(self, rows: Tensor) -> None:
        """Forget every object but ``rows`` (indices or a mask)."""
        for name in ('track_ids', 'boxes', 'scores', 'labels', 'last_seen'):
            setattr(self, name, getattr(self, name)[rows])
        if self.embeddings is not None:
            self.embeddings = self.embeddings[to_device(rows, self.embeddings.device)]


#: Frames for which an object is remembered in a stream without end.
STREAM_AGE = 300


@MODELS.register_module()
class AssociationTracker:
    """Greedy online association.

    Args:
        match_coeff: weights of log confidence, box IoU and equal class, beside the log-softmax of the similarities.
        floor: a match that scores no more than this is dropped.
        max_age: forget an object unseen for more than this many frames. ``None`` is the published rule: nothing is
            forgotten within a video.
    """

    def __init__(self, match_coeff: Sequence[float] = (1.0, 2.0, 10.0), floor: float = -100.,
                 max_age: Optional[int] = None) -> None:
        self.match_coeff = tuple(match_coeff)
        self.floor = floor
        self.max_age = max_age

    def start(self, live: bool = False) -> TrackMemory:
        """Memory of a new video; of one without end objects unseen for long are forgotten, whatever the rule."""
        return TrackMemory(max_age=STREAM_AGE if live and self.max_age is None else self.max_age)

    def similarity(self, embeddings: Tensor, known: Tensor) -> Tensor:
        """How alike embeddings [N, D] and those of known objects [M, D] are, [N, M]; a new object counts 0."""
        return embeddings @ known.T

    def compare(self, memory: TrackMemory, boxes: Tensor, scores: Tensor, labels: Tensor,
                embeddings: Tensor) -> Tuple[Tensor, Tensor]:
        """Log-softmax of the similarities and full comparison of N detections, both [N, 1 + M].

        Column 0 stands for "a new object": similarity 0, IoU 0, and the class counts as equal.
        """
        with torch.autocast(embeddings.device.type, enabled=False):      # products in bf16 would be decided by rounding
            products = self.similarity(embeddings.float(), memory.embeddings).cpu()
        log_probs = torch.cat([products.new_zeros(len(products), 1), products], dim=1).log_softmax(1)
        iou = torch.nn.functional.pad(box_iou(boxes, memory.boxes), (1, 0))
        same = torch.nn.functional.pad((labels[:, None] == memory.labels).float(), (1, 0), value=1.)
        score, overlap, label = self.match_coeff
        return log_probs, log_probs + score * scores.log()[:, None] + overlap * iou + label * same

    def update(self, memory: TrackMemory, boxes: Tensor, scores: Tensor, labels: Tensor,
               embeddings: Tensor) -> np.ndarray:
        """Ids int64 [N] of the detections of the next frame, -1 for those that are dropped; the memory is updated.

        Two detections may get the same id: then the later one is the better match and stands for the object.

        Args:
            boxes: float32 [N, 4] in original pixels; scores: float32 [N]; labels: int64 [N]; all on the CPU.
            embeddings: [N, D] on the device of the model.
        """
        now, memory.frame_idx = memory.frame_idx, memory.frame_idx + 1
        if memory.max_age is not None:
            memory.keep(now - memory.last_seen <= memory.max_age)
        ids = np.full(len(boxes), -1, np.int64)
        winner = {}                                    # row of the memory -> (comparison, detection)
        new = list(range(len(boxes)))
        if len(boxes) and len(memory):
            _, comparison = self.compare(memory, boxes, scores, labels, embeddings)
            values, columns = (x.tolist() for x in comparison.max(1))
            new = [i for i, column in enumerate(columns) if column == 0]
            for i, (value, column) in enumerate(zip(values, columns)):
                row = column - 1
                if row >= 0 and value > winner.get(row, (self.floor,))[0]:
                    winner[row] = (value, i)
                    ids[i] = memory.track_ids[row]
        ids[new] = np.arange(memory.num_ids, memory.num_ids + len(new))
        self._remember(memory, winner, new, ids, now, (boxes, scores, labels, embeddings.float()))
        return ids

    @staticmethod
    def _remember(memory: TrackMemory, winner: dict, new: List[int], ids: np.ndarray, now: int,
                  detections: Tuple[Tensor, ...]) -> None:
        boxes, scores, labels, embeddings = detections
        if winner:
            rows = torch.tensor(list(winner))
            seen = torch.tensor([i for _, i in winner.values()])
            memory.boxes[rows], memory.scores[rows], memory.last_seen[rows] = boxes[seen], scores[seen], now
            memory.embeddings[to_device(rows, embeddings.device)] = embeddings[to_device(seen, embeddings.device)]
        if new:
            memory.num_ids += len(new)
            old = embeddings[:0] if memory.embeddings is None else memory.embeddings
            memory.embeddings = torch.cat([old, embeddings[on_device(new, embeddings.device)]])
            memory.boxes = torch.cat([memory.boxes, boxes[new]])
            memory.scores = torch.cat([memory.scores, scores[new]])
            memory.labels = torch.cat([memory.labels, labels[new]])
            memory.track_ids = torch.cat([memory.track_ids, torch.from_numpy(ids[new])])
            memory.last_seen = torch.cat([memory.last_seen, torch.full((len(new),), now)])


def visible(ids: np.ndarray) -> np.ndarray:
    """Indices of the detections that stand for an object: ids >= 0, of equal ids the last.

    They come in the order in which each id was first given in the frame.
    """
    last = {}
    for i, track_id in enumerate(ids.tolist()):
        if track_id >= 0:
            last[track_id] = i
    return np.array(list(last.values()), np.int64)


@dataclass
class TrackSummary:
    """Running verdict on the tracks of a video: mean score and majority class. Grows with the tracks only."""
    sums: dict = field(default_factory=dict)           # track id -> [sum of scores, frames]
    votes: dict = field(default_factory=dict)          # track id -> {label: frames}

    def add(self, track_ids: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> None:
        """Count one frame: arrays [N]."""
        for track_id, label, score in zip(track_ids.tolist(), labels.tolist(), scores.tolist()):
            total = self.sums.setdefault(track_id, [0., 0])
            total[0] += score
            total[1] += 1
            votes = self.votes.setdefault(track_id, {})
            votes[label] = votes.get(label, 0) + 1

    def verdicts(self) -> List[TrackScore]:
        """Mean score (float32) and most frequent label (of equal counts the smallest), in order of first appearance."""
        out = []
        for track_id, (total, frames) in self.sums.items():
            label = min(self.votes[track_id].items(), key=lambda vote: (-vote[1], vote[0]))[0]
            out.append(TrackScore(track_id, label, float(np.float32(total / frames))))
        return out
