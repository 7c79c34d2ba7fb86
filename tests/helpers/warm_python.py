"""A stand-in for ``sys.executable`` that runs a tool in a fork of a process that has imported the toolbox before.

What runs is a process as any other (its script is ``__main__``; its arguments, environment, folder, streams and exit
code are its own), but for the seconds that every start of Python pays for importing PyTorch. What is no script (``-c``,
``-m``) runs in the real Python.

A signal sent to the stand-in does not reach the tool: tests of signals start the real Python.
"""
import array
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator, Sequence

SERVER = Path(__file__).with_name('warm_python_server.py')


@contextlib.contextmanager
def _own_folder() -> Iterator[str]:
    """A temporary folder that a fork of this process, ended in whatever way, does not take away."""
    folder, owner = tempfile.mkdtemp(), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder)


@contextlib.contextmanager
def warm_python() -> Iterator[str]:
    """The path of the stand-in; the process behind it ends with the block.

    Not a fork of this process: after a backward pass autograd refuses to work in a fork.
    """
    with _own_folder() as folder, open(Path(folder, 'printed'), 'w+') as printed:
        path, stand_in = Path(folder, 'socket'), Path(folder, 'python')
        stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{__file__}" "{path}" "$@"\n')
        stand_in.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            process = subprocess.Popen([sys.executable, SERVER, str(listener.fileno())], stdin=subprocess.PIPE,
                                       stdout=printed, stderr=printed, pass_fds=[listener.fileno()])
        with process:
            yield str(stand_in)
            process.stdin.close()
        printed.seek(0)
        assert not (noise := printed.read()), f'Importing the toolbox prints, in every tool: {noise}'


def ask(path: str, words: Sequence[str]) -> int:
    """Have the process behind the socket run a script with these streams; its exit code, or 128 + its signal."""
    job = json.dumps(dict(words=words, cwd=os.getcwd(), environ=dict(os.environ))).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))]
        connection.sendmsg([len(job).to_bytes(8, 'big')], streams)
        connection.sendall(job)
        code = int(connection.makefile().read())
    return code if code >= 0 else 128 - code


def main(path: str, *words: str) -> None:
    script = words[1:] if words[:1] == ('-u',) else words
    if not (script and script[0].endswith('.py')):
        os.execv(sys.executable, [sys.executable, *words])
    sys.exit(ask(path, script))


if __name__ == '__main__':
    main(*sys.argv[1:])
