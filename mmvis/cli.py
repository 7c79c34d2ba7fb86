"""What the command-line tools share: a mistake of the user costs one sentence, a bug keeps its traceback, a signal ends
a tool in an orderly way, and what is printed reaches any terminal.

Imports no PyTorch, so that a tool that only reads files starts fast.
"""
import argparse
import atexit
import errno
import io
import math
import os
import re
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple, NoReturn, Optional

from mmvis.errors import InputError, LostProcess
from mmvis.shipped import SHIPPED

#: Set it to see the traceback behind a sentence.
DEBUG_VARIABLE = 'MMVIS_TRACEBACK'
#: Exit code of a run that was told to stop and goes on when the same command is given again (EX_TEMPFAIL).
EXIT_STOPPED = 75
#: Exit code when nobody reads what is printed any more, as of a program that SIGPIPE ends.
EXIT_CLOSED_PIPE = 141

_CONTROL_CHARACTERS = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]')


#: How this process was called, where that is not the name of its file (``mmvis train``).
program: Optional[str] = None


class ToolParser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line and leaves with code 1."""

    def __init__(self, *args, **options) -> None:
        options.setdefault('prog', program)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(1, f'{self.prog}: error: {message} (--help lists the arguments)\n')


def number_in(low: float, high: float = math.inf, kind: type = int) -> Callable[[str], float]:
    """A type of argparse: a number from ``low`` to ``high``, whole unless ``kind`` is float, never NaN or infinite."""
    bounds = '' if math.isinf(low) else f' of at least {low:.12g}'
    bounds += '' if math.isinf(high) else f' and at most {high:.12g}'
    wanted = f'a {"whole" if kind is int else "finite"} number{bounds}'

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise argparse.ArgumentTypeError(f'{printable(text[:40])!r} is not {wanted}')
        return value

    return read


#: A type of argparse: a seed that NumPy takes.
seed_number = number_in(0, 2**32 - 1)



class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal: Ctrl-C, SIGTERM or SIGUSR1."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class ToBeContinued(BaseException):
    """The run was told to stop, what it has done is safe, and the same command (of a training: with --resume) goes on."""


class Failure(NamedTuple):
    """What is said of an exception: ``text`` is one sentence, or the traceback of a bug; whether it only follows from the
    failure of another process."""
    is_sentence: bool
    text: str
    is_consequence: bool = False


def run_tool(main: Callable[[], object], tell: Optional[Callable[[Failure], None]] = None) -> None:
    """Run the main function of a tool.

    What the user gave and the machine lacks (``InputError``, a name that no registry has, a full disk or GPU) is told in
    one sentence; anything else is a bug and keeps its traceback. Both have exit code 1, and stand at the end of the log
    file, too, where there is one (``keep_failures_in``). A signal ends the tool as Ctrl-C does: temporary files are taken
    away, and the exit code is 128 and the signal's number, or 75 where the run can go on (``ToBeContinued``).

    Args:
        main: of the tool.
        tell: takes a failure instead of the screen.
    """
    streams = _guard_streams()
    with _signals_stop():
        try:
            try:
                main()
                end_process()
            except Exception as error:
                with handled(lambda *signal_: None, 'SIGTERM', 'SIGUSR1'):  # what went wrong is told to its end
                    failure = describe(error)
                    _write_to_log(failure)
                    (tell or print_failure)(failure)
                    _leave(1)
        except ToBeContinued:
            _leave(EXIT_STOPPED)
        except KeyboardInterrupt as stop:  # also one that comes just before the signals are held off
            _leave(128 + getattr(stop, 'number', signal.SIGINT))
    _check_streams(streams)


# -- what went wrong

def describe(error: BaseException) -> Failure:
    """The sentence of an error of the user or the machine, the traceback of a bug."""
    if os.environ.get(DEBUG_VARIABLE) or not _has_sentence(error):
        return Failure(False, _rank() + ''.join(traceback.format_exception(error)).rstrip('\n'))
    return Failure(True, f'error: {error_sentence(error)}', isinstance(error, LostProcess))


def _has_sentence(error: BaseException) -> bool:
    return (isinstance(error, InputError) or _is_out_of_memory(error) or _is_full_disk(error)
            or (isinstance(error, KeyError) and 'registry' in str(error)))


def _is_out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == 'OutOfMemoryError'  # torch's, which need not be imported for it


def _is_full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def error_sentence(error: BaseException) -> str:
    """The message of an exception in one line, also of one that a worker of a data loader has raised."""
    if _is_out_of_memory(error):
        reason = ' '.join(str(error).split())
        advice = getattr(error, 'advice', 'a smaller batch (--cfg-options train_dataloader.batch_size=N) or --amp')
        return f'{reason} Take {advice}.'
    if isinstance(error, KeyError):
        return str(error.args[0]).split(' Please check whether')[0]  # mmengine's on names that are not registered
    if _is_full_disk(error) and not isinstance(error, InputError):
        return f'{error.filename or "A file of this run"} cannot be written: {error.strerror}.'
    text = str(error)
    if 'Original Traceback' in text:
        lines = [line for line in text.splitlines() if line.strip()]
        text = re.sub(r'^[\w.]+(Error|Exception): ', '', lines[-1])
    return printable(' '.join(text.split()))


def keep_failures_in(log_file: Optional[os.PathLike]) -> None:
    """From now on a failure of this process is also written to the end of a log file, with the rank of the process."""
    global _log_file
    _log_file = log_file


_log_file: Optional[os.PathLike] = None


def _write_to_log(failure: Failure) -> None:
    if _log_file is None:
        return
    head = time.strftime('%Y/%m/%d %H:%M:%S - mmvis - ERROR - ') + (_rank() if failure.is_sentence else '')
    try:
        with open(_log_file, 'a', encoding='utf-8', errors='backslashreplace') as file:
            file.write(f'{head}{failure.text}\n')
    except OSError:  # the disk may be what failed
        pass


def print_failure(failure: Failure) -> None:
    sys.stdout.flush()
    print(failure.text, file=sys.stderr, flush=True)


def _rank() -> str:
    rank = os.environ.get('RANK')
    return '' if rank is None else f'rank {rank}: '


# -- signals

@contextmanager
def _signals_stop() -> Iterator[None]:
    """Within the block SIGTERM and SIGUSR1 raise ``Stopped``, as Ctrl-C does."""
    stopped = False

    def stop(number: int, frame) -> None:
        nonlocal stopped
        is_first, stopped = not stopped, True
        if is_first or number == signal.SIGINT:  # the second of two signals must not break the tidying up
            raise Stopped(number)

    with handled(stop, 'SIGINT', 'SIGTERM', 'SIGUSR1'):
        yield


@contextmanager
def handled(handler: Callable[[int, object], None], *names: str) -> Iterator[None]:
    """Within the block signals have another handler; one that is ignored stays so, as it is in the background.

    Does nothing outside of the main thread, where Python lets no handlers be set.
    """
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for name in names:
            number = getattr(signal, name, None)  # Windows has no SIGUSR1
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


# -- the screen

def printable(text: str) -> str:
    """The text with its control characters written out: a name of a file or video must not move the cursor."""
    return _CONTROL_CHARACTERS.sub(lambda match: f'\\x{ord(match.group()):02x}', text)


class _Pipe(io.FileIO):
    """A stream of the system that takes everything: what it cannot write is dropped, and the first reason kept."""
    failure: Optional[OSError] = None

    def write(self, data) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return len(data)


class _Screen(io.TextIOWrapper):
    """A text stream for a terminal of any encoding: what it does not have is written out, control characters too."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self.pipe = _Pipe(stream.fileno(), 'wb', closefd=False)
        super().__init__(io.BufferedWriter(self.pipe), stream.encoding, 'backslashreplace',
                         line_buffering=stream.line_buffering, write_through=stream.write_through)

    def write(self, text: str) -> int:
        super().write(printable(text))
        return len(text)


