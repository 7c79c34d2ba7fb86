"""Processes: what the launchers set, and two Gloo processes for real."""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import rank_jobs
from helpers.processes import is_alive, wait_for_end
from helpers.toy_training import ToyModel
from mmengine.config import ConfigDict
from mmengine.dist import get_rank
from mmengine.model import MMDistributedDataParallel

from mmvis.cli import Failure
from mmvis.engine import VISRunner, launch, run_tool
from mmvis.engine.launch import launcher_variables
from mmvis.errors import InputError

SLURM = dict(SLURM_PROCID='5', SLURM_NTASKS='8', SLURM_LOCALID='1')


def test_slurm_variables():
    variables = launcher_variables('slurm', dict(SLURM, SLURM_JOB_ID='12345', SLURM_NODELIST='gpu-[03-05,7],big1'))
    port = variables.pop('MASTER_PORT')
    assert variables == dict(RANK='5', WORLD_SIZE='8', LOCAL_RANK='1', MASTER_ADDR='gpu-03') and 10000 <= int(port) < 32768
    # a step of two processes on the second half of the job's machines
    step = dict(SLURM, SLURM_JOB_NODELIST='gpu-[03-06]', SLURM_NODELIST='gpu-[03-06]', SLURM_STEP_NODELIST='gpu-[05-06]',
                SLURM_STEP_NUM_TASKS='6')
    variables = launcher_variables('slurm', step)
    assert variables['MASTER_ADDR'] == 'gpu-05' and variables['WORLD_SIZE'] == '6'
    variables = launcher_variables('slurm', dict(step, MASTER_ADDR='here', MASTER_PORT='7'))
    assert (variables['MASTER_ADDR'], variables['MASTER_PORT']) == ('here', '7')
    with pytest.raises(InputError, match='slurm needs the environment variable SLURM_NTASKS'):
        launcher_variables('slurm', dict(SLURM_NODELIST='a', SLURM_PROCID='0'))


def test_steps_and_jobs_of_slurm_have_ports_of_their_own():
    def port(job, step):
        return launcher_variables('slurm', dict(SLURM, SLURM_NODELIST='a', SLURM_JOB_ID=str(job), SLURM_STEP_ID=str(step))
                                  )['MASTER_PORT']

    ports = {port(job, step) for job in range(4900, 5000) for step in range(40)}
    assert len(ports) == 100 * 40  # by JOB_ID % 1000 all steps of a job had one
    assert port(4900, 0) not in {port(5900, step) for step in range(40)}


@pytest.mark.parametrize('variables, launcher, local_rank, num_gpus, taken', [
    ({}, 'pytorch', 3, 8, 3), ({}, 'slurm', 3, 8, 3), (dict(SLURM_GPUS_ON_NODE='8'), 'slurm', 3, 8, 3),
    (dict(SLURM_GPUS_PER_TASK='1'), 'slurm', 3, 1, 0), (dict(SLURM_GPUS_ON_NODE='4'), 'slurm', 3, 1, 0),
    (dict(SLURM_TRES_PER_TASK='cpu=5,gres/gpu=1'), 'slurm', 1, 1, 0), (dict(SLURM_GPUS_ON_NODE='gpu:4'), 'slurm', 3, 2, 1),
    (dict(SLURM_GPUS_PER_TASK='1'), 'pytorch', 1, 1, None), (dict(SLURM_GPUS_ON_NODE='1'), 'slurm', 1, 1, None)])
def test_the_gpu_that_a_process_takes(monkeypatch, variables, launcher, local_rank, num_gpus, taken):
    chosen = []
    names = launcher_variables('slurm', dict(SLURM, SLURM_NODELIST='a', SLURM_LOCALID=str(local_rank)))
    for name in ('SLURM_GPUS_PER_TASK', 'SLURM_GPUS_ON_NODE', 'SLURM_TRES_PER_TASK', *names):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, 'launcher_variables', lambda *args: names)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: num_gpus)
    monkeypatch.setattr(torch.cuda, 'set_device', chosen.append)
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda *args, **options: None)
    if taken is None:
        with pytest.raises(InputError, match=f'Process {local_rank + 1} on this machine has no GPU of its own'):
            launch.init_dist(launcher)
    else:
        launch.init_dist(launcher)
        assert chosen == [taken]


@pytest.mark.parametrize('nodes, first', [('big1', 'big1'), ('a1,a2', 'a1'), ('rack[1-2]node[07,9]', 'rack1node07')])
def test_slurm_first_host(nodes, first):
    assert launcher_variables('slurm', dict(SLURM, SLURM_NODELIST=nodes))['MASTER_ADDR'] == first


