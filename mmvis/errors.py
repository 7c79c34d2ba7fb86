"""The errors of input: what the user gave is wrong. They alone cost one sentence; all else is a bug and keeps its
traceback.

The sentence names the file, the field and the value. Imports nothing of the project, so that every part and every tool
can raise them.
"""
import reprlib
from contextlib import contextmanager
from typing import Any, Iterator, Optional


class InputError(ValueError):
    """A file, a value or a setting that the user gave is wrong; the message is one sentence that says which."""


class InputFileError(InputError, OSError):
    """A path that the user gave cannot be opened, read or written; the message names it and the reason."""


class InputMissingError(InputFileError, FileNotFoundError):
    """There is nothing at a path that the user gave."""


class LostProcess(InputError):
    """Another process of the job is gone or hangs. What that one has said, if anything, is the cause."""


@contextmanager
def of_user_path(path, doing: Optional[str] = None) -> Iterator[None]:
    """Turn an OSError of the block, which works with a path that the user gave, into the error of input.

    Args:
        path: of the user, told in the sentence.
        doing: what was tried, such as 'cannot be written'; by default 'cannot be opened'.

    Raises:
        InputMissingError: there is nothing at the path.
        InputFileError: every other OSError: no permission, a full disk, a folder in place of a file.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        kind = InputMissingError if isinstance(error, FileNotFoundError) else InputFileError
        raise kind(f'{path} {doing or "cannot be opened"}: {error.strerror or error}.') from error


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80
_REPR.maxlong = 40


def shown(value: Any) -> str:
    """A value of a file or a setting as a sentence shows it: in one line, short however large it is or deeply nested,
    with what a terminal would obey or cannot write escaped.
    """
    return _REPR.repr(value).encode('utf-8', 'backslashreplace').decode()
