"""Reading a JSON file whole."""
import gc
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Union

from mmvis.errors import InputError, InputFileError, of_user_path
from mmvis.structures.input_file import check_regular_file

from .foreign import name_bytes, name_folder

PathLike = Union[str, os.PathLike]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of small objects without a cycle among them: the collector would only walk them over and over."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_bytes(path: PathLike) -> bytes:
    """The bytes of a file.

    Raises:
        InputMissingError: there is no such file.
        InputFileError: it cannot be read, or is no regular file.
    """
    if (sentence := name_folder(path)) is not None:
        raise InputFileError(sentence)
    check_regular_file(path, 'a JSON file')
    with of_user_path(path):
        return Path(path).read_bytes()


def parse_json(data: bytes, path: PathLike) -> Any:
    """The contents of a JSON file, in UTF-8 with or without a byte order mark.

    Raises:
        InputError: it is not JSON, or nested so deeply that nothing can read it.
    """
    try:
        with no_garbage_collection():
            return json.loads(data)
    except ValueError as error:
        if (sentence := name_bytes(data, path)) is not None:
            raise InputError(sentence) from None
        raise InputError(f'{path}: not a JSON file ({str(error).split(";")[0]}).') from None
    except RecursionError:
        raise InputError(f'{path}: not a JSON file that can be read: it is nested too deeply.') from None


def read_json(path: PathLike) -> Any:
    """The contents of a JSON file; see ``read_bytes`` and ``parse_json``."""
    return parse_json(read_bytes(path), path)
