"""The process behind helpers/warm_python.py: imports the toolbox once, and forks for each script it is asked for."""
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Mapping, Sequence

import torch

import mmvis.apis  # noqa: F401  (what the tools would import, here once)
import mmvis.engine  # noqa: F401
import mmvis.evaluation  # noqa: F401
import mmvis.models  # noqa: F401
from mmvis.processes import usable_cores

#: A script that takes longer than this many seconds is ended, by SIGALRM.
_LONGEST = 300


def serve(listener: socket.socket) -> None:
    """Take a job from every connection until standard input ends; returns in the process that is to run a script."""
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [], 1)[0]):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if ready:
            connection = listener.accept()[0]
            if not os.fork():
                listener.close()
                return look_after(connection)
            connection.close()
    os._exit(0)


def look_after(connection: socket.socket) -> None:
    """Fork once more for the script, and answer with its exit code."""
    length, streams = socket.recv_fds(connection, 8, 3)[:2]
    with connection.makefile('rb') as file:
        job = json.loads(file.read(int.from_bytes(length, 'big')))
    script = os.fork()
    if script:
        for stream in streams:
            os.close(stream)
        code = os.waitstatus_to_exitcode(os.waitpid(script, 0)[1])
        with contextlib.suppress(BrokenPipeError):                  # nobody waits for it any more
            connection.sendall(str(code).encode())
        os._exit(0)
    connection.close()
    become(**job, streams=streams)


def become(words: Sequence[str], cwd: str, environ: Mapping[str, str], streams: Sequence[int]) -> None:
    """Make this process what a new one would be for the script; it stays to be run."""
    signal.alarm(_LONGEST)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    more = [folder for folder in environ.get('PYTHONPATH', '').split(os.pathsep) if folder and folder not in sys.path]
    sys.argv, sys.path[:1] = list(words), [str(Path(words[0]).resolve().parent), *more]
    torch.set_num_threads(int(environ.get('OMP_NUM_THREADS') or usable_cores()))
    if not torch.cuda.is_available():                               # a process with CUDA cannot be forked
        get_context = torch.multiprocessing.get_context
        torch.multiprocessing.get_context = lambda method=None: get_context('fork' if method == 'spawn' else method)


if __name__ == '__main__':
    # What is there stays: a fork that looks for garbage at its end would touch, and so copy, every page of it.
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_path(sys.argv[0], run_name='__main__')
