"""A killed training goes on as if it had never been stopped."""
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import torch
from helpers.tiny_vis import make_tiny_dataset
from helpers.toy_training import ToyModel, toy_config
from mmengine.hooks import Hook

from mmvis.cli import ToBeContinued
from mmvis.engine import build_runner
from mmvis.engine.checkpoint import find_checkpoints
from mmvis.engine.history import HISTORY_LENGTH
from mmvis.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    make_tiny_dataset(root, num_videos=2, num_frames=4)
    return root


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_config(data_root, work_dir, by_iterations=False, **options):
    work_dir.mkdir(exist_ok=True)
    cfg = toy_config(data_root, work_dir, by_iterations)
    cfg.train_cfg.val_interval = 2
    cfg.merge_from_dict(options)
    return cfg


def run(cfg):
    cfg.experiment_name = uuid.uuid4().hex  # two runs in one second would share a logger
    runner = build_runner(cfg)
    runner.train()
    return runner


def run_killed(cfg, after, tmp_path):
    """Run tools/train.py in a process that is killed after so many iterations."""
    cfg = cfg.copy()
    cfg.merge_from_dict({'default_hooks.kill': dict(type='KillHook', after=after)})
    cfg.dump(tmp_path / 'killed.py')
    env = dict(os.environ, OMP_NUM_THREADS='1',
               PYTHONPATH=os.pathsep.join([str(ROOT / 'tests'), os.environ.get('PYTHONPATH', '')]))
    # Into a file: a pipe would stay open until the workers of the data loader notice that they are alone.
    with open(tmp_path / 'killed.txt', 'w') as log:
        done = subprocess.run([sys.executable, ROOT / 'tools/train.py', tmp_path / 'killed.py'], env=env, stdout=log,
                              stderr=log)
    assert done.returncode == -signal.SIGKILL, (tmp_path / 'killed.txt').read_text()


def losses(work_dir):
    """Iteration -> (epoch, index in the epoch, exact loss, learning rate). What is repeated must be the same."""
    rows = {}
    for line in (work_dir / 'losses.txt').read_text().splitlines():
        iteration, *row = line.split()
        assert rows.setdefault(int(iteration), row) == row
    return rows


def logged(work_dir, *names):
    """Iteration -> the smoothed values that the log shows."""
    rows = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if 'loss' in row:
                rows[row['iter']] = [row[name] for name in names]
    return rows


