"""Annotation files as arrays that are kept in the user's cache folder between runs.

A copy is named after the contents of the annotation file (their SHA-256), not after its name or time, so it can never be
out of date; it is written once and never replaced, so any number of processes and machines may have it mapped.
"""
import hashlib
import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from mmvis.structures.array_cache import Arrays, cache_folder, load_arrays, save_arrays

from .json_file import PathLike, parse_json, read_bytes

#: A smaller file is read anew in less time than a copy costs.
MIN_CACHED_BYTES = 4 << 20

Note = Callable[[str], None]


class Kept(NamedTuple):
    """``meta`` and arrays of an annotation file; ``key`` finds the kept copy again, '' if there is none."""
    meta: Dict[str, Any]
    arrays: Arrays
    key: str


def read_kept(path: PathLike, kind: str, build: Callable[[Any], Tuple[Dict[str, Any], Arrays]], note: Note) -> Kept:
    """What ``build`` makes of the contents of a JSON file, from the kept copy if there is one.

    Args:
        kind: what is made and in which version; part of the name of the copy.
        build: from parsed JSON to ``meta`` (which must be JSON itself) and arrays.
        note: takes a sentence on what is going on.

    Raises:
        InputError: the file cannot be read, is no JSON, or what ``build`` raises.
    """
    data = read_bytes(path)
    folder = cache_folder() if len(data) >= MIN_CACHED_BYTES else None
    if folder is None:
        return Kept(*build(parse_json(data, path)), '')
    key = f'{kind}-{hashlib.sha256(data).hexdigest()}'
    found = open_kept(key)
    if found is None:
        note(f'reading {path} ({len(data) >> 20} MB) for the first time; its arrays are kept in {folder}')
        made = build(parse_json(data, path))
        try:
            save_arrays(os.path.join(folder, key), key, *made)
            found = open_kept(key)
        except OSError as error:
            note(f'the arrays of {path} could not be kept: {error}')
        found = found or Kept(*made, '')
    return found


def open_kept(key: str) -> Optional[Kept]:
    """A copy by its key; None if it is not there or not whole."""
    folder = cache_folder()
    found = folder and load_arrays(os.path.join(folder, key), key)
    return Kept(*found, key) if found else None
