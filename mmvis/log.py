"""Notes of modules that also work without mmengine, and without PyTorch, which comes with it."""
import logging
import sys
from typing import Union


def print_log(message: str, logger: Union[str, logging.Logger] = 'current', level: int = logging.INFO) -> None:
    """mmengine's ``print_log`` in a process that has loaded mmengine, where the note goes to the log of the run, too; in
    any other one the message is printed."""
    mmengine_logging = sys.modules.get('mmengine.logging')
    if mmengine_logging is not None:
        mmengine_logging.print_log(message, logger=logger, level=level)
    else:
        print(message, flush=True)
