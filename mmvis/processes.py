"""Processes that work for another one end with it."""
import ctypes
import os
import signal
import sys

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