def test_mpi_variables():
    environ = dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2', OMPI_COMM_WORLD_LOCAL_RANK='1',
                   OMPI_COMM_WORLD_LOCAL_SIZE='2')
    assert launcher_variables('mpi', environ) == dict(RANK='1', WORLD_SIZE='2', LOCAL_RANK='1', MASTER_ADDR='127.0.0.1',
                                                      MASTER_PORT='29500')
    with pytest.raises(ValueError, match='mpi needs the environment variable MASTER_ADDR'):
        launcher_variables('mpi', dict(environ, OMPI_COMM_WORLD_LOCAL_SIZE='1'))


def test_missing_variable_is_named():
    with pytest.raises(ValueError, match='pytorch needs the environment variable RANK: start the tool with torchrun'):
        launcher_variables('pytorch', {})


def test_several_machines_need_an_address(monkeypatch):
    monkeypatch.setenv('NNODES', '2')
    monkeypatch.delenv('MASTER_ADDR', raising=False)
    with pytest.raises(ValueError, match='MASTER_ADDR'):
        launch.spawn(print, 1)


def test_several_machines_meet_at_a_port_of_the_job(monkeypatch, capfd):
    def port(job, **variables):
        met = []
        monkeypatch.setattr(launch, '_supervise', lambda ranks: None)
        monkeypatch.setattr(torch.multiprocessing, 'get_context', lambda name: Context(met))
        with monkeypatch.context() as patch:
            for name, value in {'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': '10.0.0.1', **variables}.items():
                patch.setenv(name, value)
            launch.spawn(print, 1, job=job)
        [(_, _, _, _, environment)] = met
        assert f', port {environment["MASTER_PORT"]}.' in capfd.readouterr().out
        return environment['MASTER_PORT']

    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('MKL_NUM_THREADS', '1')
    for name in ('PORT', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    assert port('train a') == port('train a', NODE_RANK='0')  # every machine comes to the same
    assert port('train a') != port('train b') != port('train b', MASTER_ADDR='10.0.0.2')
    assert port('train a', PORT='1234', MASTER_PORT='2') == '1234' and port('train a', MASTER_PORT='2345') == '2345'


class Context:
    """Starts nothing, and notes what it was to start."""

    def __init__(self, started):
        self.started = started

    def Pipe(self, duplex):
        return open(os.devnull), open(os.devnull)

    def Process(self, target, args):
        self.started.append(args)
        return SimpleNamespace(start=lambda: None)


def test_a_port_that_is_taken_is_told_in_a_sentence(monkeypatch):
    with socket.socket() as other:
        other.bind(('', 0))
        other.listen()
        port = str(other.getsockname()[1])
        for name, value in dict(RANK='0', WORLD_SIZE='2', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=port).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match=f'cannot meet at 127.0.0.1, port {port}: another program has this port. Set PORT'):
            launch.init_dist('pytorch')


def batch(size):
    generator = torch.Generator().manual_seed(0)
    clips = torch.rand(size, 2, 3, 24, 32, generator=generator)
    covered = torch.rand(size, 2, 24, 32, generator=generator) > 0.5

    def sample(mask):
        return ConfigDict(gt_instances=dict(masks=mask[None]))

    return clips, [[sample(mask) for mask in clip] for clip in covered]


def gradients(model, clips, samples):
    model.zero_grad()
    sum(model(clips, samples).values()).backward()
    return {name.removeprefix('module.'): parameter.grad.clone() for name, parameter in model.named_parameters()}


def make_model():
    torch.manual_seed(3)
    return ToyModel(noise=False, batch_norm=False).double()


def write_gradients(folder):
    """What each of two processes runs: draws, and the gradients of its half of the batch, averaged by the runner."""
    torch.set_num_threads(1)
    runner = VISRunner(make_model(), work_dir=folder, launcher='pytorch', experiment_name='gradients',
                       randomness=dict(seed=5))
    torch.save((runner.seed, torch.rand(4)), f'{folder}/draws_{get_rank()}.pth')
    assert type(runner.model) is MMDistributedDataParallel and runner.world_size == 2
    clips, samples = batch(4)
    half = slice(2 * get_rank(), 2 * get_rank() + 2)
    torch.save(gradients(runner.model, clips[half].double(), samples[half]), f'{folder}/{get_rank()}.pth')


def test_two_processes_have_the_mean_gradient_of_the_halves_and_draws_of_their_own(tmp_path):
    launch.spawn(write_gradients, 2, str(tmp_path))
    clips, samples = batch(4)
    model = make_model()
    halves = [gradients(model, clips[half].double(), samples[half]) for half in (slice(0, 2), slice(2, 4))]
    for rank in range(2):
        for name, value in torch.load(tmp_path / f'{rank}.pth').items():
            expected = (halves[0][name] + halves[1][name]) / 2
            assert expected.abs().max() > 1e-3
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)
            assert not torch.allclose(halves[0][name], expected, rtol=0, atol=1e-6)
    # each drops other activations, while the order of the data, which goes by the runner's seed, is one
    for rank in range(2):
        seed, draws = torch.load(tmp_path / f'draws_{rank}.pth')
        assert seed == 5 and torch.equal(draws, torch.rand(4, generator=torch.Generator().manual_seed(5 + rank)))


