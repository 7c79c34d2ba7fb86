"""Marks for the stages of inference: free when nobody measures, seconds by stage when a timer is active."""
import time
from collections import defaultdict
from contextlib import contextmanager
from typing import Dict, Iterator, List, Optional, Union

import torch

_active: Optional['StageTimer'] = None


class StageTimer:
    """Collects the wall and CPU seconds spent inside ``stage`` marks while it is used as a context manager.

    Args:
        device: of the model; the end of a stage waits for it.

    Attributes:
        wall: stage name -> seconds; cpu: stage name -> process CPU seconds. Nested stages count for the inner one only.
    """

    def __init__(self, device: Union[str, torch.device] = 'cpu') -> None:
        self.device = torch.device(device)
        self.wall: Dict[str, float] = defaultdict(float)
        self.cpu: Dict[str, float] = defaultdict(float)
        self._stack: List[str] = []
        self._mark = (0.0, 0.0)

    def __enter__(self) -> 'StageTimer':
        global _active
        _active = self
        return self

    def __exit__(self, *exc) -> None:
        global _active
        _active = None

    def _book(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        now = (time.perf_counter(), time.process_time())
        if self._stack:
            self.wall[self._stack[-1]] += now[0] - self._mark[0]
            self.cpu[self._stack[-1]] += now[1] - self._mark[1]
        self._mark = now

    def push(self, name: str) -> None:
        self._book()
        self._stack.append(name)

    def pop(self) -> None:
        self._book()
        self._stack.pop()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Mark a stage: 'load', 'network', 'association', 'masks' or 'encode'."""
    timer = _active
    if timer is None:
        yield
        return
    timer.push(name)
    try:
        yield
    finally:
        timer.pop()
