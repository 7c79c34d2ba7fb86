"""Starting and joining the processes of a distributed job, on GPUs (NCCL) and on CPUs (Gloo).

mmengine 0.10.7 serves only machines with GPUs: its launchers call ``torch.cuda.set_device`` or divide by the number of
GPUs. What stands here needs none.
"""
import datetime
import os
import re
import signal
import socket
import sys
from typing import Callable, Dict, Mapping, Optional

import torch
import torch.distributed
import torch.multiprocessing
from torch.multiprocessing import _prctl_pr_set_pdeathsig

from mmvis.cli import end_process
from mmvis.environment import environment_number
from mmvis.errors import InputError

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
DEFAULT_PORT = 29500


def init_dist(launcher: str, backend: Optional[str] = None, timeout: Optional[float] = None) -> None:
    """Join the process group of the job that this process was started in.

    Args:
        launcher: ``'pytorch'`` (torchrun, ``tools/dist_train.sh``, ``--gpus N``), ``'slurm'`` (srun) or ``'mpi'``
            (mpirun).
        backend: ``'nccl'`` or ``'gloo'``; by default NCCL where there are GPUs, else Gloo. NCCL without a GPU becomes
            Gloo, so that the config of a GPU machine runs on a CPU.
        timeout: seconds a collective call may wait; by default that of torch.

    Raises:
        ValueError: a variable that the launcher has to set is missing, or there are more processes than GPUs.
    """
    variables = launcher_variables(launcher, os.environ)
    os.environ.update(variables)
    if torch.cuda.is_available():
        local_rank, num_gpus = int(variables['LOCAL_RANK']), torch.cuda.device_count()
        if local_rank >= num_gpus:
            raise InputError(f'Process {local_rank + 1} on this machine has no GPU of its own: it has {num_gpus} GPUs. '
                             'Start fewer processes, or hide the GPUs with CUDA_VISIBLE_DEVICES= to run on the CPU.')
        torch.cuda.set_device(local_rank)
    if backend is None or (backend == 'nccl' and not torch.cuda.is_available()):
        backend = 'nccl' if torch.cuda.is_available() else 'gloo'
    options = {} if timeout is None else {'timeout': datetime.timedelta(seconds=timeout)}
    torch.distributed.init_process_group(backend, **options)


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
    # 'gpu-[03-05,7],big1' -> 'gpu-03': the first host, without asking scontrol
    first_host = re.sub(r'\[([^\],-]+)[^\]]*\]', r'\1', _text(environ, 'SLURM_NODELIST')).split(',')[0]
    # two jobs on one machine must not meet at one port
    port = DEFAULT_PORT + environment_number('SLURM_JOB_ID', 0, 0, environ) % 1000
    return {
        'RANK': _number(environ, 'SLURM_PROCID'),
        'WORLD_SIZE': _number(environ, 'SLURM_NTASKS', minimum=1),
        'LOCAL_RANK': _number(environ, 'SLURM_LOCALID'),
        'MASTER_ADDR': environ.get('MASTER_ADDR') or first_host,
        'MASTER_PORT': _number(environ, 'MASTER_PORT', port),
    }


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


def spawn(function: Callable, num_processes: int, *args) -> None:
    """Run ``function(*args)`` in N new processes on this machine and wait; leave with their exit code if one fails.

    Without a GPU they run on the CPU. For a job over several machines the standard variables say which part this is:
    ``NNODES``, ``NODE_RANK``, ``MASTER_ADDR`` and ``PORT`` (or ``MASTER_PORT``).

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
        address, port = os.environ['MASTER_ADDR'], environment_number('MASTER_PORT', DEFAULT_PORT)
    else:
        address, port = '127.0.0.1', _free_port()
    variables = {'WORLD_SIZE': str(num_nodes * num_processes), 'MASTER_ADDR': address,
                 'MASTER_PORT': str(environment_number('PORT', port))}
    # N processes that each take all cores would slow one another down
    threads = str(max(1, (os.cpu_count() or 1) // num_processes))
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ[name] = os.environ.get(name) or threads
    try:
        torch.multiprocessing.spawn(
            _run_process, (function, args, variables, node_rank * num_processes), nprocs=num_processes)
    except torch.multiprocessing.ProcessExitedException as error:
        if error.exit_code != 1:  # with 1 the process has said why
            print(f'error: {error}', file=sys.stderr)
        sys.exit(error.exit_code if error.exit_code > 0 else 1)


def _run_process(local_rank: int, function: Callable, args: tuple, variables: Dict[str, str], first_rank: int) -> None:
    # torch lets the death of the parent interrupt its children, but what was started in the background ignores that
    _prctl_pr_set_pdeathsig(signal.SIGTERM)
    os.environ.update(variables, RANK=str(first_rank + local_rank), LOCAL_RANK=str(local_rank))
    torch.multiprocessing.set_start_method(None, force=True)  # 'spawn' is for this process, not for its workers
    function(*args)
    end_process()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]
