"""Which tracks a system that looks back at the end of a video puts into the results."""
from typing import List, NamedTuple, Optional

import numpy as np


class Record(NamedTuple):
    """One entry of the results: a row (query or track), a 0-based class, its probability."""
    row: int
    label: int
    score: float


class EndRanking:
    """Mean of the class logits of every row over the frames, and the best pairs of row and class (VidEoMT, MinVIS,
    DVIS++, LVMT).

    Only the running sum is kept. The published code takes the mean of all frames' logits at once: equal up to rounding.

    Args:
        num_records: how many pairs; there is no threshold, and one row may come with several classes.
    """

    def __init__(self, num_records: int) -> None:
        self.num_records = num_records
        self._sum = np.zeros((0, 0))
        self._count = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Number of rows so far."""
        return len(self._sum)

    def add(self, logits: np.ndarray, rows: Optional[np.ndarray] = None) -> None:
        """One frame: class logits float [n, K + 1] ("no object" last) of the rows [n], by default 0 .. n - 1.

        A row that was not seen before, and its mean, begin with this frame.
        """
        rows = np.arange(len(logits)) if rows is None else np.asarray(rows)
        num = max(len(self), int(rows.max(initial=-1)) + 1)
        if num > len(self):
            grown = np.zeros((num, logits.shape[1]))
            grown[:len(self)] = self._sum if len(self) else 0
            self._sum, self._count = grown, np.pad(self._count, (0, num - len(self._count)))
        self._sum[rows] += logits
        self._count[rows] += 1

    def probabilities(self) -> np.ndarray:
        """Float32 [rows, K]: softmax over K + 1 of the mean logits, without "no object"; 0 for a row never seen."""
        mean = (self._sum / np.maximum(self._count, 1)[:, None]).astype(np.float32)
        power = np.exp(mean - mean.max(1, keepdims=True, initial=-np.inf))
        probs = power / power.sum(1, keepdims=True)
        return np.where(self._count[:, None] > 0, probs, np.float32(0))[:, :-1]

    def records(self, min_score: float = 0.) -> List[Record]:
        """The best pairs whose probability is at least ``min_score``, by falling score, then by row and class."""
        if not len(self):
            return []
        probs = self.probabilities()
        flat = probs.ravel()
        best = np.argsort(-flat, kind='stable')[:self.num_records]
        return [Record(int(i) // probs.shape[1], int(i) % probs.shape[1], float(flat[i]))
                for i in best if flat[i] >= min_score]


def best_of_row(records: List[Record]) -> List[Record]:
    """The first, which is the best, record of every row, in order."""
    first = {}
    for record in records:
        first.setdefault(record.row, record)
    return list(first.values())
