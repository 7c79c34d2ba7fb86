"""Workers of data loaders: none outlives the process that it loads for, and none ends without a word."""
import os
import re
import resource
import signal
import time

import pytest
import torch
import torch.multiprocessing
from helpers.processes import is_alive, wait_for_end
from torch.utils.data import DataLoader, Dataset

from mmvis.engine.runner import VISRunner
from mmvis.engine.workers import worker_ends_told
from mmvis.errors import InputError


class Items(Dataset):
    """Four items; ``act`` is called in the worker before each."""

    def __init__(self, act):
        self.act = act

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.act()
        return torch.zeros(1 << 16)


def loader(act, **options) -> DataLoader:
    options = {'num_workers': 1, **options}
    return VISRunner.build_dataloader(dict(dataset=Items(act), batch_size=1, sampler=None, **options), seed=0)


def limit_files():
    """As in a container with a small /dev/shm: what is larger than so many bytes does not fit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, 1 << 12))


@pytest.mark.parametrize('act, sentence', [
    (limit_files, 'The data loader has too little shared memory .*--shm-size.*num_workers=0'),
    (lambda: os.kill(os.getpid(), signal.SIGBUS), 'The data loader has too little shared memory'),
    (lambda: os.kill(os.getpid(), signal.SIGKILL), 'A worker of the data loader was killed, .* memory is full')])
def test_a_worker_without_memory_ends_the_run_in_a_sentence(act, sentence):
    begin = time.monotonic()
    with pytest.raises(InputError, match=sentence), worker_ends_told():
        list(loader(act))
    assert time.monotonic() - begin < 30


def test_a_worker_that_crashes_is_a_bug():
    with pytest.raises(RuntimeError, match='DataLoader worker .* exited unexpectedly'), worker_ends_told():
        list(loader(lambda: os.kill(os.getpid(), signal.SIGSEGV)))


@pytest.fixture
def file_limit():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_data_loader_may_open_as_many_files_as_the_system_lets_it(file_limit):
    soft, hard = file_limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    loaded = list(loader(list, collate_fn=dict(type=split_items), prefetch_factor=4))
    assert sum(map(len, loaded)) == 4 << 8  # each is an open file, all wait at once
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 1 << 16), hard)


def split_items(items):
    """A batch of many tensors, of which each is handed over as an open file."""
    return [part.clone() for part in items[0].split(1 << 8)]


def run_out_of_files(pipe):
    """With the limit at its end a run says so, whichever of the two processes meets it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    try:
        with worker_ends_told():
            list(loader(list, collate_fn=dict(type=split_items), prefetch_factor=4))
    except InputError as error:
        pipe.send(str(error))
    except BaseException as error:
        pipe.send(repr(error))


def test_running_out_of_open_files_ends_the_run_in_a_sentence():
    context = torch.multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_out_of_files, args=(sender,))
    process.start()
    assert receiver.poll(60)
    said = receiver.recv()
    assert re.match('The data loader ran out of open files, .* have 100: .*ulimit -n', said), said
    process.join()


def load_for_ever(pipe, act):
    iterator = iter(loader(act, num_workers=2))
    pipe.send([worker.pid for worker in iterator._workers])
    time.sleep(600)


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize('act', [list, lambda: time.sleep(600)], ids=['waiting', 'loading'])
def test_workers_end_with_their_process(act, number):
    context = torch.multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=load_for_ever, args=(sender, act))
    process.start()
    workers = receiver.recv()
    assert all(map(is_alive, workers)) and len(workers) == 2
    os.kill(process.pid, number)
    process.join()
    assert wait_for_end(workers) == []
