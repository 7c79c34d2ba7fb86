"""A function of ``worker`` in a process of its own, so that the page stays smooth. Imports nothing that takes long."""
import importlib
import multiprocessing
import os
import traceback
from contextlib import suppress
from typing import Any, Iterator, Sequence, Tuple

from mmvis.cli import describe
from mmvis.processes import begin_worker


def messages(name: str, *arguments: Any) -> Iterator[Tuple[str, int, Any]]:
    """What a function of ``worker`` tells.

    Raises:
        EOFError: the process has ended before its work.
    """
    context = multiprocessing.get_context('spawn')  # a fork of a process with threads may hang
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, os.getpid(), name, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        while (message := ours.recv()) is not None:
            yield message
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        ours.close()


def _run(pipe: Any, parent: int, name: str, arguments: Sequence[Any]) -> None:
    begin_worker(parent)
    with suppress(OSError):
        os.nice(5)  # the page goes first
    function = getattr(importlib.import_module('mmvis.view.worker'), name)
    function(*arguments, lambda *message: pipe.send(message))
    pipe.send(None)


def told(error: Exception) -> str:
    """What the page says of an error: the sentence of one of input; of a bug, where its traceback is."""
    failure = describe(error)
    if not failure.is_sentence:
        traceback.print_exception(error)
        return f'This failed ({type(error).__name__}); the terminal of mmvis view has the traceback.'
    return failure.text.removeprefix('error: ')
