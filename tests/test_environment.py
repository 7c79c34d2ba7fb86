"""Numbers of environment variables: set to nothing is unset, what is no number is said."""
import pytest

from mmvis.engine.launch import launcher_variables
from mmvis.environment import environment_number, thread_number
from mmvis.errors import InputError


@pytest.mark.parametrize('text, number', [('', 7), ('  ', 7), ('3', 3), (' 4 ', 4), ('0', 0), ('+2', 2)])
def test_a_number_or_the_default(text, number):
    assert environment_number('X', 7, environ={'X': text}) == number
    assert environment_number('X', 7, environ={}) == 7


@pytest.mark.parametrize('text', ['auto', '1.5', '-1', '1e3', '٣', '2,3', '1_0', '--1'])
def test_what_is_no_number_is_said(text):
    with pytest.raises(InputError, match='environment variable NNODES is .*, which is no whole number of at least 0'):
        environment_number('NNODES', 1, environ={'NNODES': text})


def test_threads(monkeypatch):
    for text, number in (('', 5), ('3', 3), ('4,2', 4), (',2', 5)):
        monkeypatch.setenv('OMP_NUM_THREADS', text)
        assert thread_number(5) == number
    monkeypatch.delenv('OMP_NUM_THREADS')
    assert thread_number(5) == 5
    for text in ('0', 'auto'):
        with pytest.raises(InputError, match='OMP_NUM_THREADS is .*at least 1'):
            thread_number(5, {'OMP_NUM_THREADS': text})


SLURM = dict(SLURM_PROCID='1', SLURM_NTASKS='2', SLURM_LOCALID='1', SLURM_NODELIST='a1')
TORCHRUN = dict(RANK='1', WORLD_SIZE='2', LOCAL_RANK='1', MASTER_ADDR='a1', MASTER_PORT='29500')


@pytest.mark.parametrize('launcher, environ', [('slurm', SLURM), ('pytorch', TORCHRUN)])
def test_launchers_read_numbers_alike(launcher, environ):
    for name in environ:
        with pytest.raises(InputError, match=f'needs the environment variable {name}'):
            launcher_variables(launcher, {**environ, name: ''})
        if name not in ('SLURM_NODELIST', 'MASTER_ADDR'):
            with pytest.raises(InputError, match=f"environment variable {name} is 'two'"):
                launcher_variables(launcher, {**environ, name: 'two'})


def test_slurm_with_variables_set_to_nothing():
    variables = launcher_variables('slurm', {**SLURM, 'SLURM_JOB_ID': '', 'MASTER_PORT': '', 'MASTER_ADDR': ''})
    assert variables['MASTER_PORT'] == '29500' and variables['MASTER_ADDR'] == 'a1'
