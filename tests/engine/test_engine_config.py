"""Finding and reading configs; the shared base configs."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmvis.engine import find_config, load_config
from mmvis.engine import config as config_module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(config_module, 'CONFIG_DIR', tmp_path / 'configs')
    monkeypatch.chdir(tmp_path)
    for name in ('a/one.py', 'a/two.py', 'b/two.py', '_base_/three.py'):
        file = tmp_path / 'configs' / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('model = dict(depth=50, stages=[dict(width=1), dict(width=2)])\n')
    return tmp_path / 'configs'


def test_path_that_exists_is_taken(folder):
    assert find_config('configs/b/two.py').resolve() == folder / 'b/two.py'


def test_published_path_is_looked_up_by_its_name(folder):
    assert find_config('configs/some/other/place/one.py') == folder / 'a/one.py'
    assert load_config('one.py').model.depth == 50


def test_ambiguous_name_lists_the_files(folder):
    with pytest.raises(FileNotFoundError, match='x/two.py, and its name stands for several: .*a/two.py, .*b/two.py'):
        find_config('configs/x/two.py')


def test_unknown_name_lists_the_configs(folder):
    with pytest.raises(FileNotFoundError, match='no config four.py.* which has: one, two, two.'):
        find_config('four.py')


def test_options_change_the_config(folder):
    cfg = load_config('one.py', {'model.depth': 101, 'model.stages.1.width': 5, 'new.key': 'x'})
    assert cfg.model == dict(depth=101, stages=[dict(width=1), dict(width=5)]) and cfg.new.key == 'x'


@pytest.mark.parametrize('key', ['model.stages.7.width', 'model.stages.x', 'model.depth.x'])
def test_option_that_does_not_fit_is_said(folder, key):
    with pytest.raises(ValueError, match=f'--cfg-options {key}=1 does not fit .*one.py'):
        load_config('one.py', {key: 1})


def test_config_with_a_mistake_is_named(folder):
    (folder / 'a/one.py').write_text('model = dict(\n')
    with pytest.raises(ValueError, match='one.py cannot be read as a config: SyntaxError'):
        load_config('one.py')


def test_schedule_1x_is_the_official_one():
    cfg = Config.fromfile(config_module.CONFIG_DIR / '_base_/schedules/schedule_1x.py')
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), cfg.optim_wrapper)
    group = wrapper.param_groups[0]
    assert (group['momentum'], group['weight_decay'], wrapper.clip_grad_kwargs['max_norm']) == (0.9, 1e-4, 35)
    schedulers = [PARAM_SCHEDULERS.build(dict(scheduler, optimizer=wrapper)) for scheduler in cfg.param_scheduler]
    rates = []
    for epoch in range(cfg.train_cfg.max_epochs):
        for _ in range(100):
            rates.append(group['lr'])
            wrapper.step()
            schedulers[0].step()
        schedulers[1].step()
    expected = []
    for iteration in range(1200):  # the rule of mmcv's step policy with linear warm-up
        epoch = iteration // 100
        regular = 0.005 * 0.1 ** ((epoch >= 8) + (epoch >= 11))
        warm = 1 - (1 - iteration / 500) * (1 - 1 / 3) if iteration < 500 else 1
        expected.append(regular * warm)
    np.testing.assert_allclose(rates, expected, rtol=1e-9)
