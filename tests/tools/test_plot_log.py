"""Curves of trainings that ended well, were killed, resumed or begun anew."""
import json
import sys
import uuid
from pathlib import Path

import cv2
import pytest
from helpers.tiny_vis import make_tiny_dataset
from helpers.toy_training import toy_config

from mmvis.engine import build_runner
from mmvis.errors import InputError, InputMissingError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
import plot_log  # noqa: E402


def write_run(work_dir, name, first, last, by_epoch=True, loss=1., end=''):
    """The log of a run: a row every 10 iterations, an epoch and a validation every 20."""
    file = work_dir / name / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    rows = []
    for step in range(first, last + 1, 10):
        place = dict(iter=step, step=step, **dict(epoch=step // 20) if by_epoch else {})
        rows.append(dict(lr=0.1, time=0.2, loss=loss + 1 / step, **place))
        if step % 20 == 0:
            rows.append({'vis/segm_AP': step / 1000, 'vis/segm_AP50': 0.5, 'step': step // 20 if by_epoch else step})
    file.write_text(''.join(json.dumps(row) + '\n' for row in rows) + end)
    return file


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_run_that_was_killed_and_resumed(tmp_path, by_epoch):
    write_run(tmp_path, '1', 10, 90, by_epoch, end='{"lr": 0.1, "lo')  # killed in a line; its last checkpoint is of 60
    write_run(tmp_path, '2', 70, 100, by_epoch, loss=2.)
    (tmp_path / '3').mkdir()  # a test in the same directory
    training = plot_log.read_training(str(tmp_path))
    assert training.num_runs == 2
    loss, ap = training.curves['loss'], training.curves['vis/segm_AP']
    assert loss.steps == list(range(10, 101, 10)) and loss.unit == 'iteration'
    assert [value > 2 for value in loss.values] == [False] * 6 + [True] * 4
    assert (ap.unit, ap.steps) == (('epoch', [1, 2, 3, 4, 5]) if by_epoch else ('iteration', [20, 40, 60, 80, 100]))
    assert not {'step', 'iter', 'epoch'} & set(training.curves)


def test_one_that_was_begun_anew(tmp_path):
    write_run(tmp_path, '1', 10, 90)
    write_run(tmp_path, '2', 10, 10, loss=3.)
    training = plot_log.read_training(str(tmp_path))
    assert training.num_runs == 1 and training.curves['loss'].steps == [10] and 'vis/segm_AP' not in training.curves


def test_a_real_training_and_its_picture(tmp_path, capsys):
    make_tiny_dataset(tmp_path / 'data', num_videos=2, num_frames=4)
    for epochs in (2, 3):
        cfg = toy_config(tmp_path / 'data', tmp_path / 'w')
        cfg.merge_from_dict({'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': 1, 'resume': epochs == 3,
                             'custom_imports': None})
        (tmp_path / 'w').mkdir(exist_ok=True)
        cfg.experiment_name = uuid.uuid4().hex
        build_runner(cfg).train()
    write_run(tmp_path / 'other', '1', 10, 40)
    plot_log.main([str(tmp_path / 'w'), str(tmp_path / 'other'), '--out', str(tmp_path / 'curves.png')])
    printed = capsys.readouterr().out
    assert 'loss' in printed and '(iteration 12)' in printed and '(epoch 3)' in printed
    assert 'other (1 run): loss 1.025 (iteration 40); vis/segm_AP 0.04 (epoch 2), best 0.04 (epoch 2)' in printed
    picture = cv2.imread(str(tmp_path / 'curves.png'))
    assert picture.shape[1] > 1.5 * picture.shape[0] and 0 < (picture < 128).any(2).mean() < 0.2  # two panels, lines on white
    plot_log.main([str(tmp_path / 'w'), '--keys', '?'])
    assert {'loss', 'lr', 'grad_norm', 'vis/segm_AP'} <= set(capsys.readouterr().out.split())


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(InputMissingError, match='holds no log of a training'):
        plot_log.main([str(tmp_path)])
    file = write_run(tmp_path, '1', 10, 40)
    with pytest.raises(InputError, match='--keys lossy: the trainings have lr, time, loss, vis/segm_AP'):
        plot_log.main([str(file), '--keys', 'lossy'])
    with pytest.raises(InputError, match='is an input of this run'):
        plot_log.main([str(file), '--out', str(file)])
    file.write_text(file.read_text().replace('"lr"', 'lr', 1))
    with pytest.raises(InputError, match=r'scalars.json: line 1 is damaged'):
        plot_log.main([str(file)])
