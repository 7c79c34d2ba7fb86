"""What the processes of a job do in the tests of launching: imports little, as every process imports it anew."""
import os
import signal
import sys
import time
from pathlib import Path

from mmvis.errors import InputError


def write_pid(folder):
    Path(folder, os.environ['RANK']).write_text(str(os.getpid()))


def wait_for_ever(folder):
    write_pid(folder)
    time.sleep(600)


def lose_one(folder):
    """Rank 1 is killed, rank 0 waits for it."""
    write_pid(folder)
    if os.environ['RANK'] == '1':
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def fail(folder, sentence):
    """Rank 1 fails; rank 0 only notices that it is gone."""
    if os.environ['RANK'] == '1':
        raise (InputError if sentence else KeyError)('what happened')
    time.sleep(1)
    raise RuntimeError('Connection closed by peer')


if __name__ == '__main__':
    from mmvis.engine import run_tool, spawn
    run_tool(lambda: spawn(wait_for_ever, 2, sys.argv[1]))