def _guard_streams() -> List[_Screen]:
    """Make the standard streams fit for names in any language, and for a reader that has gone."""
    for name in ('stdout', 'stderr'):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f'__{name}__'):  # not one that a test or a notebook has set
            stream.flush()
            setattr(sys, name, _Screen(stream))
    return [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, _Screen)]


def _check_streams(streams: List[_Screen]) -> None:
    """Leave with an exit code when something that was printed did not arrive; all files are written by now."""
    for stream in streams:
        stream.flush()
        if isinstance(stream.pipe.failure, BrokenPipeError):
            sys.exit(EXIT_CLOSED_PIPE)
        if stream.pipe.failure is not None:
            print_failure(Failure(True, f'error: What was printed could not be written: {stream.pipe.failure.strerror}.'))
            sys.exit(1)


# -- beginning and end of a process

def interrupt_in_one_line() -> None:
    """From now on Ctrl-C costs a tool one line, while its libraries are imported and ``run_tool`` has not begun.

    Does nothing in a program that only imports mmvis.
    """
    def hook(kind, error, trace) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            return sys.__excepthook__(kind, error, trace)
        print('Interrupted.', file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)

    script = Path(sys.argv[0])
    if script.resolve().parent == SHIPPED / 'tools' or script.name in ('mmvis', '__main__.py', '-m'):
        sys.excepthook = hook


def end_process() -> None:
    """End this process well, when all processes of its group have come here; does nothing without a group."""
    if _in_group():
        distributed = sys.modules['torch.distributed']
        distributed.barrier()
        distributed.destroy_process_group()
        _exit_now(0)


def _leave(code: int) -> NoReturn:
    if _in_group():
        _exit_now(code)
    sys.exit(code)


def _in_group() -> bool:
    distributed = sys.modules.get('torch.distributed')
    return distributed is not None and distributed.is_initialized()


def _exit_now(code: int) -> NoReturn:
    """Leave without taking the interpreter down.

    Threads of Gloo may still hold tensors. If they let go of them while the interpreter is being taken down, the
    process aborts ("terminate called without an active exception") and its finished job counts as failed.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
