"""What the processes of a job do in the tests of launching: imports little, as every process imports it anew."""
import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed

from mmvis.engine import launch
from mmvis.engine.meeting import Meeting, lost_processes_told
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


def sleep_in_a_collective(seconds):
    """Rank 1 sleeps while rank 0 waits for it in a collective call."""
    launch.init_dist('pytorch', timeout=seconds)
    if os.environ['RANK'] == '1':
        time.sleep(600)
    with lost_processes_told(seconds):
        torch.distributed.all_reduce(torch.ones(1))


def sleep_at_the_end(seconds, work):
    """Rank 1 works for a while and sleeps, or comes at last, while rank 0 waits for it at the end of a validation."""
    launch.init_dist('pytorch', timeout=seconds)
    meeting = Meeting(seconds)
    if os.environ['RANK'] == '1':
        begin = time.monotonic()
        while time.monotonic() - begin < 3 * seconds:
            meeting.tell()
            time.sleep(seconds / 10)
        if not work:
            time.sleep(600)
    meeting.wait()


if __name__ == '__main__':
    from mmvis.engine import run_tool, spawn
    run_tool(lambda: spawn(wait_for_ever, 2, sys.argv[1]))