EVERY_EPOCH = {}
EVERY_3_ITERATIONS = {'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 3}


@pytest.mark.parametrize('by_iterations, checkpoints, killed_after, resumed_at', [
    (False, EVERY_EPOCH, 10, 8),  # the validation after epoch 2 draws, too
    (False, EVERY_3_ITERATIONS, 8, 6),  # in the middle of epoch 2
    (True, EVERY_3_ITERATIONS, 11, 10),  # in the third pass over the data; saved before the validation after 10
], ids=['epoch', 'middle of an epoch', 'iterations'])
def test_killed_training_goes_on_with_the_same_losses(data_root, tmp_path, by_iterations, checkpoints, killed_after,
                                                       resumed_at, capfd):
    options = dict(checkpoints, **{'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': True})
    whole = run(make_config(data_root, tmp_path / 'whole', by_iterations, **options))
    run_killed(make_config(data_root, tmp_path / 'parts', by_iterations, **options), killed_after, tmp_path)
    # another number of workers, and no seed: it comes from the checkpoint
    options.update({'train_dataloader.num_workers': 1, 'randomness.seed': None, 'resume': True})
    capfd.readouterr()
    resumed = run(make_config(data_root, tmp_path / 'parts', by_iterations, **options))

    assert f'iteration {resumed_at}; lr' in (out := ''.join(capfd.readouterr())), out
    assert 'optimizer with 6 states' in out and 'random generators of 1 processes' in out
    expected = losses(tmp_path / 'whole')
    assert len(expected) == 12 and len({row[2] for row in expected.values()}) == 12
    assert losses(tmp_path / 'parts') == expected
    names = 'loss', 'grad_norm', 'lr'
    assert logged(tmp_path / 'parts', *names) == logged(tmp_path / 'whole', *names)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


@pytest.fixture(scope='module', params=[False, True], ids=['epochs', 'iterations'])
def whole(request, data_root, tmp_path_factory):
    """A training that was never stopped: whether by iterations, its losses and weights."""
    work_dir = tmp_path_factory.mktemp('whole')
    runner = run(make_config(data_root, work_dir, request.param))
    return request.param, losses(work_dir), runner.model.state_dict()


def signalled(cfg, after, name):
    """Run a training that gets a signal in an iteration."""
    cfg = cfg.copy()
    cfg.merge_from_dict({'default_hooks.kill': dict(type='KillHook', after=after, name=name)})
    with pytest.raises(ToBeContinued):
        run(cfg)


@pytest.mark.parametrize('after, name', [(3, 'SIGTERM'), (4, 'SIGUSR1'), (7, 'SIGUSR1')])
def test_training_told_to_stop_saves_and_goes_on_bit_by_bit(data_root, whole, tmp_path, after, name, capfd):
    by_iterations, expected, weights = whole
    cfg = make_config(data_root, tmp_path, by_iterations, **EVERY_3_ITERATIONS if by_iterations else {})
    signalled(cfg, after, name)
    assert losses(tmp_path).keys() == set(range(after))  # the present iteration was the last
    assert f'Told to stop: saved after iteration {after} in' in ''.join(capfd.readouterr())
    assert find_checkpoints(tmp_path)[0].name == f'iter_{after}.pth'
    resumed = run(make_config(data_root, tmp_path, by_iterations, resume=True,
                              **EVERY_3_ITERATIONS if by_iterations else {}))
    assert losses(tmp_path) == expected
    assert all(torch.equal(resumed.model.state_dict()[key], value) for key, value in weights.items())
    if not by_iterations:  # the checkpoint in between has done its duty
        assert sorted(file.name for file in tmp_path.glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']


@pytest.mark.parametrize('by_iterations', [False, True], ids=['epochs', 'iterations'])
def test_a_training_that_accumulates_gradients_goes_on_bit_by_bit(data_root, tmp_path, by_iterations):
    options = {'optim_wrapper.accumulative_counts': 3, 'train_cfg.val_interval': 0}  # 4 batches in an epoch: 3 and 1
    whole = run(make_config(data_root, tmp_path / 'whole', by_iterations, **options))
    expected = losses(tmp_path / 'whole')
    assert len(expected) == (12 if by_iterations else 6)  # an iteration is a step
    signalled(make_config(data_root, tmp_path / 'parts', by_iterations, **options), 3, 'SIGTERM')
    assert find_checkpoints(tmp_path / 'parts')[0].name == 'iter_3.pth'  # no gradient waits between two iterations
    resumed = run(make_config(data_root, tmp_path / 'parts', by_iterations, resume=True, **options))
    assert losses(tmp_path / 'parts') == expected
    assert all(torch.equal(resumed.model.state_dict()[key], value) for key, value in whole.model.state_dict().items())


def test_training_told_to_stop_in_a_validation_goes_on_behind_it(data_root, whole, tmp_path, monkeypatch):
    by_iterations, expected, weights = whole
    options = {'default_hooks.checkpoint.interval': 100}
    step = ToyModel.step
    with monkeypatch.context() as patch:
        patch.setattr(ToyModel, 'step', lambda self, *args: os.kill(os.getpid(), signal.SIGTERM) or step(self, *args))
        with pytest.raises(ToBeContinued):
            run(make_config(data_root, tmp_path, by_iterations, **options))
    assert [file.name for file in tmp_path.glob('*.pth')] == ['iter_2.pth' if by_iterations else 'iter_8.pth']
    resumed = run(make_config(data_root, tmp_path, by_iterations, resume=True, **options))
    assert losses(tmp_path) == expected
    assert all(torch.equal(resumed.model.state_dict()[key], value) for key, value in weights.items())


def test_a_checkpoint_every_so_many_minutes_until_the_regular_one_stands(data_root, tmp_path):
    names = []

    class Look(Hook):
        priority = 'LOWEST'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            names.append([file.name for file in find_checkpoints(tmp_path)])

    cfg = make_config(data_root, tmp_path, **{'default_hooks.passing_checkpoint.minutes': 1e-9})
    cfg.experiment_name = uuid.uuid4().hex
    runner = build_runner(cfg)
    runner.register_hook(Look())
    runner.train()
    assert {curve.max_length for curve in runner.message_hub.log_scalars.values()} == {HISTORY_LENGTH}
    assert names[:6] == [[], ['iter_1.pth'], ['iter_2.pth'], ['iter_3.pth'], ['epoch_1.pth'],
                         ['iter_5.pth', 'epoch_1.pth']]
    assert sorted(file.name for file in tmp_path.glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']


def test_second_training_in_a_work_directory_is_refused_while_the_first_lives(data_root, tmp_path):
    hold = ("import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); "
            "file.write('process 7 on host'); file.flush(); print(flush=True); time.sleep(60)")
    first = subprocess.Popen([sys.executable, '-c', hold, tmp_path / 'training.lock'], stdout=subprocess.PIPE)
    first.stdout.readline()
    with pytest.raises(InputError, match='Another training .process 7 on host. is running in .*--work-dir'):
        run(make_config(data_root, tmp_path))
    assert not list(tmp_path.glob('*.p*')) and not list(tmp_path.glob('2*'))  # nothing of the first was touched
    first.kill()
    first.wait()
    run(make_config(data_root, tmp_path, **{'train_cfg.max_epochs': 1}))
    assert (tmp_path / 'epoch_1.pth').is_file()


@pytest.fixture(scope='module')
def trained(data_root, tmp_path_factory):
    """A work directory with epoch_1.pth to epoch_3.pth."""
    work_dir = tmp_path_factory.mktemp('trained')
    run(make_config(data_root, work_dir))
    return work_dir


def copy_of(trained, tmp_path):
    tmp_path.mkdir(exist_ok=True)
    for file in trained.glob('*.pth'):
        (tmp_path / file.name).write_bytes(file.read_bytes())
        os.utime(tmp_path / file.name, (1e9 + int(file.stem[-1]),) * 2)
    (tmp_path / 'last_checkpoint').write_text('/the/folder/has/moved/epoch_3.pth')
    return tmp_path


def test_checkpoint_holds_only_plain_values_and_resumes_by_itself(trained):
    state = torch.load(trained / 'epoch_3.pth', weights_only=True)
    assert (state['meta']['epoch'], state['meta']['iter'], state['meta']['seed']) == (3, 12, 7)
    assert set(state['rng_states'][0]) >= {'python', 'numpy', 'torch'}
    assert state['meta']['dataset_meta']['classes'] == ('square', 'bar', 'plate')


def test_broken_latest_checkpoint_falls_back_to_the_one_before(data_root, trained, tmp_path, capfd):
    work_dir = copy_of(trained, tmp_path)
    (work_dir / 'epoch_3.pth').write_bytes((work_dir / 'epoch_3.pth').read_bytes()[:3000])
    run(make_config(data_root, work_dir, resume=True))
    out = ''.join(capfd.readouterr())
    assert 'epoch_3.pth' in out and 'Taking the checkpoint before it.' in out
    assert f'Resumed {work_dir / "epoch_2.pth"}: epoch 2, iteration 8' in out
    assert losses(work_dir).keys() == {8, 9, 10, 11}


def test_only_broken_checkpoints_is_an_error(data_root, trained, tmp_path):
    work_dir = copy_of(trained, tmp_path)
    for file in work_dir.glob('*.pth'):
        file.write_bytes(b'')
    with pytest.raises(ValueError, match='None of the 3 checkpoints'):
        run(make_config(data_root, work_dir, resume=True))


def test_resume_without_a_checkpoint_starts_from_the_beginning(data_root, tmp_path, capfd):
    run(make_config(data_root, tmp_path, resume=True, **{'train_cfg.max_epochs': 1}))
    assert 'Nothing to resume' in ''.join(capfd.readouterr())
    assert len(losses(tmp_path)) == 4


def test_weights_alone_cannot_be_resumed(data_root, trained, tmp_path):
    torch.save(torch.load(trained / 'epoch_3.pth')['state_dict'], tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match='weights.pth has no meta.*--load-from'):
        run(make_config(data_root, tmp_path, resume=str(tmp_path / 'weights.pth')))


def test_load_from_starts_anew_from_the_weights(data_root, trained, tmp_path):
    runner = run(make_config(data_root, tmp_path, load_from=str(trained / 'epoch_3.pth'),
                             **{'train_cfg.max_epochs': 1, 'optim_wrapper.optimizer.lr': 0.}))
    weights = torch.load(trained / 'epoch_3.pth')['state_dict']
    assert torch.equal(runner.model.guess.weight, weights['guess.weight'])
    assert runner.iter == 4


def test_load_from_among_the_checkpoints_of_the_work_directory_is_refused(data_root, trained, tmp_path):
    work_dir = copy_of(trained, tmp_path / 'w')
    (tmp_path / 'link.pth').symlink_to(work_dir / 'epoch_1.pth')
    before = (work_dir / 'epoch_1.pth').read_bytes()
    for weights in (work_dir / 'epoch_1.pth', tmp_path / 'link.pth'):
        with pytest.raises(InputError, match=f'{weights.name} lies in the work directory .*--work-dir'):
            run(make_config(data_root, work_dir, load_from=str(weights)))
    assert (work_dir / 'epoch_1.pth').read_bytes() == before
    run(make_config(data_root, work_dir, load_from=str(work_dir / 'epoch_1.pth'), resume=True))  # goes on from epoch_3


def test_a_config_in_the_work_directory_stays_as_it_was_written(data_root, tmp_path):
    cfg = make_config(data_root, tmp_path, **{'train_cfg.max_epochs': 1})
    written = '# by hand\n' + cfg.pretty_text
    (tmp_path / 'mine.py').write_text(written)
    cfg._filename = str(tmp_path / 'mine.py')
    cfg.__dict__['_filename'] = cfg._filename
    run(cfg)
    assert (tmp_path / 'mine.py').read_text() == written
    assert list(tmp_path.glob('2*/vis_data/config.py'))  # what has run, with the options of the command line


def test_another_batch_size_keeps_the_share_of_the_epoch(data_root, trained, tmp_path, capfd):
    run(make_config(data_root, tmp_path, resume=str(trained / 'epoch_1.pth'), **{'train_dataloader.batch_size': 4}))
    assert losses(tmp_path).keys() == {2, 3, 4, 5}
    assert 'An epoch had 4 iterations in the checkpoint and has 2 now' in ''.join(capfd.readouterr())


def test_only_the_newest_checkpoints_are_kept(data_root, tmp_path):
    run(make_config(data_root, tmp_path, **{
        'default_hooks.checkpoint': dict(interval=1, max_keep_ckpts=2, save_best='vis/segm_AP')}))
    kept = [file.name for file in find_checkpoints(tmp_path)]
    assert kept == ['epoch_3.pth', 'epoch_2.pth']
    assert [file.name for file in tmp_path.glob('best_*.pth')] == ['best_vis_segm_AP_epoch_2.pth']


@pytest.mark.parametrize('part, value', [('optimizer', {'state': {}, 'param_groups': []}), ('rng_states', [{}]),
                                         ('param_schedulers', [{'_step_count': 1}, 7])])
def test_a_part_that_does_not_fit_the_config_is_named(data_root, trained, tmp_path, part, value):
    state = torch.load(trained / 'epoch_1.pth')
    state[part] = value
    torch.save(state, tmp_path / 'odd.pth')
    with pytest.raises(InputError, match=f'odd.pth cannot be resumed: its {part} does not fit'):
        run(make_config(data_root, tmp_path / 'work', resume=str(tmp_path / 'odd.pth')))
