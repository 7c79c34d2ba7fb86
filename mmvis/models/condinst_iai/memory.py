"""What the transformer remembers of a video."""
from dataclasses import dataclass, field
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from mmvis.errors import InputError

Pair = Tuple[Tensor, Tensor]

POLICIES = ('official', 'bounded', 'off')


@dataclass
class Entry:
    """A frame in the long-term memory: its number, keys and values [B, N, C]."""
    frame_idx: int
    keys: Tensor
    values: Tensor


@dataclass
class LSTTMemory:
    """Long-term memory of some frames, short-term memory of the last one.

    A frame goes into the long-term memory if it is the first one, if a new instance is in it, or if the last one that
    did was ``interval`` frames ago (the first frame counts as one earlier: frames 0, 2, 5, 8, ... with nothing new).

    Attributes:
        interval: see above.
        policy: 'official': the long-term memory keeps everything, so memory and time grow with the video. 'bounded': at
            most ``max_frames`` frames, spread evenly over the past as those of the official one are: the one that has
            its neighbours nearest is forgotten (of equal ones the oldest), but the very oldest once it is over
            ``max_age`` frames older than the newest. 'off': nothing is kept, every frame is seen as a first one.
        max_frames, max_age: of the bounded memory.
    """
    interval: int = 3
    policy: str = 'official'
    max_frames: int = 30
    max_age: int = 300
    entries: List[Entry] = field(default_factory=list)            # newest first
    short_term: Optional[Pair] = None
    seen: Optional[Pair] = None                                   # query and content of the last frame
    num_seen: int = 0
    last_stored: int = 0
    _joined: Optional[Pair] = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InputError(f"memory: policy must be one of {', '.join(POLICIES)}, not {self.policy!r}.")
        if self.max_frames < 3:
            raise InputError(f'memory: max_frames must be at least 3, not {self.max_frames}.')

    @property
    def is_empty(self) -> bool:
        return self.short_term is None

    def see(self, query: Tensor, content: Tensor) -> None:
        """Take note of the next frame, [B, N, C] each, until it is stored."""
        self.seen = query, content
        self.num_seen += 1

    def long_term(self) -> Pair:
        """Keys and values [B, L, C] of all entries, newest first."""
        if self._joined is None:
            self._joined = (torch.cat([x.keys for x in self.entries], dim=1),
                            torch.cat([x.values for x in self.entries], dim=1))
        return self._joined

    def store(self, keys: Tensor, values: Tensor, has_new: bool) -> None:
        """Store the frame last seen, [B, N, C] each."""
        self.seen = None
        if self.policy == 'off':
            return
        is_first = self.is_empty
        self.short_term = keys, values
        if not is_first and not has_new and self.num_seen - self.last_stored < self.interval:
            return
        self.entries.insert(0, Entry(self.num_seen - 1, keys, values))
        self._joined = None
        if not is_first:
            self.last_stored = self.num_seen
        if self.policy == 'bounded' and len(self.entries) > self.max_frames:
            del self.entries[self._least_needed()]

    def _least_needed(self) -> int:
        frames = [x.frame_idx for x in self.entries]
        if frames[0] - frames[-1] > self.max_age:
            return len(frames) - 1
        return min(range(1, len(frames) - 1), key=lambda i: (frames[i - 1] - frames[i + 1], -i))
