"""A training that is told to stop, or may be killed at any time, loses little: checkpoints between the regular ones."""
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvis.cli import Stopped, ToBeContinued, handled
from mmvis.registry import HOOKS

from .checkpoint import write_last_checkpoint


class StopRequest:
    """Takes SIGTERM and SIGUSR1, which schedulers send before they take a machine away."""

    def __init__(self) -> None:
        self.number = 0
        self._at_once = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block the signals are remembered in ``number``."""
        with handled(self._take, 'SIGTERM', 'SIGUSR1'):
            yield

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block, which holds nothing that has to be saved, they raise ``Stopped``."""
        self._at_once = True
        try:
            if self.number:
                raise Stopped(self.number)
            yield
        finally:
            self._at_once = False

    def _take(self, number: int, frame) -> None:
        self.number = number
        if self._at_once:
            self._at_once = False
            raise Stopped(number)


@HOOKS.register_module()
class PassingCheckpointHook(Hook):
    """Saves between the regular checkpoints: when the process is told to stop, which then ends, and every so often.

    The file is ``iter_<N>.pth`` in the work directory; it is deleted when a later checkpoint stands.

    Args:
        minutes: at most so many pass between two checkpoints; 0: only when told to stop.
    """
    priority = 'LOWEST'  # after the regular checkpoint

    def __init__(self, minutes: float = 30.) -> None:
        self.minutes = minutes

    def before_train(self, runner: Runner) -> None:
        self.last, self.time = runner.message_hub.get_info('last_ckpt'), time.monotonic()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Optional[Dict[str, Any]] = None) -> None:
        self._follow(runner)
        overdue = self.minutes > 0 and time.monotonic() - self.time > 60 * self.minutes
        wish = _largest(2 * bool(runner.stop_request.number) + overdue)
        if not wish:
            return
        self.save(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))
        if wish >= 2:
            runner.logger.warning(f'Told to stop: saved after iteration {runner.iter + 1} in {self.last}. --resume goes '
                                  'on from it.')
            raise ToBeContinued

    def after_train_epoch(self, runner: Runner) -> None:
        self._follow(runner)

    def save(self, runner: Runner, done: Dict[str, int]) -> None:
        """Save unless the latest checkpoint is of this moment; all processes come back when the file stands.

        Args:
            runner: the runner.
            done: epochs and iterations (``epoch``, ``iter``).
        """
        hub, before = runner.message_hub, runner.message_hub.get_info('passing_iter')
        if hub.get_info('resumable_iter') == done['iter']:
            return
        path = _file(runner, done['iter'])
        hub.update_info('passing_iter', done['iter'])
        hub.update_info('last_ckpt', path)
        runner.save_checkpoint(runner.work_dir, os.path.basename(path), meta=done)
        if is_main_process():
            write_last_checkpoint(runner.work_dir, path)
            _delete(runner, before, path)
        barrier()
        self.last, self.time = path, time.monotonic()

    def _follow(self, runner: Runner) -> None:
        """Take note of a regular checkpoint; one of ours before it has done its duty."""
        last = runner.message_hub.get_info('last_ckpt')
        if last == self.last:
            return
        self.last, self.time = last, time.monotonic()
        if is_main_process():
            _delete(runner, runner.message_hub.get_info('passing_iter'), last)
        runner.message_hub.update_info('passing_iter', None)


def _file(runner: Runner, iteration: int) -> str:
    return os.path.join(runner.work_dir, f'iter_{iteration}.pth')


def _delete(runner: Runner, iteration: Optional[int], successor: str) -> None:
    """Delete the checkpoint of an iteration, whose number may come from a resumed file, unless its name is taken."""
    if type(iteration) is int and os.path.basename(successor) != f'iter_{iteration}.pth':
        Path(_file(runner, iteration)).unlink(missing_ok=True)


def _largest(value: int) -> int:
    """The largest of the values of all processes."""
    if get_world_size() == 1:
        return value
    tensor = torch.tensor(value)
    all_reduce(tensor, 'max')
    return int(tensor)
