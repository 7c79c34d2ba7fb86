"""Pools of workers, here that of the evaluation, end with the process that they work for; cores that may be used."""
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.processes import wait_for_end

from mmvis.cli import run_tool
from mmvis.evaluation.vis_eval import share_out
from mmvis.processes import usable_cores


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


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))


@pytest.mark.parametrize('files, cores', [
    ({}, 8),
    ({'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': 'max 100000\n'}, 8),
    ({'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '150000 100000\n'}, 2),
    ({'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '10000 100000\n'}, 1),
    ({'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '6400000 100000\n'}, 8),
    ({'proc/self/cgroup': '0::/a.slice/b\n', 'sys/fs/cgroup/a.slice/cpu.max': '300000 100000\n',
      'sys/fs/cgroup/a.slice/b/cpu.max': 'max 100000\n'}, 3),
    # version 1, in a container: the path is that of the host
    ({'proc/self/cgroup': '5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '400000\n', 'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n'}, 4),
    ({'proc/self/cgroup': '1:cpu:/\n', 'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n'}, 8)])
def test_cores_are_those_of_affinity_and_quota(tmp_path, eight_cores, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(str(tmp_path)) == cores


def test_scripts_are_told_the_cores_of_their_affinity():
    core = min(os.sched_getaffinity(0))
    file = Path(__file__).resolve().parents[1] / 'mmvis/processes.py'
    said = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    assert said.stdout == '1\n'
