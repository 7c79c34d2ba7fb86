"""How much of its curves a training remembers: mmengine copies the whole curve at every value that it adds."""
from collections import OrderedDict

from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import LogProcessor

#: A log line smooths over a few dozen iterations; this many values of each curve are kept, also in a checkpoint.
HISTORY_LENGTH = 1000


def bound_history(hub: MessageHub, log_processor: LogProcessor) -> None:
    """From now on the curves of a message hub keep as many of their last values as the log lines need.

    A value costs time in proportion to the curve: of mmengine's million values 20 ms an iteration. Where a line takes all
    values of an epoch or of the training (windows 'epoch' and 'global'), the curves stay as they are.
    """
    windows = [log_processor.window_size, *(row.get('window_size') for row in log_processor.custom_cfg)]
    if any(isinstance(window, str) for window in windows):
        return
    curves = _Curves()
    curves.length = max([HISTORY_LENGTH, *filter(None, windows)])
    curves.update(hub.log_scalars)
    hub._log_scalars = curves


class _Curves(OrderedDict):
    """Curves by name, each with a bound from when it is put in."""

    def __setitem__(self, name: str, curve: HistoryBuffer) -> None:
        curve.max_length = self.length
        super().__setitem__(name, curve)
