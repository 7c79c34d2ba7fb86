"""Finding and reading configs; the shared base configs."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmvis.engine import CfgOptions, ToolParser, find_config, load_config
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


@pytest.mark.parametrize('key, other, inner', [('model', 'resnet', 'model.depth'), ('model', [1, 2], 'model.depth'),
                                               ('model.stages', 'x', 'model.stages.0.width'),
                                               ('model.stages.0', 3, 'model.stages.0.width')])
def test_a_word_in_place_of_a_dict_is_said(folder, key, other, inner):
    with pytest.raises(ValueError, match=f'does not fit .*one.py: {key} is a (dict|list of dicts) there.*{inner}='):
        load_config('one.py', {key: other})


def test_a_dict_may_be_dropped_or_replaced(folder):
    assert load_config('one.py', {'model': None}).model is None
    assert load_config('one.py', {'model.stages': []}).model.stages == []
    assert load_config('one.py', {'model.stages': [dict(width=7)]}).model.stages == [dict(width=7)]


@pytest.mark.parametrize('item', ['model.norm=dict(type=GN,num_groups=8)', 'model.stages=[1,(2'])
def test_value_that_cannot_be_read_is_said(item, capsys):
    parser = ToolParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a=1', item])
    assert f'{item!r} cannot be read: a value is a number' in capsys.readouterr().err
    assert parser.parse_args(['--cfg-options', 'a=1', 'b=[x,2]']).cfg_options == {'a': 1, 'b': ['x', 2]}


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


def test_the_text_of_a_config_is_formatted_once():
    calls = []

    def format_code(text, style_config):
        calls.append(text)
        return text.upper(), True

    remembered = config_module._remembered(format_code)
    assert [remembered(text, style_config=dict(indent=4), verify=True) for text in 'aab'] == [('A', True)] * 2 + [('B', True)]
    assert calls == ['a', 'b']
    assert 'depth=50' in Config(dict(model=dict(depth=50))).pretty_text
