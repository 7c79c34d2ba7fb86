"""tools/train.py as a user types it."""
import importlib.util
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import torch
from helpers.tiny_vis import edit_json, make_tiny_dataset
from helpers.toy_training import toy_config
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def train_tool():
    spec = importlib.util.spec_from_file_location('train_tool', ROOT / 'tools/train.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def config(tmp_path):
    """File of a toy config; its losses go to tmp_path/losses.txt."""
    make_tiny_dataset(tmp_path / 'data', num_videos=2, num_frames=4)
    cfg = toy_config(tmp_path / 'data', tmp_path)
    for key in ('work_dir', 'launcher', 'randomness'):  # the tool's to set
        cfg.pop(key)
    cfg.dump(tmp_path / 'toy.py')
    edit_json(shutil.copy(tmp_path / 'data/train.json', tmp_path / 'data/bare.json'), lambda data: data.pop('annotations'))
    return tmp_path / 'toy.py'


@pytest.fixture
def train(train_tool, monkeypatch, capfd, tmp_path):
    """Run the tool in this process: train('--seed', 3) -> (exit code, what it printed)."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        # two runs of one name in one second would share a logger
        args = [*args, '--cfg-options', f'experiment_name={uuid.uuid4().hex}']
        monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, args)])
        code = 0
        try:
            train_tool.run_tool(train_tool.main)
        except SystemExit as stop:
            code = stop.code
        return code, ''.join(capfd.readouterr())
    return run


def losses(path):
    return [line.split()[3] for line in path.read_text().splitlines()]


def test_plain_command_with_a_drawn_seed_can_be_repeated(train, config, tmp_path):
    code, out = train(config)
    assert code == 0
    work_dir = tmp_path / 'work_dirs' / config.stem
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_3.pth')
    assert 'eta: 0:00:00' in out and 'Epoch(val)' not in out
    seed = out.split('Seed ')[1].split()[0]
    assert f'--seed {seed} repeats this training' in out
    drawn = losses(tmp_path / 'losses.txt')
    (tmp_path / 'losses.txt').unlink()
    code, out = train(config, '--seed', seed, '--work-dir', tmp_path / 'again')
    assert code == 0 and losses(tmp_path / 'losses.txt') == drawn


def test_published_spellings(train, config, tmp_path):
    code, out = train(config, '--work_dir', tmp_path / 'w', '--validate', '--gpus', '1', '--seed', '0',
                      '--cfg-options', 'train_cfg.max_epochs=2')
    assert code == 0 and out.count('Epoch(val)') == 2 and 'vis/segm_AP' in out
    code, out = train(config, '--work_dir', tmp_path / 'w', '--resume_from', tmp_path / 'w/epoch_2.pth')
    assert code == 0 and f'Resumed {tmp_path / "w/epoch_2.pth"}: epoch 2, iteration 8' in out


def test_amp_scaled_rate_determinism_and_tensorboard(train, config, tmp_path):
    try:
        code, out = train(config, '--amp', '--auto-scale-lr', '--deterministic', '--work-dir', tmp_path / 'w',
                          '--cfg-options', 'loggers=tensorboard', 'train_dataloader.batch_size=4')
    finally:
        torch.use_deterministic_algorithms(False)
    assert code == 0
    assert 'Learning rate scaled by 2: 4 samples a step (4 x 1 processes x 1 accumulated) instead of 2.' in out
    assert 'lr: 2.0000e-02' in out  # a tenth of 0.2 at the start of the warm-up
    [log] = (tmp_path / 'w').glob('*/*.log')  # the config as a whole stands there, not on the screen
    assert 'MixedPrecisionOptimWrapper' in log.read_text() and 'MixedPrecisionOptimWrapper' not in out
    assert '--auto-scale-lr' in out.splitlines()[0]
    assert list((tmp_path / 'w').glob('*/vis_data/events.out.tfevents.*'))


def test_a_step_of_any_number_of_clips(train, config, tmp_path):
    one_epoch = ['--seed', '0', '--cfg-options', 'train_cfg.max_epochs=1']
    code, out = train(config, '--global-batch', '8', '--work-dir', tmp_path / 'w', *one_epoch)
    assert code == 0 and 'A step takes 8 clips (2 x 1 processes x 4 accumulated), the recipe of the config 2, ' in out
    assert len(losses(tmp_path / 'losses.txt')) == 1  # the 8 clips of an epoch in one step
    code, out = train(config, '--global-batch', '--work-dir', tmp_path / 'x', *one_epoch)
    assert code == 0 and 'A step takes 2 clips (2 x 1 processes x 1 accumulated), as in the recipe of the config.' in out


def test_ctrl_c_says_where_the_last_checkpoint_is(train, config, tmp_path):
    code, out = train(config, '--work-dir', tmp_path / 'w', '--cfg-options', 'default_hooks.stop.type=KillHook',
                      'default_hooks.stop.after=6', 'default_hooks.stop.name=SIGINT')
    assert code == 130 and 'Traceback' not in out
    assert out.endswith(f'Stopped in iteration 6. The last checkpoint is {tmp_path / "w/epoch_1.pth"}: '
                        '--resume goes on from it.\n')


def test_loss_that_is_not_finite_stops_the_training(train, config, tmp_path):
    code, out = train(config, '--work-dir', tmp_path / 'w', '--cfg-options', 'model.explode_at=4')
    assert code == 1 and 'Traceback' not in out
    assert 'error: Training stopped at iteration 4: loss is nan, loss_cover is nan, grad_norm is nan.' in out
    assert not list((tmp_path / 'w').glob('*.pth'))  # iteration 4 ends the epoch, but its weights are ruined


@pytest.mark.parametrize('options, validations', [
    (['--validate'], None), (['--validate', '--cfg-options', 'val_interval=5'], 3),
    (['--cfg-options', 'train_cfg.val_interval=6'], 2)])
def test_iterations_are_validated_at_the_interval_of_the_config(train, config, tmp_path, options, validations):
    cfg = toy_config(tmp_path / 'data', tmp_path, by_iterations=True)
    for key in ('work_dir', 'launcher', 'randomness'):
        cfg.pop(key)
    cfg.dump(config)
    code, out = train(config, '--seed', '0', *options)
    if validations is None:
        assert code == 1 and 'counts iterations and has no val_interval' in out.splitlines()[-1]
    else:
        assert code == 0 and out.count('vis/segm_AP:') == validations


def test_the_config_in_the_work_directory_can_test(python, train, config, tmp_path):
    cfg = Config.fromfile(config)
    cfg.update(test_dataloader=cfg.val_dataloader, test_cfg=dict(type='VideoTestLoop'), test_evaluator=cfg.val_evaluator)
    cfg.dump(config)
    code, _ = train(config, '--seed', '0', '--cfg-options', 'train_cfg.max_epochs=1')
    work_dir = tmp_path / 'work_dirs/toy'
    command = [python, ROOT / 'tools/test_video.py', work_dir / 'toy.py', work_dir / 'epoch_1.pth', '--out', 'r.json',
               '--eval', 'segm']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={
        **os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'tests')])})
    assert code == 0 and done.returncode == 0, done.stderr
    assert (tmp_path / 'r.json').is_file() and 'AP50' in done.stdout


@pytest.mark.parametrize('args, sentence', [
    (['no_such.py'], 'There is no config no_such.py'),
    (['CONFIG', '--resume', 'no.pth'], 'Checkpoint no.pth does not exist.'),
    (['CONFIG', '--load-from', 'no.pth'], 'Checkpoint no.pth does not exist.'),
    (['CONFIG', '--launcher', 'ssh'], "--launcher: invalid choice: 'ssh'"),
    (['CONFIG', '--launcher', 'pytorch'], 'Launcher pytorch needs the environment variable RANK'),
    (['CONFIG', '--gpus', '0'], '0 processes cannot be started'),
    (['CONFIG', '--gpus', '3', '--global-batch'],
     'A step of 2 clips cannot be shared out over 3 processes equally: take --global-batch 3 (with --auto-scale-lr'),
    (['CONFIG', '--global-batch', '0'], "--global-batch: '0' is not a whole number of at least 1"),
    (['CONFIG', '--seed', 'x'], "--seed: 'x' is not a whole number of at least 0"),
    (['CONFIG', '--cfg-options', 'abc'], "'abc' is not of the form key=value"),
    (['CONFIG', '--cfg-options', 'model.type=NoModel'], "model.type is 'NoModel', which is no class that is registered"),
    (['CONFIG', '--cfg-options', 'loggers=wanda'], "loggers has 'wanda': take some of local, tensorboard, wandb"),
    (['CONFIG', '--cfg-options', 'train_dataloader.dataset.ann_file=none.json'], 'none.json'),
    (['CONFIG', '--cfg-options', 'train_dataloader=None'], 'has no train_dataloader'),
    (['CONFIG', '--cfg-options', 'train_cfg.max_epoch=7'], 'Did you mean train_cfg.max_epochs?'),
    (['CONFIG', '--cfg-options', 'batch_size=3'], 'Did you mean train_dataloader.batch_size or'),
    (['CONFIG', '--cfg-options', 'optim_wrapper.optimizer.lr=abc'], 'a number is expected'),
    (['CONFIG', '--cfg-options', 'train_dataloader.batch_size=0'], 'train_dataloader.batch_size is 0'),
    (['CONFIG', '--cfg-options', 'log_level=NOPE'], "log_level is 'NOPE'"),
    (['CONFIG', '--cfg-options', 'val_interval=2'], 'val_interval is for --validate'),
    (['CONFIG', '--cfg-options', 'train_dataloader.drop_last=True'], 'Did you mean train_dataloader.batch_sampler.drop_last?'),
    (['CONFIG', '--cfg-options', 'train_dataloader.batch_size=9', 'train_dataloader.batch_sampler.drop_last=True'],
     'An epoch has no batch: the 8 clips do not fill one of 9'),
    (['CONFIG', '--validate', '--cfg-options', 'val_dataloader.dataset.ann_file=bare.json'], 'no annotations, so nothing can be'),
    (['CONFIG', '--auto-scale-lr', '--cfg-options', 'auto_scale_lr=None'], 'has no auto_scale_lr.base_batch_size'),
])
def test_mistakes_cost_one_sentence(train, config, args, sentence, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    code, out = train(*[config if arg == 'CONFIG' else arg for arg in args])
    assert code == 1 and 'Traceback' not in out
    last = out.strip().splitlines()[-1]
    assert 'error: ' in last and sentence in last


def test_bad_frame_in_a_worker_costs_one_sentence(train, config, tmp_path):
    frame = next((tmp_path / 'data/train/JPEGImages').rglob('*.jpg'))
    frame.write_bytes(b'')
    code, out = train(config, '--cfg-options', 'train_dataloader.num_workers=1')
    assert code == 1 and 'Traceback' not in out
    last = out.strip().splitlines()[-1]
    assert last.startswith('error: ') and frame.name in last and 'worker process' not in last


def run_script(*args, **variables):
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable, CUDA_VISIBLE_DEVICES='', **variables)
    env['PYTHONPATH'] = os.pathsep.join([str(ROOT / 'tests'), env.get('PYTHONPATH', '')])
    return subprocess.run(list(map(str, args)), env=env, capture_output=True, text=True, timeout=300)


def test_two_processes_on_a_cpu_and_resumed(python, config, tmp_path):
    done = run_script('sh', ROOT / 'tools/dist_train.sh', config, 2, '--seed', '3', '--work-dir', tmp_path / 'whole')
    assert done.returncode == 0, done.stderr
    files = [tmp_path / f'losses.txt.{rank}' for rank in range(2)]
    whole = [file.read_text().splitlines() for file in files]
    assert len(whole[0]) == len(whole[1]) == 6 and whole[0] != whole[1]  # 8 clips, 2 x 2 a step, 3 epochs

    for file in files:
        file.unlink()
    done = run_script(python, ROOT / 'tools/train.py', config, '--gpus', '2', '--work-dir', tmp_path / 'rest',
                      '--resume', tmp_path / 'whole/epoch_1.pth')
    assert done.returncode == 0 and 'random generators of 2 processes' in done.stdout + done.stderr, done
    assert [file.read_text().splitlines() for file in files] == [lines[2:] for lines in whole]
    weights = [torch.load(tmp_path / name / 'epoch_3.pth')['state_dict'] for name in ('whole', 'rest')]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.fixture
def cluster(tmp_path):
    """Stand-ins of Slurm's commands: each writes its arguments, and srun the signals that reach it."""
    for name, action in dict(sbatch='', scontrol='', srun=r"""
trap 'echo USR1 >>"$CALLS"; exit ${CODE:-75}' USR1
[ -z "${SIGNAL:-}" ] || kill -s "$SIGNAL" $PPID
for i in 1 2 3 4 5 6 7 8 9 10; do [ -z "${SIGNAL:-}" ] || sleep 0.1; done
""").items():
        (tmp_path / name).write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >>"$CALLS"\n{action}')
        (tmp_path / name).chmod(0o755)

    def run(script, *args, **variables):
        (tmp_path / 'calls').write_text('')
        done = run_script('sh', ROOT / 'tools' / script, *args, CALLS=str(tmp_path / 'calls'),
                          PATH=f'{tmp_path}{os.pathsep}{os.environ["PATH"]}', **variables)
        return done.returncode, (tmp_path / 'calls').read_text().splitlines()
    return run


def test_slurm_scripts_submit_themselves(cluster):
    for script, args in (('slurm_train.sh', ['c.py', 'work dir', '--amp']), ('slurm_test.sh', ['c.py', 'c.pth'])):
        code, words = cluster(script, 'gpu', 'a job', *args, GPUS='4', SBATCH_ARGS='--exclusive --mem=0')
        assert code == 0 and words[:6] == ['sbatch', '-p', 'gpu', '--job-name=a job', '--gres=gpu:4', '--ntasks=4']
        assert {'--requeue', '--signal=B:USR1@300', '--open-mode=append', '--exclusive', '--mem=0'} <= set(words)
        assert words[-3 - len(args):] == [str(ROOT / 'tools' / script), 'gpu', 'a job', *args]
        assert cluster(script, 'gpu') == (1, [])
        code, words = cluster(script, 'gpu', 'a job', *args, GPUS='4', SBATCH_ARGS='--mem=0 --gpus-per-task=1')
        assert code == 0 and '--gpus-per-task=1' in words and not any(word.startswith('--gres') for word in words)


@pytest.mark.parametrize('restarts, resume', [('', []), ('0', []), ('1', ['--resume'])])
def test_a_slurm_job_goes_on_when_it_was_queued_again(cluster, restarts, resume):
    job = dict(SLURM_JOB_ID='7', SLURM_RESTART_COUNT=restarts, MMVIS_TOOLS=str(ROOT / 'tools'))
    code, words = cluster('slurm_train.sh', 'gpu', 'job', 'c.py', 'work dir', '--amp', SRUN_ARGS='--mem=0', **job)
    assert code == 0 and words[:4] == ['srun', '--cpus-per-task=5', '--kill-on-bad-exit=1', '--mem=0']
    assert words[4:] == [sys.executable, '-u', str(ROOT / 'tools/train.py'), 'c.py', '--work-dir', 'work dir', '--amp',
                         '--launcher', 'slurm', *resume]
    code, words = cluster('slurm_test.sh', 'gpu', 'job', 'c.py', 'c.pth', '--eval', 'segm', **job)
    assert words[-6:] == ['c.py', 'c.pth', '--eval', 'segm', '--launcher', 'slurm']


@pytest.mark.parametrize('name, left_with, queued', [
    ('USR1', '75', True), ('USR1', '138', True), ('USR1', '1', False), ('USR1', '0', False), ('TERM', '75', False)])
def test_a_slurm_job_is_queued_again_when_its_time_is_over(cluster, name, left_with, queued):
    code, words = cluster('slurm_train.sh', 'gpu', 'job', 'c.py', SLURM_JOB_ID='7', SIGNAL=name, CODE=left_with)
    assert code == int(left_with) and words.count('USR1') == 1  # TERM reaches the tool as the signal that it saves on
    assert words[-3:] == ['scontrol', 'requeue', '7'] if queued else 'scontrol' not in words


def test_print_config_shows_the_joined_config(python, config):
    done = run_script(python, ROOT / 'tools/print_config.py', config, '--cfg-options', 'model.noise=False')
    assert done.returncode == 0 and "model = dict(noise=False, type='ToyModel')" in done.stdout
