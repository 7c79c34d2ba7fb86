"""The one way in which an output comes to its place: whole or not at all, and never over an input.

What is written goes to ``<target>.tmp`` beside the target and is renamed when it is complete, so a kill or a full disk
leaves the old file as it was. A link stays a link: what it points to is replaced. A target that is no regular file (a
pipe, ``/dev/stdout``) is written straight.
"""
import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Iterable, Iterator, Optional, Union

try:
    import fcntl
except ImportError:  # Windows: two processes that write one file are not noticed there
    fcntl = None

from mmvis.errors import InputError, InputFileError, of_user_path

PathLike = Union[str, os.PathLike]


def check_output(path: PathLike, inputs: Iterable[Optional[PathLike]] = ()) -> Path:
    """Refuse a path that an output cannot go to; call it before the work whose result it takes.

    The folder is made if it is missing. Nothing else is changed.

    Args:
        path: of the output.
        inputs: files that the run reads; None among them is passed over. A folder among them stands for itself, not
            for what is in it.

    Returns:
        The file that is really written: where a link points to.

    Raises:
        InputError: the path is an input of the run, also under another name or through links.
        InputFileError: it is a folder, its folder cannot be made or written.
    """
    for source in inputs:
        if source is not None and same_file(path, source):
            same = '' if os.fspath(path) == os.fspath(source) else f' ({source})'
            raise InputError(f'The output {path} is an input of this run{same}, which it would destroy: choose another '
                             'output.')
    with of_user_path(path, 'cannot be written'):
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, 'it is a folder, a file is needed')
        if not _is_special(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(target.parent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, f'no permission to write into {target.parent}')
    return target


def same_file(a: PathLike, b: PathLike) -> bool:
    """Whether two paths lead to one file, through whatever links; names alone are compared where there is none yet."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return os.path.realpath(a) == os.path.realpath(b)


@contextmanager
def replacing(path: PathLike, inputs: Iterable[Optional[PathLike]] = (), suffix: str = '.tmp') -> Iterator[Path]:
    """A temporary path for a library that wants a name; it takes the place of ``path`` when the block ends well.

    Args:
        path, inputs: see ``check_output``.
        suffix: of the temporary name, for libraries that go by it: '.tmp.mp4'.

    Raises:
        InputError, InputFileError: see ``check_output``; another process writes the same file; the disk is full.
    """
    target = check_output(path, inputs)
    temporary = target if _is_special(target) else target.with_name(target.name + suffix)
    try:
        if temporary == target:
            yield target
            return
        holder = _hold(temporary, path)
        try:
            yield temporary
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(holder)
    except InputError:
        raise
    except OSError as error:
        if error.filename not in (None, str(temporary)):  # of another file that the block works with
            raise
        raise InputFileError(f'{path} cannot be written: {error.strerror or error}.') from error


@contextmanager
def open_output(path: PathLike, mode: str = 'w', inputs: Iterable[Optional[PathLike]] = (),
                durable: bool = False) -> Iterator[IO]:
    """An output open for writing, text in UTF-8; it takes the place of ``path`` when the block ends well.

    Args:
        path, inputs: see ``check_output``.
        mode: 'w' or 'wb'.
        durable: wait until the data are on the disk (checkpoints).

    Raises:
        InputError, InputFileError: see ``replacing``.
    """
    with replacing(path, inputs) as temporary:
        with open(temporary, mode, encoding=None if 'b' in mode else 'utf-8') as file:
            yield file
            if durable and not _is_special(temporary):
                file.flush()
                os.fsync(file.fileno())


def write_output(path: PathLike, content: Union[str, bytes], inputs: Iterable[Optional[PathLike]] = ()) -> None:
    """Write a whole file: text in UTF-8, or bytes; see ``open_output``."""
    with open_output(path, 'wb' if isinstance(content, bytes) else 'w', inputs) as file:
        file.write(content)


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _hold(temporary: Path, path: PathLike) -> int:
    """Make the temporary file, empty, and lock it against a second writer; a killed run leaves no lock."""
    while True:
        holder = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(holder)
            raise InputFileError(f'{path} is being written by another process: wait for its end, or choose another '
                                 'output.') from None
        except OSError:  # a file system without locks
            pass
        # the other writer may have renamed the file between the two calls: then this is its output, not ours to empty
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(holder), os.stat(temporary)):
                os.ftruncate(holder, 0)
                return holder
        os.close(holder)
