"""Joining the windows of a video: tubes by soft mask IoU and assignment (Hwang et al., NeurIPS 2021, section 3.4).

Memory holds the frames that a later window may still cover, and a class vector a tube.
"""
from dataclasses import dataclass, field
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmvis.ops.transfer import on_device


@dataclass
class _Held:
    """What one window holds of one frame: probabilities [n, P] of its tubes."""
    tubes: np.ndarray
    probs: Tensor


@dataclass
class _Frame:
    """A frame that windows have covered: its tubes, the sum of their logits [N, h8, w8], windows that hold them [N]."""
    tubes: List[int] = field(default_factory=list)
    total: Tensor = None
    windows: List[int] = field(default_factory=list)
    held: Dict[int, _Held] = field(default_factory=dict)      # by number of the window

    def add(self, tubes: np.ndarray, logits: Tensor) -> None:
        row_of = {tube: row for row, tube in enumerate(self.tubes)}
        known = [i for i, tube in enumerate(tubes.tolist()) if tube in row_of]
        fresh = [i for i, tube in enumerate(tubes.tolist()) if tube not in row_of]
        rows = [row_of[tubes[i]] for i in known]
        if known:
            self.total[on_device(rows, logits.device)] += logits[on_device(known, logits.device)]
        for row in rows:
            self.windows[row] += 1
        new = logits[on_device(fresh, logits.device, torch.long)]
        self.total = new if self.total is None else torch.cat([self.total, new])
        self.tubes += tubes[fresh].tolist()
        self.windows += [1] * len(fresh)


class TubeJoiner:
    """The tubes of one video.

    Args:
        threshold: a detection whose score with every tube is at most this begins a tube.

    Attributes:
        class_sums: [K + 1] a tube, the sum of its class probabilities over its windows; window_counts: how many.
    """

    def __init__(self, threshold: float = 0.05) -> None:
        self.threshold = threshold
        self.class_sums: List[Tensor] = []
        self.window_counts: List[int] = []
        self._frames: Dict[int, _Frame] = {}
        self._num_windows = 0

    def __len__(self) -> int:
        return len(self.class_sums)

    def class_probs(self, tube: int) -> Tensor:
        """Mean class probabilities [K + 1] over the windows of a tube, "no object" last."""
        return self.class_sums[tube] / self.window_counts[tube]

    def add(self, first: int, class_probs: Tensor, mask_logits: Tensor) -> np.ndarray:
        """Take the detections of the next window.

        Args:
            first: index of its first frame.
            class_probs: float32 [n, K + 1].
            mask_logits: float32 [n, T, h8, w8].

        Returns:
            int64 [n], the tube of every detection; new tubes are numbered in the order of the detections.
        """
        probs = mask_logits.sigmoid().flatten(2)
        known, scores = self.scores(first, probs)
        tubes = self._assign(known, scores, len(class_probs))
        for tube, vector in zip(tubes.tolist(), class_probs.cpu()):
            if tube == len(self):
                self.class_sums.append(vector.clone())     # a view would keep the whole window's
                self.window_counts.append(1)
            else:
                self.class_sums[tube] = self.class_sums[tube] + vector
                self.window_counts[tube] += 1
        for t in range(mask_logits.shape[1]):
            frame = self._frames.setdefault(first + t, _Frame())
            if len(tubes):
                frame.add(tubes, mask_logits[:, t])
                frame.held[self._num_windows] = _Held(tubes, probs[:, t].clone())
        self._num_windows += 1
        return tubes

    def scores(self, first: int, probs: Tensor) -> Tuple[np.ndarray, np.ndarray]:
        """Mean soft IoU of the detections of a window with the tubes that earlier windows hold in its frames.

        The soft IoU with a tube, as one earlier window has it, is sum(a b) / sum(a + b - a b) over the frames that both
        windows have; the mean is over the windows that hold the tube.

        Args:
            first: index of the window's first frame; probs: [n, T, P].

        Returns:
            Tubes int64 [N], rising, and scores float32 [N, n]; a tube not listed has score 0.
        """
        overlaps: Dict[int, List[Tuple[_Held, Tensor]]] = {}
        for t in range(probs.shape[1]):
            frame = self._frames.get(first + t)
            for window, held in (frame.held if frame else {}).items():
                overlaps.setdefault(window, []).append((held, probs[:, t]))
        known = np.unique(np.concatenate([pairs[0][0].tubes for pairs in overlaps.values()] or [np.zeros(0, np.int64)]))
        total = np.zeros((len(known), len(probs)), np.float32)
        count = np.zeros((len(known), 1), np.float32)
        for pairs in overlaps.values():
            with torch.autocast(probs.device.type, enabled=False):    # sums over tubes leave the range of float16
                both = sum(held.probs @ new.T for held, new in pairs)
            either = sum(held.probs.sum(1)[:, None] + new.sum(1) for held, new in pairs) - both
            rows = np.searchsorted(known, pairs[0][0].tubes)
            total[rows] += (both / (either + 1e-6)).cpu().numpy()
            count[rows] += 1
        return known, total / (count + np.float32(1e-6))

    def _assign(self, known: np.ndarray, scores: np.ndarray, num: int) -> np.ndarray:
        tubes = np.full(num, -1, np.int64)
        scores = np.where(scores > self.threshold, scores, 0)
        rows, columns = linear_sum_assignment(scores, maximize=True)
        good = scores[rows, columns] > self.threshold
        tubes[columns[good]] = known[rows[good]]
        fresh = tubes < 0
        tubes[fresh] = len(self) + np.arange(fresh.sum())
        return tubes

    def take(self, before: int) -> List[Tuple[int, np.ndarray, Tensor]]:
        """Let go of the frames with an index below ``before``: index, tubes [N] rising, mean logits [N, h8, w8]."""
        taken = []
        for frame_idx in sorted(index for index in self._frames if index < before):
            frame = self._frames.pop(frame_idx)
            order = np.argsort(frame.tubes)
            tubes = np.array(frame.tubes, np.int64)[order]
            mean = None
            if len(tubes):
                windows = on_device(frame.windows, frame.total.device)
                mean = (frame.total / windows[:, None, None])[on_device(order, frame.total.device)]
            taken.append((frame_idx, tubes, mean))
        return taken

    def verdicts(self, min_score: float) -> Sequence[Tuple[int, int, float]]:
        """(tube, label, score) of every class of every tube above ``min_score``, in order of tubes, then of labels."""
        out = []
        for tube in range(len(self)):
            probs = self.class_probs(tube)[:-1]
            out += [(tube, label, float(probs[label])) for label in (probs > min_score).nonzero().flatten().tolist()]
        return out
