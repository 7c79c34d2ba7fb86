"""Training by epochs and by iterations, resumable at any iteration.

Data come back by position: a draw is a function of (seed, epoch, sample index), and the sampler skips what has been
trained without loading it. Everything else that draws (dropout, the sampling of proposals) comes back with the states
of the random generators.
"""
import signal
from typing import Any, Dict, Iterator, Optional

import torch
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader

from mmvis.cli import Stopped, ToBeContinued
from mmvis.datasets import InfiniteClipSampler
from mmvis.errors import InputError
from mmvis.registry import LOOPS

from .rng import get_rng_state, set_rng_state


@LOOPS.register_module()
class EpochTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop, with an epoch that can begin in its middle.

    Args:
        runner: the runner.
        dataloader: config of the data loader; its batch sampler has ``skip_batches``.
        max_epochs: epochs to train.
        val_begin: first epoch to validate after.
        val_interval: validate after every so many epochs and after the last; 0 never does.
    """

    def __init__(self, runner, dataloader: Dict[str, Any], max_epochs: int, val_begin: int = 1,
                 val_interval: int = 0) -> None:
        super().__init__(runner, dataloader, max_epochs, val_begin, max(val_interval, 1))
        self.val_interval = val_interval
        #: States of the generators for the next iteration; None: as they are.
        self.rng_state: Optional[Dict[str, Any]] = None
        # Else a new iterator would take a number from the generator that the model draws from.
        self.dataloader.generator = torch.Generator().manual_seed(runner.seed)

    def run(self) -> nn.Module:
        self.runner.call_hook('before_train')
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate(self._epoch, self._max_epochs)
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        if done < len(self.dataloader):
            skip_batches(self.dataloader, done)
            self._restore_rng()
            for idx, data_batch in enumerate(self.dataloader, start=done):
                self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def resume_at(self, epoch: int, iteration: int, iters_per_epoch: int) -> None:
        """Go on after so many epochs and iterations, counted where an epoch had ``iters_per_epoch`` iterations.

        With another batch size or number of processes an epoch is longer or shorter now; the same part of it is done.
        """
        length = len(self.dataloader)
        done = iteration - epoch * iters_per_epoch
        self._epoch, self._iter = epoch, epoch * length + done * length // iters_per_epoch
        if length != iters_per_epoch:
            self.runner.logger.warning(f'An epoch had {iters_per_epoch} iterations in the checkpoint and has {length} '
                                       f'now: iteration {iteration} is now iteration {self._iter}.')

    def _validate(self, done: int, total: int) -> None:
        """Validate when it is time; the draws of the training do not depend on it."""
        if self.runner.val_loop is None or not self.val_interval or done < self.val_begin:
            return
        if done % self.val_interval == 0 or done == total:
            self.rng_state = get_rng_state()
            self.runner.save_in_passing(self._epoch, self._iter)  # a validation may take hours
            try:
                with self.runner.stop_request.at_once():
                    self.runner.val_loop.run()
            except Stopped as stop:
                if stop.number == signal.SIGINT:
                    raise
                self.runner.logger.warning(f'Told to stop in the validation after iteration {self._iter}, which is left '
                                           f'out: --resume goes on behind it.')
                raise ToBeContinued from None
            self._restore_rng()

    def _restore_rng(self) -> None:
        if self.rng_state is not None:
            set_rng_state(self.rng_state)
            self.rng_state = None


@LOOPS.register_module()
class IterTrainLoop(EpochTrainLoop):
    """Training for a number of iterations; the data are gone through again and again.

    Args:
        runner: the runner.
        dataloader: config of the data loader, with an endless sampler or with one that ends after an epoch.
        max_iters: iterations to train.
        val_begin: first iteration to validate after.
        val_interval: validate after every so many iterations and after the last; 0 never does.
    """

    def __init__(self, runner, dataloader: Dict[str, Any], max_iters: int, val_begin: int = 1,
                 val_interval: int = 0) -> None:
        super().__init__(runner, dataloader, 1, val_begin, val_interval)
        self._max_iters = int(max_iters)

    def resume_at(self, epoch: int, iteration: int, iters_per_epoch: int) -> None:
        self._iter = iteration

    def run(self) -> nn.Module:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if self._iter < self._max_iters:
            batches = self._batches()
            self._restore_rng()
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self.run_iter(self._iter, next(batches))
                self._validate(self._iter, self._max_iters)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches(self) -> Iterator[Dict[str, Any]]:
        """Batches without end, from the present iteration on."""
        sampler = self.dataloader.batch_sampler.sampler
        passes, done = 0, self._iter
        if not isinstance(sampler, InfiniteClipSampler):
            passes, done = divmod(self._iter, len(self.dataloader))
        while True:
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(passes)
            skip_batches(self.dataloader, done)
            yield from self.dataloader
            passes, done = passes + 1, 0


def skip_batches(dataloader: DataLoader, number: int) -> None:
    """Let the next iterator of the data loader begin after so many batches, without loading them.

    Raises:
        ValueError: the batch sampler cannot skip.
    """
    if hasattr(dataloader.batch_sampler, 'skip_batches'):
        dataloader.batch_sampler.skip_batches = number
    elif number:
        name = type(dataloader.batch_sampler).__name__
        raise InputError(f'The training cannot go on in the middle of an epoch: {name} cannot skip batches. Set '
                         "train_dataloader.batch_sampler=dict(type='ClipBatchSampler').")
