"""The worker processes of data loaders: they end with the process that they load for, and their end is told."""
import errno
import multiprocessing.queues
import os
import re
import sys
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, Optional

from torch.utils.data import DataLoader

from mmvis.errors import InputError
from mmvis.processes import end_with_parent

try:
    import resource
except ImportError:  # Windows
    resource = None

#: Exit code of a worker whose data did not fit into the shared memory.
_NO_SHARED_MEMORY = 98
#: Exit code of a worker that may open no more files.
_NO_OPEN_FILE = 97
_SHARED_MEMORY = '/dev/shm'
#: More than any data loader has open; some containers allow a thousand million, which programs that close all would take
#: minutes for.
_MANY_FILES = 1 << 16


def guard_workers(dataloader: DataLoader) -> DataLoader:
    """Let the workers of a data loader end with this process, however it ends, and when they cannot hand over data.

    Every tensor that waits is an open file of both: this process, and the workers it starts, may open as many as the
    system lets it.
    """
    allow_open_files()
    dataloader.worker_init_fn = partial(_begin, dataloader.worker_init_fn, os.getpid())
    return dataloader


def allow_open_files() -> None:
    """Raise the soft limit of open files, often 1024, to the hard one, at most ``_MANY_FILES``."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _begin(init: Optional[Callable[[int], Any]], parent: int, worker: int) -> None:
    end_with_parent(parent)
    # multiprocessing itself only prints what the thread that hands over has met, and the process that waits does so for ever
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end)
    if init is not None:
        init(worker)


def _end(error: BaseException, item: Any) -> None:
    print(f'A worker of a data loader cannot hand over its data: {error}', file=sys.stderr, flush=True)
    os._exit(_NO_OPEN_FILE if getattr(error, 'errno', None) == errno.EMFILE or 'Too many open files' in str(error)
             else _NO_SHARED_MEMORY)


@contextmanager
def worker_ends_told() -> Iterator[None]:
    """Tell in a sentence that workers of a data loader ended for lack of memory; any other end of theirs is a bug.

    Raises:
        InputError: the shared memory is too small, too many files are open, or the system killed a worker.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise InputError(reason) from error


def _reason(error: Exception) -> Optional[str]:
    text = f'{error} {error.__cause__ or error.__context__}'  # torch says how it ended in one of the two
    is_worker = text.startswith('DataLoader worker')
    if (is_worker and (f'exit code {_NO_SHARED_MEMORY}' in text or 'Bus error' in text)) or _is_full(error):
        return (f'The data loader has too little shared memory ({_SHARED_MEMORY}{_free()}): give the container more '
                '(docker run --shm-size=8g), or load without workers: --cfg-options train_dataloader.num_workers=0 (or '
                'val_, test_dataloader).')
    if f'exit code {_NO_OPEN_FILE}' in text or re.search(r'Too many open files|received \d+ items of ancdata', text):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else 'too few'
        return (f'The data loader ran out of open files, of which a process may have {limit}: raise the limit (ulimit -n, '
                'docker run --ulimit nofile=65536), or take fewer workers or a smaller prefetch_factor (--cfg-options '
                'train_dataloader.num_workers=1, or val_, test_dataloader).')
    if is_worker and 'signal: Killed' in text:
        return ('A worker of the data loader was killed, as the system does when memory is full: take fewer workers '
                '(--cfg-options train_dataloader.num_workers=1, or val_, test_dataloader) or smaller batches.')
    return None


def _is_full(error: Exception) -> bool:
    """Whether a semaphore of the data loader found no room; its error names no file."""
    return isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None and _bytes_free() < 1 << 20


def _bytes_free() -> float:
    try:
        state = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return float('inf')
    return state.f_bavail * state.f_frsize


def _free() -> str:
    free = _bytes_free()
    return '' if free == float('inf') else f', {free / 1e6:.0f} MB free'
