"""Starting and joining the processes of a distributed job, on GPUs (NCCL) and on CPUs (Gloo).

mmengine 0.10.7 serves only machines with GPUs: its launchers call ``torch.cuda.set_device`` or divide by the number of
GPUs. What stands here needs none.
"""
import datetime
import math
import multiprocessing.connection
import os
import re
import signal
import socket
import sys
import time
import zlib
from contextlib import contextmanager, suppress
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.distributed
import torch.multiprocessing

from mmvis.cli import EXIT_STOPPED, Failure, handled, print_failure, run_tool
from mmvis.environment import LAUNCHERS, environment_number
from mmvis.errors import InputError
from mmvis.processes import end_with_parent, usable_cores

DEFAULT_PORT = 29500
_FIRST_PORT, _NUM_PORTS = 10000, 19997  # a prime number: no two of a job's steps, or of neighbouring jobs, share one
_STEPS_OF_A_JOB = 131
#: Seconds that a process waits for another that does nothing. Loading a batch, a step, a chunk of a video, writing a
#: checkpoint and computing AP each take less.
TIMEOUT_SECONDS = 3600.
#: How long the processes of a job have to end in when one of them has failed.
GRACE_SECONDS = 15.
_LONGEST_TEXT = 16000  # what a pipe takes that nobody reads yet


def init_dist(launcher: str, backend: Optional[str] = None, timeout: float = TIMEOUT_SECONDS) -> None:
    """Join the process group of the job that this process was started in.

    Args:
        launcher: ``'pytorch'`` (torchrun, ``tools/dist_train.sh``, ``--gpus N``), ``'slurm'`` (srun) or ``'mpi'``
            (mpirun).
        backend: ``'nccl'`` or ``'gloo'``; by default NCCL where there are GPUs, else Gloo. NCCL without a GPU becomes
            Gloo, so that the config of a GPU machine runs on a CPU.
        timeout: seconds a collective call may wait.

    Raises:
        ValueError: a variable that the launcher has to set is missing, or there are more processes than GPUs.
    """
    if not isinstance(timeout, (int, float)) or not 0 < timeout < 1e9:
        raise InputError(f'env_cfg.dist_cfg.timeout is {timeout!r}: a number of seconds is expected.')
    variables = launcher_variables(launcher, os.environ)
    os.environ.update(variables)
    if torch.cuda.is_available():
        gpu = _gpu_of(launcher, int(variables['LOCAL_RANK']), torch.cuda.device_count(), os.environ)
        torch.cuda.set_device(gpu)
    if backend is None or (backend == 'nccl' and not torch.cuda.is_available()):
        backend = 'nccl' if torch.cuda.is_available() else 'gloo'
    # NCCL would guess the GPU by the rank, and may take that of another process
    device = dict(device_id=torch.device('cuda', gpu)) if backend == 'nccl' else {}
    try:
        torch.distributed.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout), **device)
    except (torch.distributed.DistNetworkError, torch.distributed.DistStoreError) as error:
        raise InputError(_meeting_failure(variables, str(error))) from error


def _meeting_failure(variables: Mapping[str, str], reason: str) -> str:
    place = f'{variables["MASTER_ADDR"]}, port {variables["MASTER_PORT"]}'
    if 'EADDRINUSE' in reason or 'already in use' in reason:
        return (f'The processes cannot meet at {place}: another program has this port. Set PORT (Slurm, mpirun: MASTER_PORT) '
                'to a free one, the same on all machines.')
    return (f'Process {variables["RANK"]} has not met the others at {place}: does the first machine have this address, does '
            f'its process run, are PORT and the command the same on all machines? ({" ".join(reason.split())[:200]})')


def _gpu_of(launcher: str, local_rank: int, num_gpus: int, environ: Mapping[str, str]) -> int:
    """Which of the GPUs that it sees a process takes: that of its number on the machine. Where Slurm shows each process
    only its own ones (``--gpus-per-task``, ``--ntasks-per-gpu``, ``--gpu-bind``) they are numbered from 0 in each."""
    on_node = re.search(r'\d+$', environ.get('SLURM_GPUS_ON_NODE', ''))
    if launcher == 'slurm' and (environ.get('SLURM_GPUS_PER_TASK') or environ.get('SLURM_NTASKS_PER_GPU')
                                or 'gpu' in environ.get('SLURM_TRES_PER_TASK', '') or on_node and int(on_node[0]) > num_gpus):
        return local_rank % num_gpus
    if local_rank >= num_gpus:
        raise InputError(f'Process {local_rank + 1} on this machine has no GPU of its own: it has {num_gpus} GPUs. '
                         'Start fewer processes, or hide the GPUs with CUDA_VISIBLE_DEVICES= to run on the CPU.')
    return local_rank


def launcher_variables(launcher: str, environ: Mapping[str, str]) -> Dict[str, str]:
    """``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``, from what the launcher has set."""
    readers = {'pytorch': _pytorch_variables, 'slurm': _slurm_variables, 'mpi': _mpi_variables}
    if launcher not in readers:
        raise InputError(f'Launcher {launcher!r} is not known: take one of {", ".join(LAUNCHERS)}.')
    try:
        return readers[launcher](environ)
    except KeyError as error:
        starter = {'pytorch': 'torchrun or --gpus N', 'slurm': 'srun', 'mpi': 'mpirun'}[launcher]
        raise InputError(f'Launcher {launcher} needs the environment variable {error.args[0]}: '
                         f'start the tool with {starter}.') from None


