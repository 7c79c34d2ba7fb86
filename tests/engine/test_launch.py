"""Processes: what the launchers set, and two Gloo processes for real."""
import pytest
import torch
from helpers.toy_training import ToyModel
from mmengine.config import ConfigDict
from mmengine.dist import get_rank
from mmengine.model import MMDistributedDataParallel

from mmvis.engine import VISRunner, launch, run_tool
from mmvis.engine.launch import launcher_variables
from mmvis.errors import InputError


SLURM = dict(SLURM_PROCID='5', SLURM_NTASKS='8', SLURM_LOCALID='1')


def test_slurm_variables():
    variables = launcher_variables('slurm', dict(SLURM, SLURM_JOB_ID='12345', SLURM_NODELIST='gpu-[03-05,7],big1'))
    assert variables == dict(RANK='5', WORLD_SIZE='8', LOCAL_RANK='1', MASTER_ADDR='gpu-03', MASTER_PORT='29845')


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
    """What each of two processes runs: the gradients of its half of the batch, averaged by the runner's wrapper."""
    torch.set_num_threads(1)
    runner = VISRunner(make_model(), work_dir=folder, launcher='pytorch', experiment_name='gradients')
    assert type(runner.model) is MMDistributedDataParallel and runner.world_size == 2
    clips, samples = batch(4)
    half = slice(2 * get_rank(), 2 * get_rank() + 2)
    torch.save(gradients(runner.model, clips[half].double(), samples[half]), f'{folder}/{get_rank()}.pth')


def test_two_processes_have_the_mean_gradient_of_the_halves(tmp_path):
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


def raise_sentence():
    raise InputError('a sentence')


def test_failing_process_ends_the_job_with_its_exit_code(capfd):
    with pytest.raises(SystemExit) as stop:
        launch.spawn(run_tool, 1, raise_sentence)
    assert stop.value.code == 1
    err = capfd.readouterr().err
    assert 'error: a sentence' in err and 'Traceback' not in err, err
