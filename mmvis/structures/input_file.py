"""What an input must be before it is opened."""
import os
import stat
from typing import Union

from mmvis.errors import InputFileError, InputMissingError, of_user_path


def check_regular_file(path: Union[str, os.PathLike], needed: str) -> None:
    """Refuse what is no regular file: a pipe would be waited for, and a device read, without end.

    Args:
        path: given by the user.
        needed: what it should be, for the sentence: 'a results file'.

    Raises:
        InputMissingError: there is nothing.
        InputFileError: a folder, a pipe, a device, or it cannot be looked at.
    """
    try:
        with of_user_path(path):
            status = os.stat(path)
    except InputMissingError:
        raise InputMissingError(f'{path}: there is no such file.') from None
    if not stat.S_ISREG(status.st_mode):
        kind = 'a folder' if stat.S_ISDIR(status.st_mode) else 'no regular file'
        raise InputFileError(f'{path}: {needed} is needed, this is {kind}.')