def _number(environ: Mapping[str, str], name: str, default: Optional[int] = None, minimum: int = 0) -> str:
    """A number that the launcher has to set, unless there is a default."""
    number = environment_number(name, default, minimum, environ)
    if number is None:
        raise KeyError(name)
    return str(number)


def _text(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):  # set to nothing is not set
        raise KeyError(name)
    return environ[name]


def _pytorch_variables(environ: Mapping[str, str]) -> Dict[str, str]:
    return {
        'RANK': _number(environ, 'RANK'),
        'WORLD_SIZE': _number(environ, 'WORLD_SIZE', minimum=1),
        'LOCAL_RANK': _number(environ, 'LOCAL_RANK'),
        'MASTER_ADDR': _text(environ, 'MASTER_ADDR'),
        'MASTER_PORT': _number(environ, 'MASTER_PORT'),
    }


def _slurm_variables(environ: Mapping[str, str]) -> Dict[str, str]:
    # a step may have part of the machines and processes of its job
    hosts = environ.get('SLURM_STEP_NODELIST') or environ.get('SLURM_JOB_NODELIST') or _text(environ, 'SLURM_NODELIST')
    # 'gpu-[03-05,7],big1' -> 'gpu-03': the first host, without asking scontrol
    first_host = re.sub(r'\[([^\],-]+)[^\]]*\]', r'\1', hosts).split(',')[0]
    size = environment_number('SLURM_STEP_NUM_TASKS', environment_number('SLURM_NTASKS', None, 1, environ), 1, environ)
    # of two steps, or two jobs, on one machine each has a port of its own
    job = environment_number('SLURM_JOB_ID', 0, 0, environ)
    step = environment_number('SLURM_STEP_ID', environment_number('SLURM_STEPID', 0, 0, environ), 0, environ)
    if size is None:
        raise KeyError('SLURM_NTASKS')
    return {
        'RANK': _number(environ, 'SLURM_PROCID'),
        'WORLD_SIZE': str(size),
        'LOCAL_RANK': _number(environ, 'SLURM_LOCALID'),
        'MASTER_ADDR': environ.get('MASTER_ADDR') or first_host,
        'MASTER_PORT': _number(environ, 'MASTER_PORT', port_of(job * _STEPS_OF_A_JOB + step) if job else DEFAULT_PORT),
    }


def port_of(number: int) -> int:
    """A port for the job of a number; below those that the system gives to connections."""
    return _FIRST_PORT + number % _NUM_PORTS


def _mpi_variables(environ: Mapping[str, str]) -> Dict[str, str]:
    size = _number(environ, 'OMPI_COMM_WORLD_SIZE', minimum=1)
    # with all processes on one machine there is no address to give
    on_one_machine = size == environ.get('OMPI_COMM_WORLD_LOCAL_SIZE')
    address = environ.get('MASTER_ADDR') or '127.0.0.1' if on_one_machine else _text(environ, 'MASTER_ADDR')
    return {
        'RANK': _number(environ, 'OMPI_COMM_WORLD_RANK'),
        'WORLD_SIZE': size,
        'LOCAL_RANK': _number(environ, 'OMPI_COMM_WORLD_LOCAL_RANK'),
        'MASTER_ADDR': address,
        'MASTER_PORT': _number(environ, 'MASTER_PORT', DEFAULT_PORT),
    }


