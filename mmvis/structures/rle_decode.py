"""Decoding many run-length masks at once, every number checked: nothing unchecked goes to pycocotools, which hangs on a
mask that does not fill its frame or gives memory that nobody has written.
"""
from array import array
from types import ModuleType
from typing import List, NamedTuple, Sequence, Tuple, Union

import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import shown

from . import rle_kernels_numpy
from .compiled import choose_kernels

#: A compressed string, or run lengths, background first (a list, or what ``pack_runs`` makes of it).
Counts = Union[str, bytes, List[int], np.ndarray]
#: Pixel numbers of a frame must fit into 32 bits.
LONGEST_SIDE = 65535
#: Characters or runs that are decoded at once; the temporary arrays take some thirty times as much memory.
_BATCH = 4 << 20


class Spans(NamedTuple):
    """The foreground of N masks.

    Attributes:
        areas: int64 [N], pixels.
        starts: int64 [N + 1], the spans of mask n are starts[n] : starts[n + 1].
        spans: uint32 [S, 2], start and end, by column-major pixel number.
    """
    areas: np.ndarray
    starts: np.ndarray
    spans: np.ndarray

    def take(self, numbers: np.ndarray) -> 'Spans':
        """The masks of these numbers, int64 [N], in this order; one may come several times."""
        first = self.starts[numbers]
        lengths = self.starts[numbers + 1] - first
        starts = np.concatenate([[0], np.cumsum(lengths)])
        index = np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)
        return Spans(self.areas[numbers], starts, self.spans[index])


def rle_kernels() -> ModuleType:
    """The decoder: compiled where numba is installed, else in NumPy, with the same results."""
    return choose_kernels(rle_kernels_numpy, 'mmvis.structures.rle_kernels_numba')


def decode_counts(counts: Sequence[Counts], pixels: np.ndarray, areas_only: bool = False) -> Union[Spans, int]:
    """Decode masks in any of their spellings.

    Args:
        counts: N strings or lists of run lengths.
        pixels: int64 [N], of their frames, at most 2^32 - 1.
        areas_only: keep the areas alone, which takes less memory; the spans of every mask are empty then.

    Returns:
        Their foreground; or the number of the first that is no mask or does not fill its frame exactly.
    """
    parts: List[Spans] = []
    for first, last in _batches(counts):
        found = _decode_batch(counts[first:last], pixels[first:last], areas_only)
        if isinstance(found, int):
            return first + found
        parts.append(found if not areas_only else
                     Spans(found.areas, np.zeros_like(found.starts), np.zeros((0, 2), np.uint32)))
    if len(parts) == 1:
        return parts[0]
    base = np.cumsum([0] + [len(part.spans) for part in parts])
    return Spans(np.concatenate([np.zeros(0, np.int64)] + [part.areas for part in parts]),
                 np.concatenate([np.zeros(1, np.int64)] + [part.starts[1:] + start for part, start in zip(parts, base)]),
                 np.concatenate([np.zeros((0, 2), np.uint32)] + [part.spans for part in parts]))


def pack_runs(runs: List[int]) -> Union[np.ndarray, List[int]]:
    """Run lengths as uint32 [R]; the list itself where something in it can be none."""
    packed = array('I')
    try:
        packed.fromlist(runs)
    except (TypeError, OverflowError):
        return runs
    found = np.frombuffer(packed, np.uint32) if runs else np.zeros(0, np.uint32)
    # An array takes true and false for 1 and 0.
    return runs if found.min(initial=2) <= 1 and bool in set(map(type, runs)) else found


def compress_runs(runs: Union[np.ndarray, List[int]], height: int, width: int) -> bytes:
    """The compressed string of run lengths that ``decode_counts`` has taken."""
    return coco_mask.frPyObjects({'size': [height, width], 'counts': runs}, height, width)['counts']


def counts_string(counts: Counts, height: int, width: int) -> bytes:
    """Counts that have been found good, in whatever form, as those of a compressed RLE."""
    if isinstance(counts, np.ndarray):
        return compress_runs(counts, height, width)
    return counts if isinstance(counts, bytes) else counts.encode('ascii')


def describe_damage(counts: Counts, height: int, width: int) -> str:
    """What is wrong with counts that ``decode_counts`` has refused: the end of a sentence whose subject they are."""
    if isinstance(counts, np.ndarray):
        counts = counts.tolist()
    if isinstance(counts, list):
        wrong = [run for run in counts if type(run) is not int]
        if wrong:
            return f'hold {shown(wrong[0])}, not a whole number.'
        runs = counts
    else:
        try:
            runs = rle_kernels_numpy.run_lengths(_as_bytes(counts))
        except ValueError:
            return 'are not a compressed RLE string.'
    if min(runs, default=0) < 0:
        return 'hold a run of negative length.'
    return f'cover {shown(sum(runs))} pixels, but size {height} x {width} has {height * width}.'


