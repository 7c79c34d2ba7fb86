"""Every config of docs/training.md trains, and does what is said of it there."""
import json
import shutil
import uuid

import pytest
import torch
from helpers.documents import ROOT, files_of
from helpers.tiny_vis import make_tiny_dataset

from mmvis.engine import build_runner, load_config

FILES = files_of('docs/training.md')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """The configs with those of the page among them, and two small sets."""
    place = tmp_path_factory.mktemp('recipes')
    shutil.copytree(ROOT / 'configs', place / 'configs', ignore=shutil.ignore_patterns('__pycache__'))
    folder = place / 'configs/masktrack_rcnn'
    text = (folder / 'masktrack_rcnn_r18_fpn_custom.py').read_text()
    for before, after in (('scale = (384, 216)', 'scale = (96, 64)'), ('max_epochs = 20', 'max_epochs = 4'),
                          ('lr = 2e-4', 'lr = 0.01')):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / 'my_config.py').write_text(text)
    for name, block in FILES.items():
        (folder / name).write_text(block)
    make_tiny_dataset(place / 'data/custom', 1, 4)
    make_tiny_dataset(place / 'data/custom', 1, 3, split='valid')
    make_tiny_dataset(place / 'data/more', 1, 4, seed=1)
    return place


@pytest.fixture
def train(place, monkeypatch):
    """Trains with a config; returns the runner and what was written."""
    def train(name, **options):
        monkeypatch.chdir(place)
        cfg = load_config(f'configs/masktrack_rcnn/{name}', {
            'train_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0, 'default_hooks.logger.interval': 1,
            'train_cfg.val_interval': 1, **options})
        cfg.work_dir, cfg.experiment_name, cfg.randomness = str(place / 'work' / name), uuid.uuid4().hex, dict(seed=0)
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
        runner = build_runner(cfg)
        runner.train()
        logs = sorted((place / 'work' / name).glob('*/vis_data/scalars.json'))
        return runner, [json.loads(line) for line in logs[-1].read_text().splitlines()]

    return train


def checkpoint(place, name, file):
    return torch.load(place / 'work' / name / file, weights_only=True)


def test_all_are_tried():
    assert list(FILES) == ['frozen.py', 'best.py', 'ema.py', 'accumulated.py', 'two_sets.py', 'few_labels.py']


def test_frozen(train, place):
    train('frozen.py', **{'train_cfg.max_epochs': 2})
    first, second = (checkpoint(place, 'frozen.py', f'epoch_{number}.pth')['state_dict'] for number in (1, 2))
    changed = {key.split('.')[0] for key, value in second.items() if not torch.equal(value, first[key])}
    assert changed == {'rpn_head', 'bbox_head', 'mask_head', 'track_head'}


def test_best_and_early_stop(train, place):
    _, rows = train('best.py', **{'custom_hooks.0.patience': 1})
    scores = [row['vis/segm_AP'] for row in rows if 'vis/segm_AP' in row]
    assert len(scores) < 4 and scores[-1] < max(scores) + 0.001  # it ended before the last epoch
    [best] = (place / 'work/best.py').glob('best_*.pth')
    assert best.name == f'best_vis_segm_AP_epoch_{1 + scores.index(max(scores))}.pth'


def test_ema(train, place):
    runner, _ = train('ema.py', **{'train_cfg.max_epochs': 2})
    saved = checkpoint(place, 'ema.py', 'epoch_2.pth')
    key = 'bbox_head.fc_cls.weight'
    assert torch.equal(saved['ema_state_dict'][f'module.{key}'], runner.model.state_dict()[key])  # as they are
    assert not torch.equal(saved['state_dict'][key], runner.model.state_dict()[key])
    resumed, _ = train('ema.py', **{'train_cfg.max_epochs': 3, 'resume': True})
    assert resumed.epoch == 3
    ema = next(hook for hook in resumed.hooks if type(hook).__name__ == 'EMAHook').ema_model
    assert int(ema.steps) == resumed.iter


def test_accumulated(train):
    runner, rows = train('accumulated.py', **{'train_cfg.max_epochs': 1})
    assert runner.iter == 1 and runner.optim_wrapper._accumulative_counts == 4  # four clips, one step
    assert rows[0]['iter'] == 1


def test_two_sets(train):
    runner, _ = train('two_sets.py', **{'train_cfg.max_epochs': 1})
    assert len(runner.train_dataloader.dataset) == 4 + 2 * 4 and runner.iter == 3
    assert runner.model.num_classes == 3


def test_few_labels(train):
    runner, _ = train('few_labels.py', **{'train_cfg.max_epochs': 1, 'train_dataloader.dataset.repeats': [3]})
    assert runner.iter == 3 and runner.optim_wrapper.optimizer.param_groups[0]['initial_lr'] == 5e-5
    assert 'ClipColorJitter' in str(runner.cfg.train_dataloader.dataset)
