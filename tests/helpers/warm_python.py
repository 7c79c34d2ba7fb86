"""A Python process that has imported the toolbox once, and runs each command in a fork of itself.

A command runs as in a process of its own (its script is ``__main__``, its environment, folder and exit code are its own)
but for the seconds that every start of Python pays for importing PyTorch.
"""
import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple, Sequence

import mmvis.apis  # noqa: F401  (what the commands would import, here once)
import mmvis.engine  # noqa: F401
import mmvis.evaluation  # noqa: F401
import mmvis.models  # noqa: F401

#: A command that takes longer than this many seconds is ended, by SIGALRM.
_LONGEST = 300


class Done(NamedTuple):
    """What a command has left, as of ``subprocess.run``."""
    returncode: int
    stdout: str
    stderr: str


class WarmPython:
    """The process; ``run`` is ``subprocess.run([sys.executable, *words], ...)`` of a script."""

    def __init__(self, process: subprocess.Popen, folder: Path) -> None:
        self.process, self.folder = process, folder

    def run(self, words: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> Done:
        outputs = [self.folder / name for name in ('stdout', 'stderr')]
        job = dict(words=list(map(str, words)), cwd=str(cwd), environ=dict(environ), outputs=list(map(str, outputs)))
        self.process.stdin.write(json.dumps(job) + '\n')
        self.process.stdin.flush()
        returncode = int(self.process.stdout.readline())
        return Done(returncode, *(file.read_text(encoding='utf-8', errors='replace') for file in outputs))


@contextlib.contextmanager
def warm_python() -> Iterator[WarmPython]:
    """A running process. Not a fork of this one: after a backward pass autograd refuses to work in a fork."""
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield WarmPython(process, Path(folder))
        process.stdin.close()


def _serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(words: Sequence[str], cwd: str, environ: Mapping[str, str], outputs: Sequence[str]) -> None:
    """Become the command."""
    signal.alarm(_LONGEST)
    for number, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv, sys.path[0] = list(words), str(Path(words[0]).resolve().parent)
    code = 0
    try:
        runpy.run_path(words[0], run_name='__main__')
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        if isinstance(leave.code, str):
            print(leave.code, file=sys.stderr)
    except BaseException:
        code = 1
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == '__main__':
    _serve()
