"""Arrays in one file on disk, mapped into memory: every process of a machine shares the same pages.

The file is a header in JSON and raw arrays, so nothing in it is ever executed; a file that is cut short, damaged,
foreign or out of date is as good as none.
"""
import json
import os
import tempfile
import time
import zlib
from contextlib import suppress
from typing import Any, Dict, Optional, Tuple

import numpy as np

_MAGIC = b'MMVISARR'
_ALIGN = 64
#: Files that nobody has opened for so long are removed when a new one is written.
_KEPT_SECONDS = 60 * 24 * 3600

Arrays = Dict[str, np.ndarray]


def cache_folder() -> Optional[str]:
    """A folder of this user alone: under ``XDG_CACHE_HOME`` (or ``~/.cache``), else in the temporary folder.

    ``None`` if neither can be written.
    """
    user = getattr(os, 'getuid', lambda: 0)()
    home = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    for base in (os.path.join(home, 'mmvis'), os.path.join(tempfile.gettempdir(), f'mmvis-{user}')):
        folder = os.path.join(base, 'annotations')
        try:
            os.makedirs(base, mode=0o700, exist_ok=True)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if _is_ours(folder):
            return folder
    return None


def save_arrays(path: str, key: str, meta: Dict[str, Any], arrays: Arrays) -> None:
    """Write ``arrays`` and JSON-able ``meta`` under ``key``, unless a whole file of that key is there.

    The file is written under a temporary name and comes to its own in one step that replaces nothing: of several
    processes, on one machine or on many that share a disk, the first one's file stays, and nobody's mapped file is
    taken away.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    table, offset = {}, 0
    for name, array in arrays.items():
        table[name] = [array.dtype.str, list(array.shape), offset]
        offset += _padded(array.nbytes)
    header = json.dumps(dict(key=key, meta=meta, arrays=table)).encode()
    header += b' ' * (-(len(_MAGIC) + 16 + len(header)) % _ALIGN)
    file = tempfile.NamedTemporaryFile(dir=os.path.dirname(path), suffix='.tmp', delete=False)
    try:
        with file:
            file.write(_MAGIC + len(header).to_bytes(8, 'little') + offset.to_bytes(8, 'little') + header)
            checksum = zlib.crc32(header)
            for array in arrays.values():
                block = np.ascontiguousarray(array).tobytes()
                block += bytes(_padded(len(block)) - len(block))
                checksum = zlib.crc32(block, checksum)
                file.write(block)
            file.write(checksum.to_bytes(4, 'little'))
        _publish(file.name, path, key)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(file.name)
    _remove_unused(os.path.dirname(path))


def _publish(temporary: str, path: str, key: str) -> None:
    """Give a finished file its name, unless there is a whole one."""
    if os.path.lexists(path) and load_arrays(path, key) is None:
        os.unlink(path)  # damaged: nobody can have mapped it
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not os.path.lexists(path):
            os.rename(temporary, path)


def _remove_unused(folder: str) -> None:
    """Remove what nobody has opened for a long time, and what killed writers have left."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > (_KEPT_SECONDS if not entry.name.endswith('.tmp') else 24 * 3600):
                    os.unlink(entry.path)


def load_arrays(path: str, key: str) -> Optional[Tuple[Dict[str, Any], Arrays]]:
    """``meta`` and read-only, memory-mapped arrays; ``None`` unless the file is whole, ours and saved under ``key``."""
    try:
        if not _is_ours(path):
            return None
        data = np.memmap(path, np.uint8, mode='r')
    except (OSError, ValueError):
        return None
    start = len(_MAGIC) + 16
    if len(data) < start or data[:len(_MAGIC)].tobytes() != _MAGIC:
        return None
    header_size = int.from_bytes(data[start - 16:start - 8].tobytes(), 'little')
    body_size = int.from_bytes(data[start - 8:start].tobytes(), 'little')
    end = start + header_size + body_size
    if len(data) != end + 4 or zlib.crc32(data[start:end]) != int.from_bytes(data[end:].tobytes(), 'little'):
        return None
    header = json.loads(data[start:start + header_size].tobytes())
    if header['key'] != key:
        return None
    with suppress(OSError):
        os.utime(path)  # in use: see _remove_unused
    body = data[start + header_size:end].view(np.ndarray)
    arrays = {}
    for name, (dtype, shape, offset) in header['arrays'].items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays[name] = body[offset:offset + size].view(dtype).reshape(shape)
    return header['meta'], arrays


def _padded(size: int) -> int:
    return size + -size % _ALIGN


def _is_ours(path: str) -> bool:
    return not hasattr(os, 'getuid') or os.stat(path).st_uid == os.getuid()