def spawn(function: Callable, num_processes: int, *args, job: str = '') -> None:
    """Run ``function(*args)`` in N new processes on this machine, each under ``run_tool``, and wait for them.

    When one fails, the others are ended, its failure is told once, and this process leaves with its exit code. Signals
    are handed on to all of them; they do not outlive this process.

    Without a GPU they run on the CPU. For a job over several machines the standard variables say which part this is:
    ``NNODES``, ``NODE_RANK``, ``MASTER_ADDR`` and ``PORT`` (or ``MASTER_PORT``).

    Args:
        function, args: what each process runs.
        num_processes: on this machine.
        job: what tells the job from others, the same on all its machines: without PORT they meet at a port that follows
            from it.

    Raises:
        ValueError: too few GPUs, or an incomplete description of the machines.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_processes < 1 or 0 < num_gpus < num_processes:
        raise InputError(f'{num_processes} processes cannot be started: this machine has {num_gpus} GPUs.')
    num_nodes, node_rank = environment_number('NNODES', 1, minimum=1), environment_number('NODE_RANK', 0)
    if not 0 <= node_rank < num_nodes:
        raise InputError(f'NODE_RANK is {node_rank}, but NNODES says there are {num_nodes} machines (the first is 0).')
    if num_nodes > 1 and not os.environ.get('MASTER_ADDR'):
        raise InputError(f'NNODES is {num_nodes}, but MASTER_ADDR, the address of the first machine, is not set.')
    if num_nodes > 1:
        address = os.environ['MASTER_ADDR']
        name = f'{job} {address} {num_nodes} {num_processes}'
        port = environment_number('PORT', environment_number('MASTER_PORT', port_of(zlib.crc32(name.encode()))))
        print(f'Machine {node_rank + 1} of {num_nodes}, {num_processes} processes: meeting at {address}, port {port}.',
              flush=True)
    else:
        address, port = '127.0.0.1', environment_number('PORT', _free_port())
    variables = {'WORLD_SIZE': str(num_nodes * num_processes), 'MASTER_ADDR': address, 'MASTER_PORT': str(port)}
    # N processes that each take all cores would slow one another down
    threads = str(max(1, usable_cores() // num_processes))
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ[name] = os.environ.get(name) or threads
    context = torch.multiprocessing.get_context('spawn')
    job = []
    with _interrupt_held():  # one that is still importing would tell it in a traceback
        for local_rank in range(num_processes):
            receiver, sender = context.Pipe(duplex=False)
            rank = node_rank * num_processes + local_rank
            environment = dict(variables, RANK=str(rank), LOCAL_RANK=str(local_rank))
            process = context.Process(target=_run_process, args=(os.getpid(), sender, function, args, environment))
            process.start()
            sender.close()
            job.append(_Rank(rank, process, receiver))
    _supervise(job)


class _Rank(NamedTuple):
    """A process that was started here, and the pipe that its failure comes by."""
    number: int
    process: Any
    failures: Any


def _run_process(parent: int, sender, function: Callable, args: tuple, environment: Dict[str, str]) -> None:
    end_with_parent(parent, signal.SIGTERM)
    os.environ.update(environment)
    torch.multiprocessing.set_start_method(None, force=True)  # 'spawn' is for this process, not for its workers

    def main() -> None:
        if hasattr(signal, 'pthread_sigmask'):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        function(*args)

    run_tool(main, tell=lambda failure: sender.send(failure._replace(text=failure.text[-_LONGEST_TEXT:])))


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Ctrl-C waits until the end of the block; processes that are started in it let it wait until they are ready."""
    if not hasattr(signal, 'pthread_sigmask'):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _supervise(job: Sequence[_Rank]) -> None:
    """Wait for the processes of a job; hand signals on to them, and end all when one ends badly.

    The failure that stopped the job is told here, once, and its exit code becomes that of this process.
    """
    told = []

    def hand_on(number: int, frame) -> None:
        told.append(number)
        _signal_all(job, number)

    with handled(hand_on, 'SIGTERM', 'SIGUSR1'):
        try:
            failed = _wait(job)
        except KeyboardInterrupt:  # a terminal sends it to all; who has not heard it is told here
            _signal_all(job, signal.SIGTERM)
            _wait(job, GRACE_SECONDS)
            raise
    if not failed:
        return
    codes = [rank.process.exitcode for rank in failed]
    if EXIT_STOPPED in codes or told:
        sys.exit(EXIT_STOPPED if EXIT_STOPPED in codes else 128 + told[0])
    failure, code = _find_cause(failed, len(job))
    if failure is not None:
        print_failure(failure)
    sys.exit(code)


def _wait(job: Sequence[_Rank], seconds: float = math.inf) -> List[_Rank]:
    """Wait until all have ended: so many seconds, or ``GRACE_SECONDS`` after one has failed; what is left is killed.

    Returns:
        Those that did not end well, in the order of their ends.
    """
    alive = {rank.process.sentinel: rank for rank in job}
    deadline, failed = time.monotonic() + seconds, []
    while alive:
        left = deadline - time.monotonic()
        ended = multiprocessing.connection.wait(alive, None if left == math.inf else max(0., left))
        if not ended:
            for rank in alive.values():
                rank.process.kill()
            deadline = math.inf
        for sentinel in ended:
            rank = alive.pop(sentinel)
            rank.process.join()
            if rank.process.exitcode == 0:
                continue
            if not failed:
                deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
                _signal_all(alive.values(), signal.SIGTERM)
            failed.append(rank)
    return failed


def _signal_all(job: Iterable[_Rank], number: int) -> None:
    for rank in job:
        if rank.process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(rank.process.pid, number)


def _find_cause(failed: Sequence[_Rank], size: int) -> Tuple[Optional[Failure], int]:
    """What stopped the job, and its exit code: when one process is gone the others only say that they lost it."""
    failures = []
    for rank in failed:
        with suppress(EOFError):  # it ended without a word
            failures.append(rank.failures.recv())
    causes = [failure for failure in failures if not failure.is_consequence]
    for failure in causes:
        if failure.is_sentence:
            return failure, 1
    for rank in failed:
        code = rank.process.exitcode
        if code < 0 and code != -signal.SIGTERM:
            name = signal.Signals(-code).name
            hint = ': is the memory of the machine full?' if name == 'SIGKILL' else '.'
            return Failure(True, f'error: Process {rank.number} of the {size} on this machine was ended by {name}{hint}'), 1
    return [*causes, *failures, None][0], max(failed[0].process.exitcode, 1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]
