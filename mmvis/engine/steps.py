"""How many clips a step of the optimizer takes: a batch of each process, several of them where gradients accumulate.

The published recipes are made for a number of clips a step (``auto_scale_lr.base_batch_size``). An iteration of a training
is one step: schedules, checkpoints and the length of a training mean the same however the clips of a step are shared out.
"""
from itertools import islice
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from mmengine.config import Config
from torch.utils.data import DataLoader

from mmvis.errors import InputError


class Split(NamedTuple):
    """The clips of a step."""
    batch_size: int
    processes: int
    accumulated: int = 1

    @property
    def total(self) -> int:
        return self.batch_size * self.processes * self.accumulated

    def __str__(self) -> str:
        return f'{self.batch_size} x {self.processes} processes x {self.accumulated} accumulated'


def split_batch(total: int, processes: int, batch_size: int) -> Optional[Split]:
    """``total`` clips over so many processes, at most ``batch_size`` at a time on each, as few batches as possible.

    Returns:
        None where the processes cannot have equal shares.
    """
    if total < processes or total % processes:
        return None
    share = total // processes
    batch = max(size for size in range(1, min(batch_size, share) + 1) if share % size == 0)
    return Split(batch, processes, share // batch)


def nearest_totals(total: int, processes: int) -> List[int]:
    """The totals next to one that so many processes cannot share out equally."""
    below = total // processes * processes
    return [near for near in (below, below + processes) if near]


def describe_step(split: Split, recipe: int) -> str:
    """One line for the start of a training: what a step takes, and where that is not what the recipe takes, the options
    that mend it.

    Args:
        split: of this training.
        recipe: clips a step that the config is made for.
    """
    line = f'A step takes {split.total} clips ({split})'
    if split.total == recipe:
        return f'{line}, as in the recipe of the config.'
    kept = split_batch(recipe, split.processes, split.batch_size)
    near = ' or '.join(f'--global-batch {total} --auto-scale-lr' for total in nearest_totals(recipe, split.processes))
    keep = near if kept is None else f'--global-batch keeps {recipe} ({kept})'
    return (f'{line}, the recipe of the config {recipe}, with the learning rate for that: {keep}; --auto-scale-lr alone scales '
            f'the rate by {split.total / recipe:g}.')


def use_global_batch(cfg: Config, processes: int, total: int = 0) -> None:
    """Share out the clips of a step over the processes of a job, by smaller batches or by accumulating gradients.

    Where a loss depends on the clips that a process sees at once and the model has the option ``loss_clips``, it is set to
    those of the config, if it is not set.

    Args:
        cfg: config of a training, changed.
        processes: of the job.
        total: clips a step; 0: those of the recipe, ``auto_scale_lr.base_batch_size``.

    Raises:
        InputError: the clips cannot be shared out equally; the nearest numbers are named.
    """
    recipe = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if not total and not recipe:
        raise InputError(f'{cfg.filename} has no auto_scale_lr.base_batch_size, which --global-batch goes by: give the '
                         'number of clips, --global-batch N.')
    total, batch_size = total or recipe, cfg.train_dataloader.batch_size
    for name, value in {'train_dataloader.batch_size': batch_size, 'auto_scale_lr.base_batch_size': total}.items():
        if type(value) is not int or value < 1:
            raise InputError(f'{cfg.filename}: {name} is {value!r}: a whole number of at least 1 is expected.')
    split = split_batch(total, processes, batch_size)
    if split is None:
        near = ' or '.join(map(str, nearest_totals(total, processes)))
        raise InputError(f'A step of {total} clips cannot be shared out over {processes} processes equally: take '
                         f'--global-batch {near} (with --auto-scale-lr the learning rate follows), or another number of '
                         'processes.')
    cfg.train_dataloader.batch_size = split.batch_size
    cfg.optim_wrapper.accumulative_counts = split.accumulated
    if split.batch_size != batch_size and cfg.model.get('loss_clips', 0) is None:
        cfg.model.loss_clips = batch_size


class StepLoader:
    """A data loader whose items are lists of the batches of one step; the last of an epoch may be shorter.

    What it lacks is that of the data loader.

    Args:
        dataloader: gives single batches.
        batches_a_step: the length of a list.
    """

    def __init__(self, dataloader: DataLoader, batches_a_step: int) -> None:
        self.dataloader, self.batches_a_step = dataloader, batches_a_step

    def __len__(self) -> int:
        return -(-len(self.dataloader) // self.batches_a_step)

    def __iter__(self) -> Iterator[List[Dict[str, Any]]]:
        batches = iter(self.dataloader)
        while step := list(islice(batches, self.batches_a_step)):
            yield step

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataloader, name)


def skip_steps(dataloader: StepLoader, number: int) -> None:
    """Let the next iterator of the data loader begin after so many steps, without loading them.

    Raises:
        InputError: the batch sampler cannot skip.
    """
    if hasattr(dataloader.batch_sampler, 'skip_batches'):
        dataloader.batch_sampler.skip_batches = number * dataloader.batches_a_step
    elif number:
        name = type(dataloader.batch_sampler).__name__
        raise InputError(f'The training cannot go on in the middle of an epoch: {name} cannot skip batches. Set '
                         "train_dataloader.batch_sampler=dict(type='ClipBatchSampler').")
