"""How CTVIS keeps identities: a bank of tracks with one fused embedding each (arXiv 2307.12616)."""
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from ..layers.similarity_fusion import SimilarityFusion


@dataclass
class BankTrack:
    """A track in the bank.

    Attributes:
        last_seen: frame; num_seen: frames with it.
    """
    memory: SimilarityFusion
    last_seen: int = -1
    num_seen: int = 0


@dataclass
class TrackBank:
    """Tracks by id, in order of birth; ids are never used again."""
    tracks: Dict[int, BankTrack] = field(default_factory=dict)
    num_born: int = 0


@dataclass(frozen=True)
class SimilarityTracker:
    """Greedy association by bi-softmax of the products of embeddings.

    Attributes:
        birth_score: of a detection that may become a track; match_score: least similarity of a match.
        num_kept: embeddings a track is compared with; forget_after: frames unseen after which a track leaves the bank.
    """
    birth_score: float = 0.01
    match_score: float = 0.3
    num_kept: int = 10
    forget_after: int = 20

    def similarity(self, bank: TrackBank, embeddings: Tensor) -> Tensor:
        """[D, tracks]: mean of the softmax over the tracks and of that over the detections."""
        memories = torch.stack([track.memory.fused for track in bank.tracks.values()])
        products = embeddings @ memories.T
        return (products.softmax(1) + products.softmax(0)) / 2

    def update(self, bank: TrackBank, scores: np.ndarray, embeddings: Tensor, frame_idx: int) -> List[Optional[int]]:
        """Ids of the detections of a frame, which come by falling score; None: dropped. The bank is brought up to date.

        Args:
            scores: [D]; embeddings: float32 [D, C], on the CPU.
        """
        ids: List[Optional[int]] = [None] * len(scores)
        if bank.tracks:
            names = list(bank.tracks)
            seen = np.array([track.num_seen for track in bank.tracks.values()], np.float32)
            ids = [None if column is None else names[column]
                   for column in self.match(self.similarity(bank, embeddings).numpy(), seen)]
        for i, score in enumerate(scores):
            if ids[i] is None and score > self.birth_score:
                ids[i] = bank.num_born
                bank.tracks[ids[i]] = BankTrack(SimilarityFusion(self.num_kept))
                bank.num_born += 1
        for i, embedding in zip(ids, embeddings):
            if i is not None:
                track = bank.tracks[i]
                track.memory.add(embedding)
                track.last_seen, track.num_seen = frame_idx, track.num_seen + 1
        bank.tracks = {i: track for i, track in bank.tracks.items() if frame_idx - track.last_seen <= self.forget_after}
        return ids

    def match(self, similarity: np.ndarray, seen: np.ndarray) -> List[Optional[int]]:
        """Column of every row, greedily in order of the rows; of several columns above ``match_score`` the similarity
        times the frames seen decides, and the others compare with the mean of these.

        Args:
            similarity: [D, tracks]; seen: frames with each track.
        """
        similarity = similarity.copy()
        columns: List[Optional[int]] = []
        for i, row in enumerate(similarity):
            above = row > self.match_score
            if above.sum() > 1:
                row = row * np.where(above, seen, seen[above].mean())
            best = int(row.argmax())
            columns.append(best if row[best] > self.match_score else None)
            if columns[-1] is not None:
                kept = similarity[i, best]
                similarity[:, best] = 0
                similarity[i, best] = kept
        return columns


@dataclass
class TrackSums:
    """What is known of a track for the results.

    Attributes:
        logits: float64 [K + 1], sum over the frames seen; pixels: of its masks; confidence: sum of their sigmoids.
    """
    track_id: int
    logits: np.ndarray
    pixels: int = 0
    confidence: float = 0.
    last_seen: int = -1
    num_seen: int = 0


@dataclass
class TrackTable:
    """The tracks of the results, by id of the bank, in order of their first frames.

    A track that is removed as noise may still be found again in the bank; it is a new track of the results then.

    Attributes:
        num_tracks: so far, removed ones included.
    """
    rows: Dict[int, TrackSums] = field(default_factory=dict)
    num_tracks: int = 0

    def add(self, bank_id: int, frame_idx: int, logits: np.ndarray, pixels: int, confidence: float) -> int:
        """Take a detection with class logits [K + 1]; returns the number of its track."""
        if bank_id not in self.rows:
            self.rows[bank_id] = TrackSums(self.num_tracks, np.zeros(len(logits)))
            self.num_tracks += 1
        row = self.rows[bank_id]
        row.logits += logits
        row.pixels += pixels
        row.confidence += confidence
        row.last_seen, row.num_seen = frame_idx, row.num_seen + 1
        return row.track_id

    def remove_noise(self, frame_idx: int, first: int = 9, unseen: int = 2, seen: int = 3) -> None:
        """From frame ``first`` on, tracks go that were seen in fewer than ``seen`` frames and not in the last ``unseen``."""
        if frame_idx >= first:
            self.rows = {i: row for i, row in self.rows.items()
                         if frame_idx - row.last_seen < unseen or row.num_seen >= seen}

    def mean_logits(self) -> np.ndarray:
        """float32 [tracks, K + 1]."""
        return np.stack([row.logits / row.num_seen for row in self.rows.values()]).astype(np.float32)

    def records(self, num: int) -> List[Tuple[int, int, float]]:
        """The ``num`` most probable pairs of track and class, by falling probability: number of the track, class, and
        probability times the mean confidence of the pixels of its masks."""
        if not self.rows:
            return []
        mean = self.mean_logits()
        power = np.exp(mean - mean.max(1, keepdims=True))
        probs = (power / power.sum(1, keepdims=True))[:, :-1]
        rows, best = list(self.rows.values()), np.argsort(-probs.ravel(), kind='stable')[:num]
        return [(rows[i].track_id, int(label), float(probs[i, label]) * rows[i].confidence / (rows[i].pixels + 1e-6))
                for i, label in zip(*np.divmod(best, probs.shape[1]))]