def _batches(counts: Sequence[Counts]) -> List[Tuple[int, int]]:
    ends = np.cumsum(np.fromiter(map(len, counts), np.int64, len(counts)))
    cuts = np.searchsorted(ends, np.arange(_BATCH, ends[-1] if len(ends) else 0, _BATCH)) + 1
    edges = [0, *np.unique(cuts[cuts < len(counts)]).tolist(), len(counts)]
    return list(zip(edges[:-1], edges[1:]))


def _decode_batch(counts: Sequence[Counts], pixels: np.ndarray, areas_only: bool) -> Union[Spans, int]:
    is_text = np.fromiter((isinstance(one, (str, bytes)) for one in counts), bool, len(counts))
    if is_text.all():
        return _decode_strings(counts, pixels)
    if not is_text.any():
        return _decode_runs(counts, pixels, areas_only)
    which = [np.flatnonzero(is_text), np.flatnonzero(~is_text)]
    parts = [decode([counts[i] for i in own], pixels[own])
             for decode, own in zip((_decode_strings, _decode_runs), which)]
    bad = [int(own[part]) for own, part in zip(which, parts) if isinstance(part, int)]
    return min(bad) if bad else _interleave(parts, np.argsort(np.concatenate(which)))


def _decode_strings(counts: Sequence[Union[str, bytes]], pixels: np.ndarray) -> Union[Spans, int]:
    try:
        text = ''.join(counts).encode('ascii')
    except (TypeError, UnicodeEncodeError):
        counts = [_as_bytes(one) for one in counts]
        text = b''.join(counts)
    ends = np.cumsum(np.fromiter(map(len, counts), np.int64, len(counts)))
    found = _empty(len(counts), (len(text) + len(counts)) // 2 + 1)
    bad = rle_kernels().decode(np.frombuffer(text, np.uint8), ends, pixels, found.spans, found.starts, found.areas)
    return found._replace(spans=found.spans[:found.starts[-1]]) if bad < 0 else int(bad)


def _as_bytes(counts: Union[str, bytes]) -> bytes:
    """ASCII; a text that is none becomes one that no decoder takes."""
    if isinstance(counts, bytes):
        return counts
    return counts.encode('ascii') if counts.isascii() else b' ' * len(counts)


def _decode_runs(counts: Sequence[Union[np.ndarray, List[int]]], pixels: np.ndarray,
                 areas_only: bool = False) -> Union[Spans, int]:
    packed = [pack_runs(one) if isinstance(one, list) else one for one in counts]
    unfit = [number for number, one in enumerate(packed) if isinstance(one, list)]
    packed = [np.zeros(0, np.uint32) if isinstance(one, list) else one for one in packed]
    pairs = (np.fromiter(map(len, packed), np.int64, len(packed)) + 1) // 2
    first = np.cumsum(pairs) - pairs
    # Every mask starts with the background at an even place.
    filling = np.zeros(1, np.uint32)
    runs = np.concatenate([filling[:0]] + [part for one in packed for part in (one, filling[:len(one) & 1])])
    areas = _sums(runs[1::2], first, pairs)
    filled = areas + _sums(runs[::2], first, pairs)
    bad = np.concatenate([np.flatnonzero(filled != pixels), unfit])
    if len(bad):
        return int(bad.min())
    if areas_only:
        return _empty(len(counts), 0)._replace(areas=areas)
    end = np.cumsum(runs, dtype=np.int64)[1::2] - np.repeat(np.cumsum(filled) - filled, pairs)
    is_foreground = runs[1::2] > 0
    end, length = end[is_foreground], runs[1::2][is_foreground]
    spans = np.empty((len(end), 2), np.uint32)
    spans[:, 0], spans[:, 1] = end - length, end
    before = np.concatenate([[0], np.cumsum(is_foreground)])
    return Spans(areas, before[np.concatenate([first, [len(is_foreground)]])], spans)


def _sums(values: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sums of pieces, int64 [N]; some may be empty."""
    out = np.zeros(len(first), np.int64)
    if lengths.any():
        out[lengths > 0] = np.add.reduceat(values, first[lengths > 0], dtype=np.int64)
    return out


def _empty(num_masks: int, num_spans: int) -> Spans:
    return Spans(np.zeros(num_masks, np.int64), np.zeros(num_masks + 1, np.int64), np.empty((num_spans, 2), np.uint32))


def _interleave(parts: Sequence[Spans], order: np.ndarray) -> Spans:
    """The masks of all parts, one after another, in another order."""
    areas, spans = (np.concatenate([getattr(part, name) for part in parts]) for name in ('areas', 'spans'))
    lengths = np.concatenate([np.diff(part.starts) for part in parts])
    return Spans(areas, np.concatenate([[0], np.cumsum(lengths)]), spans).take(order)
