"""The masks of many tracks as flat arrays, decoded once, and what two tracks have in common."""
import functools
import os
from dataclasses import dataclass
from itertools import chain
from types import ModuleType
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from mmvis.errors import InputError

from . import kernels_numpy

Segmentations = Sequence[Optional[Mapping[str, Any]]]

#: Set to 0 to do without numba.
NUMBA_VARIABLE = 'MMVIS_NUMBA'
#: Pixel numbers of a frame must fit into 32 bits.
_LONGEST_SIDE = 65535


@functools.lru_cache(maxsize=None)
def kernels() -> ModuleType:
    """The inner loops: compiled where numba is installed, else in NumPy, with the same results."""
    if os.environ.get(NUMBA_VARIABLE) == '0':
        return kernels_numpy
    try:
        from . import kernels_numba  # numba takes a second to import
    except ImportError:
        return kernels_numpy
    return kernels_numba


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
    def from_present(cls, frames: np.ndarray, present: np.ndarray, sizes: np.ndarray, pixels: np.ndarray,
                     starts: np.ndarray, spans: np.ndarray) -> 'TrackMasks':
        """Put P masks in their places: present bool [M], sizes int64 [P, 2], pixels [P], starts [P + 1]."""
        heights, widths = np.full(len(present), -1, np.int32), np.full(len(present), -1, np.int32)
        heights[present], widths[present] = sizes.T
        all_pixels = np.zeros(len(present), np.int64)
        all_pixels[present] = pixels
        return cls(np.asarray(frames, np.int64), heights, widths, all_pixels,
                   starts[np.concatenate([[0], np.cumsum(present)])], spans[:starts[-1]])

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
        text = _join(counts)
        if sizes.shape != (len(rles), 2) or sizes.dtype.kind != 'i' or \
                np.min(sizes, initial=0) < 0 or np.max(sizes, initial=0) > _LONGEST_SIDE:
            raise ValueError
    except (TypeError, KeyError, ValueError):
        raise InputError(_find_fault(tracks, owners)) from None
    masks = _decode(frames, present, sizes, counts, text)
    if isinstance(masks, int):
        track = int(np.searchsorted(frames, np.flatnonzero(present)[masks], side='right')) - 1
        frame = int(np.flatnonzero(present)[masks] - frames[track])
        raise InputError(f'{owners[track]}, frame {frame}: {_damage(counts[masks], *sizes[masks].tolist())}')
    return masks


def _join(counts: List[Union[str, bytes]]) -> bytes:
    try:
        return ''.join(counts).encode('ascii')
    except TypeError:
        return b''.join(text.encode('ascii') if isinstance(text, str) else text for text in counts)


def _decode(frames: np.ndarray, present: np.ndarray, sizes: np.ndarray, counts: Sequence[Union[str, bytes]],
            text: bytes) -> Union[TrackMasks, int]:
    """The masks; or the number of the first damaged one, counted among those that are present."""
    data = np.frombuffer(text, np.uint8)
    ends = np.cumsum(np.fromiter(map(len, counts), np.int64, len(counts)))
    spans = np.empty(((len(data) + len(counts)) // 2 + 1, 2), np.uint32)
    starts, pixels = np.zeros(len(counts) + 1, np.int64), np.zeros(len(counts), np.int64)
    bad = kernels().decode(data, ends, sizes.prod(1), spans, starts, pixels)
    if bad >= 0:
        return int(bad)
    return TrackMasks.from_present(frames, present, sizes, pixels, starts, spans)


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
                    not all(type(side) is int and 0 <= side <= _LONGEST_SIDE for side in size):
                return f'{place}: size of segmentations must be [height, width], not {size!r}.'
            if isinstance(rle['counts'], str) and not rle['counts'].isascii():
                return f'{place}: counts of segmentations are no compressed RLE.'
    return f'{owners[0]}: segmentations cannot be read.'


def _damage(counts: Union[str, bytes], height: int, width: int) -> str:
    """What is wrong with a string that ``decode`` has refused."""
    try:
        runs = kernels_numpy.run_lengths(_join([counts]))
    except ValueError:
        return 'counts of segmentations are not a compressed RLE string.'
    if min(runs, default=0) < 0:
        return 'counts of segmentations hold a run of negative length.'
    return f'counts of segmentations cover {sum(runs)} pixels, but size {height} x {width} has {height * width}.'


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
