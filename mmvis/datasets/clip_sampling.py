"""Which frames make a training clip: one class a rule of the published systems.

A strategy has two methods. ``items`` lists the clips of an epoch as int64 [M, 2]: video index and key frame (-1 where
the rule draws it). ``draw`` gives the frame indices of one clip. Both are given the length of a video and its
*eligible* frames: those in which at least one object that is not a crowd is visible.
"""
from typing import List, Sequence, Union

import numpy as np

from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class KeyReferencePairs:
    """Pairs [key frame, reference frame] of one video (MaskTrackRCNN, SipMask, MemCNP).

    Every eligible frame is the key frame of one item; the reference is drawn uniformly among the other eligible frames
    of the video. A video with a single eligible frame has no pair and is left out.

    Args:
        reference: 'same_video' (MaskTrackRCNN, Yang et al. 2019), or the largest distance to the key frame in frames
            (MemCNP: 5); where no eligible frame is that near, the whole video is drawn from.
    """

    def __init__(self, reference: Union[str, int] = 'same_video') -> None:
        if reference != 'same_video' and not (isinstance(reference, int) and reference > 0):
            raise InputError(f"KeyReferencePairs: reference is 'same_video' or a number of frames, not {reference!r}.")
        self.reference = reference

    def items(self, eligible: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
        return _key_frames([frames if len(frames) > 1 else frames[:0] for frames in eligible])

    def draw(self, eligible: np.ndarray, length: int, key: int, rng: np.random.Generator) -> List[int]:
        others = eligible[eligible != key]
        if self.reference != 'same_video':
            near = others[np.abs(others - key) <= self.reference]
            others = near if len(near) else others
        return [key, int(rng.choice(others))]


@TRANSFORMS.register_module()
class SingleFrames:
    """Every eligible frame alone (T = 1): training on images."""

    def items(self, eligible: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
        return _key_frames(eligible)

    def draw(self, eligible: np.ndarray, length: int, key: int, rng: np.random.Generator) -> List[int]:
        return [key]


@TRANSFORMS.register_module()
class RandomClips:
    """A reference frame drawn from the whole video and ``num_frames - 1`` frames around it, in order of time (IFC).

    Every video, annotated or not, is one item. With replacement a frame may come several times, as in IFC (Hwang et al.
    2021); without, frames repeat only where the range holds too few. A video of one frame gives copies of it.

    Args:
        num_frames: T.
        range: largest distance to the reference frame, in frames.
        replace: draw with replacement.
        repeats: items per video and epoch.
    """

    def __init__(self, num_frames: int, range: int = 20, replace: bool = True, repeats: int = 1) -> None:
        self.num_frames, self.range, self.replace, self.repeats = num_frames, range, replace, repeats

    def items(self, eligible: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
        return _whole_videos(np.arange(len(lengths)), self.repeats)

    def draw(self, eligible: np.ndarray, length: int, key: int, rng: np.random.Generator) -> List[int]:
        reference = int(rng.integers(length))
        near = np.arange(max(0, reference - self.range), min(length, reference + self.range + 1))
        near = near[near != reference]
        num = self.num_frames - 1
        if len(near) == 0:
            return [reference] * self.num_frames
        chosen = rng.choice(near, num) if self.replace else _without_replacement(near, num, rng)
        return sorted([reference, *chosen.tolist()])


@TRANSFORMS.register_module()
class SparseFrames:
    """One frame (T = 1) of a fixed, evenly spaced share of a video's frames: training on fewer annotations (MinVIS).

    Every video, annotated or not, is one item. Of ``length`` frames m = max(round(length ratio), 1) are used, number
    floor(k length / m) for k = 0 .. m - 1; where m is 1, the one in the middle.

    Args:
        ratio: the share.
    """

    def __init__(self, ratio: float) -> None:
        if not 0 < ratio <= 1:
            raise InputError(f'SparseFrames: ratio is within (0, 1], not {ratio!r}.')
        self.ratio = ratio

    def items(self, eligible: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
        return _whole_videos(np.arange(len(lengths)), 1)

    def frames(self, length: int) -> np.ndarray:
        """The frames that are used, int64, rising."""
        num = max(round(length * self.ratio), 1)
        return np.arange(num) * length // num if num > 1 else np.array([length // 2])

    def draw(self, eligible: np.ndarray, length: int, key: int, rng: np.random.Generator) -> List[int]:
        return [int(rng.choice(self.frames(length)))]


@TRANSFORMS.register_module()
class GapClips:
    """Eligible frames in order of time, with a random gap from each to the next (CondInst+IAI).

    The start leaves room for the rest; every gap is uniform in 1..``max_gap``, counted in eligible frames and bounded
    by the room that the frames still to come need. A video with fewer eligible frames than ``num_frames`` repeats its
    list; one without any is left out.

    Args:
        num_frames: T.
        max_gap: largest step, in eligible frames.
        repeats: items per video and epoch.
    """

    def __init__(self, num_frames: int = 5, max_gap: int = 3, repeats: int = 5) -> None:
        self.num_frames, self.max_gap, self.repeats = num_frames, max_gap, repeats

    def items(self, eligible: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
        return _whole_videos(np.array([i for i, frames in enumerate(eligible) if len(frames)], np.int64), self.repeats)

    def draw(self, eligible: np.ndarray, length: int, key: int, rng: np.random.Generator) -> List[int]:
        if len(eligible) < self.num_frames:
            eligible = np.resize(eligible, self.num_frames)
        position = int(rng.integers(len(eligible) - self.num_frames + 1))
        positions = [position]
        for to_come in range(self.num_frames - 2, -1, -1):
            room = len(eligible) - 1 - to_come - position
            position += int(rng.integers(1, min(self.max_gap, room) + 1))
            positions.append(position)
        return eligible[positions].tolist()


@TRANSFORMS.register_module()
class ConsecutiveClips:
    """``num_frames`` consecutive frames (VidEoMT, LVMT); every video with an object is one item.

    A video with fewer frames gives all of them, in order, and repeats drawn with replacement behind them.

    Args:
        num_frames: T.
        reach_end: False: the last possible start is never drawn, as in the published code.
        repeats: items per video and epoch.
    """

    def __init__(self, num_frames: int = 5, reach_end: bool = True, repeats: int = 1) -> None:
        self.num_frames, self.reach_end, self.repeats = num_frames, reach_end, repeats

    def items(self, eligible: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
        return _whole_videos(np.array([i for i, frames in enumerate(eligible) if len(frames)], np.int64), self.repeats)

    def draw(self, eligible: np.ndarray, length: int, key: int, rng: np.random.Generator) -> List[int]:
        spare = length - self.num_frames
        if spare < 0:
            return [*range(length), *rng.choice(length, -spare).tolist()]
        start = int(rng.integers(spare + self.reach_end)) if spare else 0
        return list(range(start, start + self.num_frames))


@TRANSFORMS.register_module()
class NeighbourClips:
    """A key frame, a frame shortly before, one shortly after, and distant ones, in order of time (InstanceFormer).

    Every eligible frame is the key frame f of one item: max(0, f - r1), f and min(n - 1, f + r2) with r1, r2 uniform in
    1..``max_gap``, so a frame repeats at the ends of the video. Frames beyond three are drawn without replacement from
    those before the first and from the last on; where these are too few, from the whole video.

    Args:
        num_frames: T; 1 gives the key frame alone.
        max_gap: largest distance of the neighbours, in frames.
    """

    def __init__(self, num_frames: int = 3, max_gap: int = 3) -> None:
        if num_frames == 2:
            raise InputError('NeighbourClips: num_frames is 1, or 3 and more, not 2.')
        self.num_frames, self.max_gap = num_frames, max_gap

    def items(self, eligible: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
        return _key_frames(eligible)

    def draw(self, eligible: np.ndarray, length: int, key: int, rng: np.random.Generator) -> List[int]:
        if self.num_frames == 1:
            return [key]
        before, after = rng.integers(1, self.max_gap + 1, 2).tolist()
        first, last = max(0, key - before), min(length - 1, key + after)
        num = self.num_frames - 3
        distant = np.concatenate([np.arange(first), np.arange(last, length)])
        if len(distant) < num:
            distant = np.arange(length)
        return sorted([first, key, last, *_without_replacement(distant, num, rng).tolist()])


def _key_frames(eligible: Sequence[np.ndarray]) -> np.ndarray:
    pieces = [np.stack([np.full(len(frames), video), frames], 1) for video, frames in enumerate(eligible)]
    return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros((0, 2), np.int64)


def _whole_videos(videos: np.ndarray, repeats: int) -> np.ndarray:
    videos = np.tile(videos, repeats)
    return np.stack([videos, np.full(len(videos), -1)], 1).astype(np.int64)


def _without_replacement(frames: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """``num`` of ``frames``, each at most once as long as there are enough: then all of them and random repeats."""
    if num <= len(frames):
        return rng.choice(frames, num, replace=False)
    return np.concatenate([frames, rng.choice(frames, num - len(frames))])
