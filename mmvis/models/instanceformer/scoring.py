"""Which slots become tracks, and the class and score of a track (section 2.9 of the official inference script)."""
from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

#: Frames whose scores decide which slots become tracks.
DECIDING_FRAMES = 3
#: Scores kept of a track in a stream of unknown length: enough for the rule below up to 1024 frames.
STREAM_SCORES = 256


def candidate_slots(scores: Tensor, num: int) -> Tensor:
    """Slots of the ``num`` highest entries of scores [T, Q, C], each once, in order of first appearance."""
    num_slots, num_classes = scores.shape[1:]
    entries = scores.flatten().topk(min(num, scores.numel())).indices
    slots = (entries % (num_slots * num_classes)) // num_classes
    return slots.new_tensor(list(dict.fromkeys(slots.tolist())))


@dataclass
class TrackScores:
    """The highest class scores of N tracks over the frames so far, with their classes: [N, k] each.

    At the end of T frames the k = T // 4 highest (at least one) of all frames and classes of a track are looked at:
    the most frequent class among them is the track's, the mean of that class's scores its score.
    """
    most: int
    scores: Optional[Tensor] = None
    classes: Optional[Tensor] = None

    @classmethod
    def of_video(cls, num_frames: Optional[int]) -> 'TrackScores':
        return cls(STREAM_SCORES if num_frames is None else max(1, num_frames // 4))

    def add(self, scores: Tensor) -> None:
        """Take one frame: class scores [N, C]."""
        classes = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
        if self.scores is not None:
            scores, classes = torch.cat([self.scores, scores], 1), torch.cat([self.classes, classes], 1)
        self.scores, order = scores.topk(min(self.most, scores.shape[1]), dim=1)
        self.classes = classes.gather(1, order)

    def verdicts(self, num_frames: int) -> List[Tuple[int, float]]:
        """Class and score of each track after ``num_frames`` frames."""
        out = []
        count = max(1, num_frames // 4)
        for scores, classes in zip(self.scores.cpu().numpy(), self.classes.cpu().numpy()):
            scores, classes = scores[:count], classes[:count]
            best = int(np.bincount(classes).argmax())                   # of equals the first class
            out.append((best, float(scores[classes == best].mean())))
        return out
