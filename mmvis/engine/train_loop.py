"""Training by epochs and by iterations, resumable at any iteration, which is a step of the optimizer.

Data come back by position: a draw is a function of (seed, epoch, sample index), and the sampler skips what has been
trained without loading it. Everything else that draws (dropout, the sampling of proposals) comes back with the states
of the random generators.
"""
import signal
from typing import Any, Dict, Iterator, List, Optional

import torch
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from mmvis.cli import Stopped, ToBeContinued
from mmvis.datasets import InfiniteClipSampler
from mmvis.models.layers.step_counter import StepCounter
from mmvis.registry import LOOPS

from .rng import get_rng_state, set_rng_state
from .steps import Split, StepLoader, skip_steps


@LOOPS.register_module()
class EpochTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop, with an epoch that can begin in its middle, and with iterations that are steps of the optimizer.

    mmengine counts a batch as an iteration also where the gradients of several accumulate
    (``optim_wrapper.accumulative_counts``): its schedules and lengths would mean something else with every split.

    Args:
        runner: the runner.
        dataloader: config of the data loader; its batch sampler has ``skip_batches``.
        max_epochs: epochs to train.
        val_begin: first epoch to validate after.
        val_interval: validate after every so many epochs and after the last; 0 or None: never.
    """

    def __init__(self, runner, dataloader: Dict[str, Any], max_epochs: int, val_begin: int = 1,
                 val_interval: Optional[int] = 0) -> None:
        super().__init__(runner, dataloader, max_epochs, val_begin, max(val_interval or 0, 1))
        self.val_interval = val_interval or 0
        #: States of the generators for the next iteration; None: as they are.
        self.rng_state: Optional[Dict[str, Any]] = None
        # Else a new iterator would take a number from the generator that the model draws from.
        self.dataloader.generator = torch.Generator().manual_seed(runner.seed)
        #: Clips of a step.
        self.split = Split(self.dataloader.batch_sampler.batch_size, runner.world_size, runner.accumulated)
        self.dataloader = StepLoader(self.dataloader, self.split.accumulated)
        self._max_iters = max_epochs * len(self.dataloader)
        #: Steps, of as many clips as now, that the data are behind their beginning.
        self.steps_of_data = 0

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
            skip_steps(self.dataloader, done)
            self._restore_rng()
            for idx, batches in enumerate(self.dataloader, start=done):
                self.run_iter(idx, batches)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, batches: List[Dict[str, Any]]) -> None:
        """One step of the optimizer, with the mean of the gradients of the batches."""
        runner, wrapper = self.runner, self.runner.optim_wrapper
        runner.call_hook('before_train_iter', batch_idx=idx, data_batch=batches)
        # of mmengine: how many gradients make a step, how many are there, that the last step is none of its own
        wrapper._accumulative_counts, wrapper._inner_count, wrapper._max_counts = len(batches), 0, -1
        counters = [module for module in runner.model.modules() if isinstance(module, StepCounter)] if len(batches) > 1 else []
        outputs = []
        for number, batch in enumerate(batches, start=1):
            for counter in counters:
                counter.ends_step = number == len(batches)
            outputs.append(runner.model.train_step(batch, optim_wrapper=wrapper))
        runner.call_hook('after_train_iter', batch_idx=idx, data_batch=batches, outputs=_mean(outputs))
        self._iter += 1
        self.steps_of_data += 1

    def resume_at(self, meta: Dict[str, Any]) -> None:
        """Go on after the epochs and iterations of a checkpoint (``epoch``, ``iter``, ``iters_per_epoch`` of its meta).

        With another number of clips a step an epoch is longer or shorter now; the same part of it is done.
        """
        length, epoch, iters_per_epoch = len(self.dataloader), meta['epoch'], meta['iters_per_epoch']
        done = meta['iter'] - epoch * iters_per_epoch
        self._epoch, self._iter = epoch, epoch * length + done * length // iters_per_epoch
        if length != iters_per_epoch:
            self.runner.logger.warning(f'An epoch had {iters_per_epoch} iterations in the checkpoint and has {length} '
                                       f'now: iteration {meta["iter"]} is now iteration {self._iter}.')

    def stretch(self, meta: Dict[str, Any]) -> float:
        """How many iterations an epoch has for one of the checkpoint's."""
        return len(self.dataloader) / max(meta['iters_per_epoch'], 1)

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
        val_interval: validate after every so many iterations and after the last; 0 or None: never.
    """

    def __init__(self, runner, dataloader: Dict[str, Any], max_iters: int, val_begin: int = 1,
                 val_interval: Optional[int] = 0) -> None:
        super().__init__(runner, dataloader, 1, val_begin, val_interval)
        self._max_iters = int(max_iters)

    def resume_at(self, meta: Dict[str, Any]) -> None:
        """Go on after the iterations of a checkpoint, with the clips behind those that it has seen.

        With another number of clips a step the schedules and the length of the training are in iterations as before.
        """
        self._iter = self.steps_of_data = meta['iter']
        total, seen = self.split.total, meta.get('clips_seen')
        if seen is None or seen == self._iter * total:  # an older checkpoint does not say
            return
        self.steps_of_data = seen // total
        if total != meta['clips_a_step']:
            self.runner.logger.warning(
                f'A step took {meta["clips_a_step"]} clips in the checkpoint and takes {total} now: the training goes on with '
                f'iteration {self._iter + 1} of {self._max_iters}, in which its schedules count, and with the clips behind the '
                f'{seen} that it has seen.')

    def stretch(self, meta: Dict[str, Any]) -> float:
        return 1.  # schedules and training count iterations

    def run(self) -> nn.Module:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if self._iter < self._max_iters:
            steps = self._steps()
            self._restore_rng()
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self.run_iter(self._iter, next(steps))
                self._validate(self._iter, self._max_iters)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _steps(self) -> Iterator[List[Dict[str, Any]]]:
        """Batches of steps without end, from the present iteration on."""
        sampler = self.dataloader.batch_sampler.sampler
        passes, done = 0, self.steps_of_data
        if not isinstance(sampler, InfiniteClipSampler):
            passes, done = divmod(done, len(self.dataloader))
        while True:
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(passes)
            skip_steps(self.dataloader, done)
            yield from self.dataloader
            passes, done = passes + 1, 0


def _mean(outputs: List[Dict[str, Any]]) -> Dict[str, Any]:
    """What the batches of a step have logged, on average."""
    if len(outputs) == 1:
        return outputs[0]
    names = dict.fromkeys(name for output in outputs for name in output)
    values = {name: [output[name] for output in outputs if name in output] for name in names}
    return {name: sum(of_one) / len(of_one) for name, of_one in values.items()}
