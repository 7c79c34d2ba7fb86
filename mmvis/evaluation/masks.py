"""The masks of many tracks as flat arrays, decoded once, and what two tracks have in common."""
from dataclasses import dataclass
from itertools import chain
from types import ModuleType
from typing import Any, Mapping, Optional, Sequence, Tuple

import numpy as np

from mmvis.errors import InputError
from mmvis.structures.compiled import choose_kernels
from mmvis.structures.rle_decode import LONGEST_SIDE, Spans, decode_counts, describe_damage

from . import kernels_numpy

Segmentations = Sequence[Optional[Mapping[str, Any]]]


def kernels() -> ModuleType:
    """The inner loops: compiled where numba is installed, else in NumPy, with the same results."""
    return choose_kernels(kernels_numpy, 'mmvis.evaluation.kernels_numba')


@dataclass
class TrackMasks:
    """The masks of N tracks. Mask number m is one frame of one track; track n has the masks frames[n] : frames[n + 1].

    Attributes:
        frames: int64 [N + 1].
        heights, widths: int32 [M], size of the mask in pixels; -1 where the track has none in that frame.
        pixels: int64 [M], area of the mask; 0 where there is none.
        starts: int64 [M + 1], spans of mask m are starts[m] : starts[m + 1].
        spans: uint32 [S, 2], start and end of the foreground runs, by column-major pixel number.
    """
    frames: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    pixels: np.ndarray
    starts: np.ndarray
    spans: np.ndarray

    @classmethod
    def from_present(cls, frames: np.ndarray, present: np.ndarray, sizes: np.ndarray, found: Spans) -> 'TrackMasks':
        """Put P masks in their places: present bool [M], sizes int64 [P, 2]."""
        heights, widths = np.full(len(present), -1, np.int32), np.full(len(present), -1, np.int32)
        heights[present], widths[present] = sizes.T
        pixels = np.zeros(len(present), np.int64)
        pixels[present] = found.areas
        return cls(np.asarray(frames, np.int64), heights, widths, pixels,
                   found.starts[np.concatenate([[0], np.cumsum(present)])], found.spans)

    @classmethod
    def concatenate(cls, parts: 'Sequence[TrackMasks]') -> 'TrackMasks':
        """The tracks of several, one after another."""
        frames, starts = (np.concatenate([[0], *(getattr(part, name)[1:] + offset for part, offset in zip(parts, np.cumsum(
            [0, *(getattr(part, name)[-1] for part in parts)])))]) for name in ('frames', 'starts'))
        heights, widths, pixels, spans = (np.concatenate([getattr(part, name) for part in parts])
                                          for name in ('heights', 'widths', 'pixels', 'spans'))
        return cls(frames, heights, widths, pixels, starts, spans)

    def __len__(self) -> int:
        return len(self.frames) - 1

    @property
    def arrays(self) -> kernels_numpy.MaskArrays:
        return self.frames, self.heights, self.widths, self.pixels, self.starts, self.spans

    def mean_areas(self) -> np.ndarray:
        """Mean area of every track over the frames where it is not empty, float64 [N]; 0 if it is nowhere."""
        total, seen = (np.concatenate([[0], np.cumsum(values)]) for values in (self.pixels, self.pixels > 0))
        total, seen = (values[self.frames[1:]] - values[self.frames[:-1]] for values in (total, seen))
        return total / np.maximum(seen, 1)

    def visible(self, tracks: np.ndarray, num_frames: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The masks with a pixel that tracks have in the first ``num_frames`` frames, track by track.

        Returns:
            Their numbers, the places of their tracks in ``tracks``, and their frames: three int64 [P].
        """
        numbers, owners = self.numbers(tracks)
        frames = numbers - self.frames[tracks][owners]
        seen = (self.pixels[numbers] > 0) & (frames < num_frames)
        return numbers[seen], owners[seen], frames[seen]

    def numbers(self, tracks: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """All masks of tracks, be there one or none: their numbers, and the places of their tracks in ``tracks``."""
        first = self.frames[tracks]
        lengths = self.frames[tracks + 1] - first
        owners = np.repeat(np.arange(len(tracks)), lengths)
        return np.arange(len(owners)) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths), owners

    def joined(self, numbers: np.ndarray, frames: np.ndarray) -> 'TrackMasks':
        """Other tracks made of these masks.

        Args:
            numbers: int64 [M'] of masks, frame by frame and track by track; -1 for none.
            frames: int64 [N' + 1], track n has numbers[frames[n]:frames[n + 1]].
        """
        present = numbers >= 0
        present[present] = self.heights[numbers[present]] >= 0
        chosen = numbers[present]
        sizes = np.stack([self.heights[chosen], self.widths[chosen]], 1)
        return TrackMasks.from_present(frames, present, sizes,
                                       Spans(self.pixels, self.starts, self.spans).take(chosen))

    def as_frames(self, numbers: np.ndarray) -> 'TrackMasks':
        """These masks, each as a track of one frame."""
        return self.joined(numbers, np.arange(len(numbers) + 1))

    def fingerprint(self, track: int) -> Tuple[bytes, bytes]:
        """Equal for tracks with the same masks, and only for those."""
        first, last = self.frames[track], self.frames[track + 1]
        spans = self.spans[self.starts[first]:self.starts[last]]
        shape = np.stack([self.heights[first:last], self.widths[first:last], self.pixels[first:last]])
        return shape.tobytes(), spans.tobytes()


def read_masks(tracks: Sequence[Segmentations], owners: Sequence[str]) -> TrackMasks:
    """Decode the compressed RLEs of tracks.

    Args:
        tracks: N lists of ``{'size': [h, w], 'counts': str}`` by frame; anything false (None, {}, []) is no mask.
        owners: N texts that name the tracks in an error.

    Raises:
        ValueError: something that is no compressed RLE or does not fill its frame exactly (it would hang pycocotools);
            the text names track, frame and field.
    """
    lengths = [len(track) if isinstance(track, (list, tuple)) else -1 for track in tracks]
    if -1 in lengths:
        raise InputError(f'{owners[lengths.index(-1)]}: segmentations must be a list with one RLE or null per frame.')
    frames = np.zeros(len(tracks) + 1, np.int64)
    np.cumsum(lengths, out=frames[1:])
    rles = list(chain.from_iterable(tracks))
    present = np.fromiter(map(bool, rles), bool, len(rles))
    rles = [rle for rle in rles if rle]
    try:
        counts = [rle['counts'] for rle in rles]
        sizes = np.array([rle['size'] for rle in rles] or np.zeros((0, 2), np.int64))
        if not all(map(str.isascii, [text for text in counts if not isinstance(text, bytes)])):
            raise ValueError
        if sizes.shape != (len(rles), 2) or sizes.dtype.kind != 'i' or \
                np.min(sizes, initial=0) < 0 or np.max(sizes, initial=0) > LONGEST_SIDE:
            raise ValueError
    except (TypeError, KeyError, ValueError):
        raise InputError(_find_fault(tracks, owners)) from None
    found = decode_counts(counts, sizes.prod(1))
    if isinstance(found, int):
        track = int(np.searchsorted(frames, np.flatnonzero(present)[found], side='right')) - 1
        frame = int(np.flatnonzero(present)[found] - frames[track])
        raise InputError(f'{owners[track]}, frame {frame}: counts of segmentations '
                         f'{describe_damage(counts[found], *sizes[found].tolist())}')
    return TrackMasks.from_present(frames, present, sizes, found)


def _find_fault(tracks: Sequence[Segmentations], owners: Sequence[str]) -> str:
    """One sentence on the first entry that cannot be read as an RLE."""
    for track, owner in zip(tracks, owners):
        for t, rle in enumerate(track):
            if not rle:
                continue
            place = f'{owner}, frame {t}'
            if not isinstance(rle, Mapping) or not {'size', 'counts'} <= set(rle):
                return f"{place}: segmentations must hold RLEs {{'size': [h, w], 'counts': str}} or null."
            if not isinstance(rle['counts'], (str, bytes)):
                return (f'{place}: counts of segmentations must be a compressed RLE string, '
                        f'not a {type(rle["counts"]).__name__}.')
            size = rle['size']
            if not isinstance(size, (list, tuple)) or len(size) != 2 or \
                    not all(type(side) is int and 0 <= side <= LONGEST_SIDE for side in size):
                return f'{place}: size of segmentations must be [height, width], not {size!r}.'
            if isinstance(rle['counts'], str) and not rle['counts'].isascii():
                return f'{place}: counts of segmentations are no compressed RLE.'
    return f'{owners[0]}: segmentations cannot be read.'


def track_overlap(first: TrackMasks, second: TrackMasks, pairs: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Pixels in both and in either of the tracks of each pair, frame by frame: two int64 [P, T].

    The end of the shorter track ends the comparison; a frame where both have masks of different sizes adds nothing.

    Args:
        pairs: int64 [P, 2], tracks of ``first`` and of ``second``.
    """
    lengths = [np.diff(masks.frames)[pairs[:, i]] for i, masks in enumerate((first, second))]
    num_frames = int(np.minimum(*lengths).max()) if len(pairs) else 0
    inter = np.zeros((len(pairs), num_frames), np.int64)
    union = np.zeros_like(inter)
    kernels().overlap(first.arrays, second.arrays, pairs, inter, union)
    return inter, union
