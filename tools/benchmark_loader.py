"""`tools/benchmark.py training CONFIG --loader`: whether the data loader keeps up with the training."""
import argparse
import time
from itertools import islice
from typing import Any, Callable, Dict, Iterator

from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from mmvis.cli import number_in
from mmvis.engine.runner import VISRunner
from mmvis.errors import InputMissingError
from mmvis.registry import DATASETS

WORKERS = [0, 1, 2, 4]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option to the parser of the training."""
    parser.add_argument('--loader', type=number_in(0), nargs='*', metavar='WORKERS',
                        help='clips a second that the data loader gives with so many workers (0 1 2 4), and what share of a '
                        'step waits for it; on the data of the config where they are there, else on sample videos')


def benchmark_loader(cfg: Config, args: argparse.Namespace, sample: Dataset, size: int,
                     step: Callable[[Dict[str, Any]], None]) -> None:
    """Print a row for each number of workers.

    Args:
        cfg, args: config and arguments of the benchmark.
        sample: sample videos in the form of the config, for want of its own data.
        size: clips a step.
        step: trains on a batch and comes back when the device is done.
    """
    try:
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        print(f'data: {getattr(dataset, "ann_file", "those of the config")}')
    except InputMissingError as error:
        dataset = sample
        print(f'data: sample videos ({error})')
    print(f'{args.steps} steps of {size} clips; clips a second without a training, and what share of its steps waits for data')
    print('| workers | clips a second | clips a second and worker | waiting for data |\n|---|---|---|---|')
    for workers in args.loader or WORKERS:
        alone = steps_of(cfg, dataset, size, workers)
        next(alone)  # the workers have started
        begin = time.perf_counter()
        clips = sum(len(batch['inputs']) for batch in islice(alone, args.steps))
        rate = clips / (time.perf_counter() - begin)
        share = waiting(steps_of(cfg, dataset, size, workers), args.steps, step)
        print(f'| {workers} | {rate:.1f} | {rate / max(workers, 1):.1f} | {100 * share:.0f} % |')


def waiting(batches: Iterator[Dict[str, Any]], steps: int, step: Callable[[Dict[str, Any]], None]) -> float:
    """The share of the time of so many steps that passes before their batches are there."""
    step(next(batches))
    waited, begin = 0., time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        step(batch)
    return waited / (time.perf_counter() - begin)


def steps_of(cfg: Config, dataset: Dataset, size: int, workers: int) -> Iterator[Dict[str, Any]]:
    """Batches without end, loaded as in the training of the config by so many workers."""
    options = dict(cfg.train_dataloader, dataset=dataset, batch_size=size, num_workers=workers,
                   sampler=dict(type='InfiniteClipSampler'))
    if not workers:
        for name in ('persistent_workers', 'prefetch_factor'):
            options.pop(name, None)
    dataloader: DataLoader = VISRunner.build_dataloader(options, seed=0)
    yield from dataloader
