"""Who is who: from identity scores to tracks, and the verdict on a video."""
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmvis.structures import TrackScore

from .masks import CroppedMask


@dataclass
class IdentityBook:
    """The identities of one video: M slots, taken in order. A slot is a track, until it is given away.

    The last slot means "new instance" and is nobody's. When M - 2 slots are taken all further instances share slot
    M - 2: the latest overwrites, and no mask of it is reported (the rule of the official code). With ``forget_after``
    a newcomer gets the slot of the identity that has been absent longest instead.

    Attributes:
        max_obj_num: M. forget_after: an identity absent for more frames than this may lose its slot; None: never.
        num_used: slots taken. num_frames: frames counted. last_seen: slot -> frame.
        track_of: slot -> track; it is its number, but for slots that were given away.
        cls_sums: track -> sum over the frames of its class scores, float64 [K]. born: track -> its first frame.
    """
    max_obj_num: int
    forget_after: Optional[int] = None
    num_used: int = 0
    num_frames: int = 0
    last_seen: Dict[int, int] = field(default_factory=dict)
    track_of: Dict[int, int] = field(default_factory=dict)
    cls_sums: Dict[int, np.ndarray] = field(default_factory=dict)
    born: Dict[int, int] = field(default_factory=dict)

    @property
    def shared_slot(self) -> int:
        return self.max_obj_num - 2

    def assign(self, id_scores: np.ndarray) -> Tuple[List[int], bool]:
        """Slots of the k instances of the next frame, best first, and whether one of them is new.

        Args:
            id_scores: float32 [k, M].
        """
        is_first, known = self.num_frames == 0, self.num_used
        num = len(id_scores)
        if is_first or num == 0:
            columns = [known] * num
        else:
            # One column for each slot, one that scores nothing, and enough for all to be new.
            new = id_scores[:, -1:]
            scores = np.concatenate([id_scores, np.zeros_like(new), np.repeat(new, num - 1, axis=1)], axis=1)
            columns = linear_sum_assignment(-scores)[1].tolist()
        slots: List[int] = []
        for column in columns:
            slot = column if column < known else self._take({*columns, *slots})
            slots.append(slot if slot not in slots else self._take({*columns, *slots}))
        return slots, any(column >= known for column in columns)

    def _take(self, present: Set[int]) -> int:
        """A slot for a newcomer, with a new track; ``present``: the slots of this frame."""
        slot = self.num_used
        self.num_used = min(slot + 1, self.shared_slot)
        if slot == self.shared_slot:
            slot = self._longest_absent(present)
        if slot == self.shared_slot:
            return slot
        # A track has the number of its first slot; those of slots that were given away count on behind the last slot.
        self.track_of[slot] = slot if slot not in self.track_of else self.max_obj_num + len(self.born)
        self.born[self.track_of[slot]] = self.num_frames
        return slot

    def _longest_absent(self, present: Set[int]) -> int:
        absent = [slot for slot in range(self.shared_slot) if slot not in present]
        slot = min(absent, key=self.last_seen.get, default=self.shared_slot)
        if self.forget_after is None or not absent or self.num_frames - self.last_seen[slot] <= self.forget_after:
            return self.shared_slot
        return slot

    def tracks(self, slots: List[int]) -> List[int]:
        return [self.track_of.get(slot, slot) for slot in slots]

    def count(self, slots: List[int], cls_scores: np.ndarray) -> None:
        """Count a frame: slots of its k instances and their class scores [k, K]. Of equal slots the last one counts."""
        for track, scores in dict(zip(self.tracks(slots), cls_scores)).items():
            self.cls_sums[track] = self.cls_sums.get(track, 0.) + scores.astype(np.float64)
        self.last_seen.update(dict.fromkeys(slots, self.num_frames))
        self.num_frames += 1

    def verdicts(self, max_num: int, score_thr: float) -> List[TrackScore]:
        """The best pairs of track and class, best first: an absent frame counts as a score of 0.

        Args:
            max_num: at most so many. score_thr: a score must be over it.
        """
        if not self.cls_sums:
            return []
        tracks = sorted(self.cls_sums)
        scores = np.stack([self.cls_sums[track] for track in tracks]) / self.num_frames
        order = np.argsort(-scores.ravel(), kind='stable')[:max_num]
        pairs = [(tracks[i // scores.shape[1]], i % scores.shape[1]) for i in order.tolist()]
        return [TrackScore(track, label, float(score), self.born.get(track))
                for (track, label), score in zip(pairs, scores.ravel()[order]) if score > score_thr]


@dataclass
class OverlapScores:
    """Stands for the identity branch where its memory is cut off: an instance is who its mask overlaps most.

    Attributes:
        min_overlap: less than this and it is new.
        last: slot -> mask when last seen.
    """
    min_overlap: float = 0.1
    last: Dict[int, CroppedMask] = field(default_factory=dict)

    def scores(self, masks: Sequence[CroppedMask], max_obj_num: int) -> np.ndarray:
        """Identity scores float32 [k, M] of the k masks of a frame, for ``IdentityBook.assign``."""
        out = np.zeros((len(masks), max_obj_num), np.float32)
        for row, mask in enumerate(masks):
            for slot, known in self.last.items():
                out[row, slot] = mask.overlap(known)
        out[:, -1] = self.min_overlap
        return out

    def update(self, slots: Sequence[int], masks: Sequence[CroppedMask]) -> None:
        self.last.update(zip(slots, masks))
