"""What the command-line tools share: a mistake of the user costs one sentence, not a traceback."""
import argparse
import os
import re
import sys
from typing import Callable, NoReturn

import torch

from .launch import end_process

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
    except (ValueError, OSError, KeyError, torch.OutOfMemoryError) as error:
        if os.environ.get(DEBUG_VARIABLE) or (type(error) is KeyError and 'registry' not in str(error)):
            raise
        print(f'error: {error_sentence(error)}', file=sys.stderr, flush=True)
        sys.exit(1)


def error_sentence(error: BaseException) -> str:
    """The message of an exception in one line, also of one that a worker of a data loader has raised."""
    if isinstance(error, torch.OutOfMemoryError):
        reason = ' '.join(str(error).split())
        return f'{reason} Take a smaller batch (--cfg-options train_dataloader.batch_size=N) or --amp.'
    if isinstance(error, KeyError):
        return str(error.args[0]).split(' Please check whether')[0]  # mmengine's on names that are not registered
    text = str(error)
    if 'Original Traceback' in text:
        lines = [line for line in text.splitlines() if line.strip()]
        text = re.sub(r'^[\w.]+(Error|Exception): ', '', lines[-1])
    return ' '.join(text.split())
