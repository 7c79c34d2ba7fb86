"""Mask logits of all rows of all frames until the end of a video, kept small and exact.

Only the sign after two bilinear resizes matters, the first of which enlarges. No weight of them is negative: a pixel of
the result mixes two neighbours of the middle size in each direction, and these mix at most three cells of the
logits in each direction. So where all cells of the 3x3 blocks around have one sign, the result has it, whatever the
values; the values are needed only in cells whose 5x5 neighbourhood holds both signs (the band).
"""
import math
import os
import struct
import tempfile
import zlib
from typing import IO, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from mmvis.errors import of_user_path

_HEADER = struct.Struct('<II')                       # rows that are kept, bytes of the packed signs


def as_float32(logits: np.ndarray) -> np.ndarray:
    """Logits as float32; uint16 is bfloat16, which NumPy lacks, by its bits."""
    if logits.dtype == np.uint16:
        return (logits.astype(np.uint32) << 16).view(np.float32)
    return logits.astype(np.float32, copy=False)


def find_band(positive: np.ndarray) -> np.ndarray:
    """Cells whose 5x5 neighbourhood (within the map) holds both signs, bool [N, h, w] of bool [N, h, w]."""
    code = np.pad(np.uint8(2) - positive.view(np.uint8), ((0, 0), (2, 2), (2, 2)))      # 1 positive, 2 not, 0 outside
    for _ in range(2):                                # along the last axis, then, transposed, along the other
        pairs = code[..., :-1] | code[..., 1:]
        fours = pairs[..., :-2] | pairs[..., 2:]
        code = (fours[..., :-1] | code[..., 4:]).swapaxes(1, 2)
    return code == 3


class PackedRows(NamedTuple):
    """The rows of a frame that have a positive cell, as ``MaskStore`` keeps them.

    Attributes:
        rows: int32 [n], their numbers.
        counts: int32 [n], of how many cells the values are kept: those of the band, or all.
        signs: uint8 [n, ceil(h * w / 8)], the cells that are positive (``np.packbits``).
        values: [sum of the counts], of row after row, in the type of the logits.
        shape: (h, w).
    """
    rows: np.ndarray
    counts: np.ndarray
    signs: np.ndarray
    values: np.ndarray
    shape: tuple


def pack_rows(logits: np.ndarray) -> PackedRows:
    """Of mask logits [rows, h, w], float32, float16 or (bfloat16) uint16."""
    positive = as_float32(logits) > 0
    rows = np.flatnonzero(positive.any((1, 2)))
    positive, logits = positive[rows], logits[rows]
    band = find_band(positive)
    num_cells = math.prod(logits.shape[1:])
    whole = band.sum((1, 2)) * logits.itemsize + num_cells // 8 >= num_cells * logits.itemsize
    band[whole] = True
    signs = np.packbits(positive.reshape(len(rows), num_cells), axis=1)
    return PackedRows(rows.astype(np.int32), band.sum((1, 2), dtype=np.int32), signs, logits[band], logits.shape[1:])


class MaskStore:
    """Frames are added in order and read once, in order.

    A row of a frame costs nothing when no cell is positive; else its packed signs and the values of its band in the
    type in which they came, or, where that is not less, all values. What is kept goes to a temporary file without a
    name when it grows beyond ``limit`` bytes: memory is flat then, and the file is gone with the process.

    The file grows, a frame, by what the rows with a positive cell take: at most their logits, one bit a cell and 8
    bytes a row (noise), less than 0.4 times their logits for smooth masks of 96x160 (``test_bytes``), a few bytes if
    there are none. In memory a frame leaves one number, the length of its piece.

    Attributes:
        num_bytes: kept so far, in memory or in the file.
    """

    def __init__(self, limit: int = 256 << 20) -> None:
        self.limit = limit
        self.num_bytes = 0
        self._pieces: List[bytes] = []
        self._lengths: List[int] = []
        self._file: Optional[IO[bytes]] = None
        self._shape = self._dtype = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._lengths)

    def add(self, logits: np.ndarray) -> None:
        """One frame: mask logits [rows, h, w], float32, float16 or (bfloat16) uint16; h, w and type never change.

        Raises:
            InputFileError: the disk of the temporary folder is full.
        """
        self.add_packed(pack_rows(logits))

    def add_packed(self, packed: PackedRows) -> None:
        """``add`` of what ``pack_rows`` made of a frame, or a GPU (``models/layers/mask_packing.py``)."""
        self._shape, self._dtype = packed.shape, packed.values.dtype
        signs = zlib.compress(packed.signs.tobytes(), 1)
        self._write(b''.join([_HEADER.pack(len(packed.rows), len(signs)), packed.rows.tobytes(),
                              packed.counts.tobytes(), signs, packed.values.tobytes()]))

    def frames(self, rows: Sequence[int]) -> Iterator[Dict[int, np.ndarray]]:
        """For every frame, float32 [h, w] of those of the chosen rows that have a positive cell.

        The numbers are not those that were added, but lead to the same masks (see above).
        """
        wanted = set(rows)
        for piece in self._read():
            yield self._restore(piece, wanted)

    def close(self) -> None:
        """Let go of everything."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()

    def _restore(self, piece: bytes, wanted: set) -> Dict[int, np.ndarray]:
        num, num_signs = _HEADER.unpack_from(piece)
        rows = np.frombuffer(piece, np.int32, num, _HEADER.size)
        counts = np.frombuffer(piece, np.int32, num, _HEADER.size + 4 * num)
        place = _HEADER.size + 8 * num
        chosen = [i for i, row in enumerate(rows) if int(row) in wanted]
        if not chosen:
            return {}
        signs = np.frombuffer(zlib.decompress(piece[place:place + num_signs]), np.uint8).reshape(num, -1)[chosen]
        num_cells = math.prod(self._shape)
        positive = np.unpackbits(signs, axis=1, count=num_cells).view(bool).reshape(-1, *self._shape)
        band = find_band(positive)
        values = np.frombuffer(piece, self._dtype, offset=place + num_signs)
        ends = np.cumsum(counts)
        found = {}
        for i, sign, near in zip(chosen, positive, band):
            own = as_float32(values[ends[i] - counts[i]:ends[i]])
            restored = np.where(sign, np.float32(1), np.float32(-1))
            restored[near if counts[i] < num_cells else slice(None)] = own if counts[i] < num_cells \
                else own.reshape(self._shape)
            found[int(rows[i])] = restored
        return found

    def _write(self, piece: bytes) -> None:
        self._lengths.append(len(piece))
        self.num_bytes += len(piece)
        if self._file is None:
            self._pieces.append(piece)
            if self.num_bytes <= self.limit:
                return
        doing = ('has no room for the masks of this video, which are kept there until it ends (the variable TMPDIR '
                 'names another folder)')
        with of_user_path(tempfile.gettempdir(), doing):
            if self._file is None:
                self._file = tempfile.TemporaryFile()
                pieces, self._pieces = self._pieces, []
            else:
                pieces = [piece]
            for part in pieces:
                self._file.write(part)

    def _read(self) -> Iterator[bytes]:
        if self._file is None:
            while self._pieces:
                yield self._pieces.pop(0)
            return
        with of_user_path(tempfile.gettempdir(), 'has no room for the masks of this video'):
            self._file.flush()
        self._file.seek(0, os.SEEK_SET)
        for length in self._lengths:
            yield self._file.read(length)
        self.close()
