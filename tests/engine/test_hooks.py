"""Hooks that the runner always has."""
import sys
import uuid

import pytest
from helpers.full_disk import files_end_at
from helpers.tiny_vis import make_tiny_dataset
from helpers.toy_training import toy_config

from mmvis.engine import build_runner
from mmvis.errors import InputError


@pytest.mark.parametrize('workers', [0, 2])
def test_damaged_frames_that_a_training_used_are_counted_at_its_end(tmp_path, capfd, workers):
    make_tiny_dataset(tmp_path, num_videos=2, num_frames=4)
    for name in ('video_0/00001.jpg', 'video_1/00002.jpg'):
        frame = tmp_path / 'train' / 'JPEGImages' / name
        frame.write_bytes(frame.read_bytes()[:-20] + b'\xff\xd9')
    (tmp_path / 'work').mkdir()
    cfg = toy_config(tmp_path, tmp_path / 'work', by_iterations=False)
    cfg.experiment_name = uuid.uuid4().hex  # two runs in one second would share a logger
    cfg.merge_from_dict({'train_cfg.max_epochs': 2, 'train_dataloader.num_workers': workers,
                         'train_dataloader.dataset.damaged_frames': 'use', 'val_dataloader': None,
                         'val_evaluator': None, 'val_cfg': None})
    build_runner(cfg).train()
    said = ''.join(capfd.readouterr())
    assert said.count('damaged frames that were used: 2 (') == 1
    assert 'video_0/00001.jpg, ' in said and 'video_1/00002.jpg).' in said


def test_a_hook_of_ours_or_of_mmengine_can_be_left_out_and_a_checkpoint_that_lacks_a_tensor_is_refused(tmp_path):
    make_tiny_dataset(tmp_path, num_videos=2, num_frames=4)
    cfg = toy_config(tmp_path, tmp_path / 'work')
    cfg.experiment_name = uuid.uuid4().hex
    cfg.merge_from_dict({'default_hooks.timer': None, 'default_hooks.passing_checkpoint': None, 'default_hooks.new': None,
                         'val_dataloader': None, 'val_evaluator': None, 'val_cfg': None})
    runner = build_runner(cfg)
    assert not {type(hook).__name__ for hook in runner.hooks} & {'IterTimerHook', 'PassingCheckpointHook'}
    state = dict(meta={}, state_dict=runner.model.state_dict())
    state['state_dict'].popitem()
    with pytest.raises(InputError, match='x.pth is a checkpoint of another model: .*start a new one .* with --load-from'):
        runner._restore(state, 'x.pth')


def test_a_log_file_on_a_full_disk_costs_one_line(tmp_path, capfd):
    make_tiny_dataset(tmp_path, num_videos=1, num_frames=2)
    (tmp_path / 'work').mkdir()
    cfg = toy_config(tmp_path, tmp_path / 'work', by_iterations=False)
    cfg.experiment_name = uuid.uuid4().hex
    runner = build_runner(cfg)
    log_file, = (tmp_path / 'work').glob('2*/2*.log')
    capfd.readouterr()
    with files_end_at(log_file.stat().st_size):
        for number in range(3):
            runner.logger.info(f'line {number}')
    out, err = capfd.readouterr()
    assert 'line 2' in out + err and 'Logging error' not in err and 'Traceback' not in err
    assert err.count(f'The log file {log_file} cannot be written: File too large.') == 1


def test_a_log_file_on_a_full_disk_ends_no_run_when_what_is_printed_goes_there_too(tmp_path, monkeypatch):
    make_tiny_dataset(tmp_path, num_videos=1, num_frames=2)
    (tmp_path / 'work').mkdir()
    cfg = toy_config(tmp_path, tmp_path / 'work', by_iterations=False)
    cfg.experiment_name = uuid.uuid4().hex
    logger = build_runner(cfg).logger
    log_file, = (tmp_path / 'work').glob('2*/2*.log')
    size = log_file.stat().st_size
    with open(tmp_path / 'stderr', 'w') as stderr, files_end_at(size):
        stderr.write('x' * size)
        stderr.flush()
        monkeypatch.setattr(sys, 'stderr', stderr)
        logger.info('a line')
        monkeypatch.undo()
    assert log_file.stat().st_size == size
