"""The one way in which an output comes to its place: whole or not at all, and never over an input.

What is written goes to ``<target>.tmp`` beside the target and is renamed when it is complete, so a kill or a full disk
leaves the old file as it was. A link stays a link: what it points to is replaced. A target that is no regular file (a
pipe, ``/dev/stdout``) is written straight.
"""
import errno
import os
import re
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Iterable, Iterator, Optional, Tuple, Union

try:
    import fcntl
except ImportError:  # Windows: two processes that write one file are not noticed there
    fcntl = None

from mmvis.errors import InputError, InputFileError, of_user_path

PathLike = Union[str, os.PathLike]

#: Paths that stand for what a process has open: a rename would cut it off from its reader.
_OPEN_FILES = ('/dev/std', '/dev/fd/', '/proc/')
#: What stands behind the name of an output in the names of the files that a run makes beside it.
_BESIDE = re.compile(r'\.(tmp|part|aside|lock)\b')
_NO_FOLLOW = getattr(os, 'O_NOFOLLOW', 0)


def check_output(path: PathLike, inputs: Iterable[Optional[PathLike]] = ()) -> Path:
    """Refuse a path that an output cannot go to; call it before the work whose result it takes.

    The folder is made if it is missing. Nothing else is changed.

    Args:
        path: of the output.
        inputs: files that the run reads; None among them is passed over. A folder among them stands for itself, not
            for what is in it.

    Returns:
        The file that is really written, absolute: where a link points to.

    Raises:
        InputError: the path is an input of the run, also under another name or through links, or an input has the name
            of a file that is made beside the output (``<output>.tmp``).
        InputFileError: it is a folder, its folder cannot be made or written.
    """
    with of_user_path(path, 'cannot be written'):
        if _is_special(path):
            return Path(os.path.abspath(path))
        target = Path(os.path.realpath(path))
        _refuse_inputs(path, target, inputs)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, 'it is a folder, a file is needed')
        _try_folder(target.parent)
        temporary = target.with_name(f'{target.name}.tmp')
        if temporary.exists() and not temporary.is_file():
            raise FileExistsError(errno.EEXIST, f'{temporary} is in its way')
    return target


def check_output_folder(path: PathLike) -> None:
    """Make a folder if it is missing, and refuse one that nothing can be written into.

    Raises:
        InputFileError: it cannot be made or written.
    """
    with of_user_path(path, 'cannot be written'):
        _try_folder(Path(path))


def check_outputs(paths: Iterable[Optional[PathLike]], inputs: Iterable[Optional[PathLike]] = ()) -> None:
    """``check_output`` for all outputs of a run, None passed over; two of them that are one file are refused, too."""
    inputs, seen = list(inputs), {}  # the path as given, by what it leads to
    for path in paths:
        if path is None:
            continue
        target = check_output(path, inputs)
        identity = _identity(target)
        if identity in seen and not _is_special(target):
            other = seen[identity]
            same = 'twice' if os.fspath(path) == os.fspath(other) else f'under two names, {other} and {path}'
            raise InputError(f'{path} is given for two outputs ({same}): the second would destroy the first.')
        seen[identity] = path


def same_file(a: PathLike, b: PathLike) -> bool:
    """Whether two paths lead to one file, through whatever links; names alone are compared where there is none yet."""
    return _identity(a) == _identity(b)


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
        special = _is_special(temporary)
        if special:  # what the process has printed before stays where it is
            mode = mode.replace('w', 'a')
        with open(temporary, mode, encoding=None if 'b' in mode else 'utf-8') as file:
            yield file
            if durable and not special:
                file.flush()
                os.fsync(file.fileno())


def write_output(path: PathLike, content: Union[str, bytes], inputs: Iterable[Optional[PathLike]] = ()) -> None:
    """Write a whole file: text in UTF-8, or bytes; see ``open_output``."""
    with open_output(path, 'wb' if isinstance(content, bytes) else 'w', inputs) as file:
        file.write(content)


def _try_folder(folder: Path) -> None:
    """Make a folder, and a file in it: permission bits alone do not tell of /proc and of read-only disks."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        raise NotADirectoryError(errno.ENOTDIR, f'{there} is not a folder') from None
    except FileNotFoundError:
        raise OSError(errno.EACCES, f'no file can be made in {folder}') from None


def _refuse_inputs(path: PathLike, target: Path, inputs: Iterable[Optional[PathLike]]) -> None:
    identity = None
    for source in inputs:
        if source is None:
            continue
        identity = identity or _identity(target)
        if _identity(source) == identity:
            same = '' if os.fspath(path) == os.fspath(source) else f' ({source})'
            raise InputError(f'The output {path} is an input of this run{same}, which it would destroy: choose another '
                             'output.')
        name = os.path.basename(source)
        if name.startswith(target.name) and _BESIDE.match(name, len(target.name)) \
                and same_file(os.path.dirname(source) or '.', target.parent):
            raise InputError(f'On the way to the output {path} the input {source} would be written over: choose '
                             'another output.')


def _identity(path: PathLike) -> Tuple:
    """What two paths to one file have in common."""
    try:
        state = os.stat(path)
        return state.st_dev, state.st_ino
    except OSError:
        return (os.path.realpath(path),)


def _is_special(path: PathLike) -> bool:
    """Whether there is something that is written straight: no regular file, or one that a process has open."""
    if os.path.abspath(path).startswith(_OPEN_FILES):
        return os.path.exists(path) and not os.path.isdir(path)
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _hold(temporary: Path, path: PathLike) -> int:
    """Make the temporary file, empty, and lock it against a second writer; a killed run leaves no lock."""
    while True:
        if temporary.is_symlink():  # left by someone else: what it points to is none of ours
            temporary.unlink()
        holder = os.open(temporary, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o666)
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
