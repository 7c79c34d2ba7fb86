"""Pools of workers, here that of the evaluation, end with the process that they work for."""
import multiprocessing
import os
import signal
import time

import pytest
from helpers.processes import is_alive, wait_for_end

from mmvis.cli import run_tool
from mmvis.evaluation.vis_eval import share_out


def work(item, folder):
    (folder / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize('name', ['SIGKILL', 'SIGTERM', 'SIGINT'])
def test_workers_of_a_pool_end_with_their_process(tmp_path, name):
    process = multiprocessing.get_context('fork').Process(
        target=run_tool, args=(lambda: share_out(work, [1, 2], 2, tmp_path),))
    process.start()
    while len(workers := list(tmp_path.iterdir())) < 2:
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, getattr(signal, name))
    process.join(20)
    assert process.exitcode == (-9 if name == 'SIGKILL' else 128 + getattr(signal, name))
    assert not wait_for_end([int(file.name) for file in workers])
