"""Looking into compressed RLE strings without pycocotools, which runs for ever on one that does not fill its frame.

A string holds the lengths of background and foreground runs in turn, column by column: five bits a character
(code - 48), bit 5 says that more follow, the sign bit of the last one extends; from the fourth run on the difference to
the run two before is stored.
"""
from typing import NamedTuple, Optional, Sequence

import numpy as np

from .rle_decode import decode_counts

#: No run of a frame of less than 2**34 pixels takes more characters.
_LONGEST_RUN = 7
#: From so many characters on the compiled decoder is worth its loading time.
_MANY = 1 << 20


class StringReport(NamedTuple):
    """What N strings hold. Where ``is_rle`` is false the other numbers mean nothing.

    Attributes:
        is_rle: bool [N], the string can be read at all and no run has a negative length.
        covered: int64 [N], pixels of all runs: must be those of the frame.
        area: int64 [N], pixels of the foreground.
    """
    is_rle: np.ndarray
    covered: np.ndarray
    area: np.ndarray


def areas_of_good(strings: Sequence[str], pixels: np.ndarray) -> Optional[np.ndarray]:
    """Foreground pixels, int64 [N], if every string is an RLE that fills its frame, else None.

    Args:
        pixels: int64 [N], of the frames.
    """
    if sum(map(len, strings)) >= _MANY:
        found = decode_counts(strings, pixels)
        return None if isinstance(found, int) else found.areas
    report = measure_strings(strings)
    return report.area if report.is_rle.all() and (report.covered == pixels).all() else None


def measure_strings(strings: Sequence[str]) -> StringReport:
    """Measure compressed RLE strings, all at once."""
    num = len(strings)
    lengths = np.fromiter(map(len, strings), np.int64, num)
    text = _bytes(strings)
    owner = np.repeat(np.arange(num), lengths)
    is_rle = np.bincount(owner, weights=text > 63, minlength=num) == 0
    ends = np.cumsum(lengths)
    filled = lengths > 0
    is_rle[filled] &= (text[ends[filled] - 1] & 32) == 0
    text[~is_rle[owner]] = 0  # so that a broken string does not reach into the next one

    last = np.flatnonzero((text & 32) == 0)
    owner = owner[last]
    starts = np.concatenate([[0], last[:-1] + 1]).astype(np.int64)
    is_rle[owner[last - starts >= _LONGEST_RUN]] = False
    runs = _run_values(text, starts, last)
    num_runs = np.bincount(owner, minlength=num)
    index = np.arange(len(runs)) - np.repeat(np.cumsum(num_runs) - num_runs, num_runs)
    odd, later_even = (index & 1) == 1, ((index & 1) == 0) & (index >= 2)
    runs[odd] = _cumulate(runs[odd], num_runs // 2)
    runs[later_even] = _cumulate(runs[later_even], np.maximum(num_runs - 1, 0) // 2)
    is_rle[owner[runs < 0]] = False
    return StringReport(is_rle, _sums(runs, num_runs), _sums(runs[odd], num_runs // 2))


def _bytes(strings: Sequence[str]) -> np.ndarray:
    """The characters as uint8, code - 48; above 63 where the character cannot stand in an RLE."""
    try:
        data = ''.join(strings).encode('ascii')
    except UnicodeEncodeError:
        data = b''.join(text.encode('ascii') if text.isascii() else b' ' * len(text) for text in strings)
    return np.frombuffer(data, np.uint8) - np.uint8(48)


def _run_values(text: np.ndarray, starts: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The stored numbers, int64, of the characters ``starts[i] .. last[i]``."""
    if not len(last):
        return np.zeros(0, np.int64)
    size = last - starts + 1
    shift = 5 * np.minimum(np.arange(len(text)) - np.repeat(starts, size), _LONGEST_RUN)
    values = np.add.reduceat((text & 31).astype(np.int64) << shift, starts)
    negative = (text[last] & 16) != 0
    values[negative] -= np.int64(1) << (5 * np.minimum(size[negative], _LONGEST_RUN))
    return values


def _cumulate(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Cumulative sums that begin anew with every piece of the given lengths."""
    total = np.concatenate([[0], np.cumsum(values)])
    return total[1:] - np.repeat(total[np.cumsum(lengths) - lengths], lengths)


def _sums(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(values)])
    ends = np.cumsum(lengths)
    return total[ends] - total[ends - lengths]
