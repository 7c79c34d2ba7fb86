"""Training that goes through phases: how many steps have been taken, kept in the checkpoint."""
import torch
from torch import nn


class StepCounter(nn.Module):
    """Counts training steps; a resumed training goes on where it was.

    Attributes:
        ends_step: False while the gradients of more batches are to come in this step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('steps', torch.zeros((), dtype=torch.int64))
        self.ends_step = True
        self._value = 0                                # the same number, read without waiting for the device

    @property
    def value(self) -> int:
        """Steps taken so far."""
        return self._value

    def advance(self) -> None:
        """One more batch is done, and with the last one of a step the step."""
        if not self.ends_step:
            return
        self._value += 1
        self.steps += 1

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._value = int(self.steps)


def poly_anneal(step: int, start: int, end: int, power: float = 0.9) -> float:
    """1 up to step ``start``, 0 from step ``end`` on, (1 - share of the way) ** power between them."""
    if step < start:
        return 1.
    return 0. if step >= end else (1 - (step - start) / (end - start)) ** power
