"""Processes that work for another one end with it; how many cores this one may use.

Run as a script it prints that number, without importing anything else: for shell scripts.
"""
import ctypes
import math
import os
import signal
import sys
from pathlib import Path
from typing import Iterator, Tuple

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """From now on this process gets a signal when the process that started it has ended, in whatever way.

    Without it a worker that waits for work waits for ever when its parent is killed: nobody closes the pipe. Linux only;
    elsewhere it does nothing.

    Args:
        parent: process id of the one that started this process; it may have ended already.
        number: the signal.
    """
    if not sys.platform.startswith('linux'):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def begin_worker(parent: int) -> None:
    """What a worker of a pool does first: it ends with its parent, and leaves Ctrl-C to it."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def usable_cores(root: str = '/') -> int:
    """Cores that this process may keep busy: those of its affinity, at most the quota of its control groups (of a
    container: ``docker run --cpus``), rounded up.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    quotas = [quota / period for quota, period in _quotas(Path(root)) if quota > 0 and period > 0]
    return max(1, min(cores, *map(math.ceil, quotas))) if quotas else cores


def _quotas(root: Path) -> Iterator[Tuple[int, int]]:
    """Microseconds of processor time and the period they are for, of each control group that this process is in."""
    for group in _groups(root):
        for names in (['cpu.max'], ['cpu.cfs_quota_us', 'cpu.cfs_period_us']):  # versions 2 and 1
            try:
                numbers = ' '.join((group / name).read_text() for name in names).split()
            except OSError:
                continue
            if len(numbers) == 2 and numbers[1].isdigit() and numbers[0].isdigit():  # else 'max' or -1: no quota
                yield int(numbers[0]), int(numbers[1])


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the control groups for processor time, from this process's up to the root of each hierarchy.

    In a container the path is often that of the host, which is not there, and the root is the container's own.
    """
    try:
        lines = (root / 'proc/self/cgroup').read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(':')
        controllers, _, path = rest.partition(':')
        if number != '0' and 'cpu' not in controllers.split(','):
            continue
        top = root / 'sys/fs/cgroup' / ('' if number == '0' else controllers)
        group = Path(path.strip('/'))
        for folder in (group, *group.parents) if group.parts else (group,):
            yield top / folder


if __name__ == '__main__':
    print(usable_cores())