@pytest.fixture
def forked(monkeypatch):
    """Processes begin at once, without importing everything anew; only a program without CUDA may do so."""
    context = torch.multiprocessing.get_context('fork')
    monkeypatch.setattr(torch.multiprocessing, 'get_context', lambda name: context)
    return context


def spawned(capfd, function, *args):
    """Exit code of a job of two processes and what it said."""
    with pytest.raises(SystemExit) as stop:
        launch.spawn(function, 2, *args)
    return stop.value.code, capfd.readouterr().err


def test_a_failure_is_told_once_and_ends_the_job(capfd, forked):
    code, said = spawned(capfd, rank_jobs.fail, '', True)
    assert (code, said) == (1, 'error: what happened\n')


def test_a_bug_of_one_process_keeps_its_traceback_and_rank(capfd, forked):
    code, said = spawned(capfd, rank_jobs.fail, '', False)
    assert code == 1 and said.count('Traceback') == 1
    assert said.startswith('rank 1: Traceback') and said.endswith("KeyError: 'what happened'\n")


def test_a_lost_process_ends_the_others(capfd, tmp_path, forked):
    code, said = spawned(capfd, rank_jobs.lose_one, str(tmp_path))
    assert code == 1
    assert said == 'error: Process 1 of the 2 on this machine was ended by SIGKILL: is the memory of the machine full?\n'
    assert not any(is_alive(int(file.read_text())) for file in tmp_path.iterdir())


def test_a_process_that_sleeps_ends_the_job_after_the_time_that_is_set(capfd, forked):
    begin = time.monotonic()
    code, said = spawned(capfd, rank_jobs.sleep_in_a_collective, 1.)
    assert code == 1 and said.startswith('error: Process 0 of the job has waited 1 s for another in vain: it hangs, or'), said
    assert 'env_cfg.dist_cfg.timeout=SECONDS' in said and said.count('\n') == 1 and time.monotonic() - begin < 15


def test_whoever_makes_progress_is_waited_for_and_who_does_not_is_given_up(capfd, forked):
    launch.spawn(rank_jobs.sleep_at_the_end, 2, 0.5, True)  # three times as long as one that does nothing is waited for
    code, said = spawned(capfd, rank_jobs.sleep_at_the_end, 0.5, False)
    assert code == 1 and said.startswith('error: Process 1 of the job has made no progress for 0.5 s, while process 0'), said


def test_a_lost_process_is_no_cause():
    rank = SimpleNamespace(number=0, process=SimpleNamespace(exitcode=1))
    said = [Failure(True, 'error: lost', True), Failure(False, 'Traceback: bug')]
    failed = [SimpleNamespace(**vars(rank), failures=SimpleNamespace(recv=lambda failure=failure: failure)) for failure in said]
    assert launch._find_cause(failed, 2) == (said[1], 1)
    assert launch._find_cause(failed[:1], 2) == (said[0], 1)


@pytest.mark.parametrize('timeout', ['x', 0, -1, None])
def test_a_time_that_is_none_is_named(timeout):
    with pytest.raises(InputError, match='env_cfg.dist_cfg.timeout is .*: a number of seconds'):
        launch.init_dist('pytorch', timeout=timeout)


@pytest.mark.parametrize('name', ['SIGKILL', 'SIGTERM', 'SIGINT'])
def test_processes_end_with_their_launcher(tmp_path, name, forked, capfd):
    number = getattr(signal, name)
    job = forked.Process(target=run_tool, args=(lambda: launch.spawn(rank_jobs.wait_for_ever, 2, str(tmp_path)),))
    job.start()
    files = [tmp_path / str(rank) for rank in range(2)]
    while not all(file.exists() and file.read_text() for file in files):
        assert job.is_alive()
        time.sleep(0.05)
    os.kill(job.pid, number)
    job.join(60)
    assert job.exitcode == (-number if name == 'SIGKILL' else 128 + number) and capfd.readouterr().err == ''
    assert not wait_for_end([int(file.read_text()) for file in files])


def test_ctrl_c_while_the_processes_begin_is_quiet(tmp_path):
    job = subprocess.Popen([sys.executable, rank_jobs.__file__, tmp_path], stderr=subprocess.PIPE, text=True,
                           start_new_session=True)
    while len(Path(f'/proc/{job.pid}/task/{job.pid}/children').read_text().split()) < 3:  # two, and the resource tracker
        assert job.poll() is None
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does
    told = job.communicate(timeout=60)[1]
    assert job.returncode == 130
    # A Python that is hit before it has started says so itself, before any line of ours runs.
    assert told == '' or told.startswith('Fatal Python error: init_import_site')
