"""What the command-line tools share: a mistake of the user costs one sentence, not a traceback.

Imports nothing of the project and no PyTorch, so that a tool that only reads files starts fast.
"""
import argparse
import atexit
import os
import re
import sys
from typing import Callable, NoReturn

#: Set it to see the traceback behind a sentence.
DEBUG_VARIABLE = 'MMVIS_TRACEBACK'


class ToolParser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line and leaves with code 1."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f'{self.prog}: error: {message} (--help lists the arguments)\n')


def run_tool(main: Callable[[], object]) -> None:
    """Run the main function of a tool.

    A bad file, value or path (ValueError, OSError), an unknown name in a config and a full GPU are told in one sentence
    with exit code 1; anything else is a bug and keeps its traceback.
    """
    try:
        main()
        end_process()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE) or not _is_of_the_user(error):
            raise
        print(f'error: {error_sentence(error)}', file=sys.stderr, flush=True)
        sys.exit(1)


def _is_of_the_user(error: Exception) -> bool:
    if type(error) is KeyError:
        return 'registry' in str(error)
    return isinstance(error, (ValueError, OSError, KeyError)) or _is_out_of_memory(error)


def _is_out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == 'OutOfMemoryError'  # torch's, which need not be imported for it


def error_sentence(error: BaseException) -> str:
    """The message of an exception in one line, also of one that a worker of a data loader has raised."""
    if _is_out_of_memory(error):
        reason = ' '.join(str(error).split())
        return f'{reason} Take a smaller batch (--cfg-options train_dataloader.batch_size=N) or --amp.'
    if isinstance(error, KeyError):
        return str(error.args[0]).split(' Please check whether')[0]  # mmengine's on names that are not registered
    text = str(error)
    if 'Original Traceback' in text:
        lines = [line for line in text.splitlines() if line.strip()]
        text = re.sub(r'^[\w.]+(Error|Exception): ', '', lines[-1])
    return ' '.join(text.split())


def end_process() -> None:
    """End this process well, when all processes of its group have come here; does nothing without a group.

    Threads of Gloo may still hold tensors. If they let go of them while the interpreter is being taken down, the
    process aborts ("terminate called without an active exception") and its finished job counts as failed; so the
    process leaves without taking the interpreter down.
    """
    distributed = sys.modules.get('torch.distributed')
    if distributed is None or not distributed.is_initialized():
        return
    distributed.barrier()
    distributed.destroy_process_group()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
