"""One training at a time in a work directory."""
import os
import socket
from pathlib import Path
from typing import IO, Optional

try:
    import fcntl
except ImportError:  # Windows: two trainings in one work directory are not noticed there
    fcntl = None

from mmvis.errors import InputError, of_user_path


def hold_work_dir(work_dir: str) -> Optional[IO[str]]:
    """Take the lock of a work directory; it is held while the file that is returned lives, and dies with this process.

    It is a lock of POSIX, which forked workers of the data loader do not inherit and which network disks know.

    Raises:
        InputError: another process holds it.
        InputFileError: the directory cannot be written.
    """
    if fcntl is None:
        return None
    path = Path(work_dir) / 'training.lock'
    with of_user_path(path, 'cannot be written'):
        file = open(path, 'a+', encoding='utf-8')
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise InputError(f'Another training ({file.read().strip()}) is running in {work_dir}, and both would write the same '
                         'checkpoints: wait for its end, or choose another --work-dir.') from None
    except OSError:  # a file system without locks
        return None
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    return file
