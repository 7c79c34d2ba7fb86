"""Finding and reading configs; the shared base configs."""
import re
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmvis.engine import CfgOptions, ToolParser, find_config, load_config
from mmvis.engine import config as config_module
from mmvis.engine.config_check import prepare_config
from mmvis.engine.config_keys import build_error, check_keys, misspelt_variables
from mmvis.engine.config_options import look_up
from mmvis.engine.config_values import read_value
from mmvis.errors import InputError


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
    cfg = load_config('one.py', {'model.depth': 101, 'model.stages.1.width': 5, 'work_dir': 'x'})
    assert cfg.model == dict(depth=101, stages=[dict(width=1), dict(width=5)]) and cfg.work_dir == 'x'


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


def options(*items):
    parser = ToolParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions)
    return parser.parse_args(['--cfg-options', *items]).cfg_options


@pytest.mark.parametrize('item, reason', [('model.depth=abc', 'a number is expected, such as the 50'),
                                          ('model.depth=', 'a number is expected'),
                                          ('model.stages=[1,(2]', 'is not closed'), ('model.stages=(1,2', 'not closed'),
                                          ('model.depth=dict(type=GN,num_groups=8)', 'keys of a dict are changed one by')])
def test_value_that_cannot_be_read_is_said(folder, item, reason):
    with pytest.raises(InputError, match=f'--cfg-options {re.escape(item)} does not fit .*one.py: .*{reason}'):
        load_config('one.py', options(item))


@pytest.mark.parametrize('text', ['my data', 'a,b', '2021', '1e5', 'C:\\new folder\\x', 'Bücher/日本', '[x]', '(1,2)', 'True',
                                  "it's", ' x ', 'a=b', 'a(b'])
@pytest.mark.parametrize('before', ['data', None])
def test_a_text_stays_as_it_is(folder, text, before):
    (folder / 'a/one.py').write_text(f"train_dataloader = dict(dataset=dict(type='VISDataset', ann_file={before!r}))\n")
    for value in (text, f'"{text}"'):
        cfg = load_config('one.py', options(f'train_dataloader.dataset.ann_file={value}', f'load_from={value}'))
        assert cfg.train_dataloader.dataset.ann_file == text and type(cfg.train_dataloader.dataset.ann_file) is str
        assert cfg.load_from == text
    assert load_config('one.py', options('train_dataloader.dataset.ann_file=None')).train_dataloader.dataset.ann_file is None


@pytest.mark.parametrize('text, before, value', [
    ('5', 1, 5), ('1e-4', 1, 1e-4), ('-3', 2.5, -3), ('"7"', 1, 7), ('None', 1, None), ('(192, 108)', (3, 4), (192, 108)),
    ('(1,2)', None, (1, 2)), ('[1,2.5,x]', None, [1, 2.5, 'x']), ('1,2', None, [1, 2]),
    ('[(1,2),[a,b],c]', None, [(1, 2), ['a', 'b'], 'c']),
    ('[]', [1], []), ('()', None, ()), ('(1,)', None, (1,)), ('false', True, False), ('True', False, True), ('true', None, True),
    ('word', None, 'word'), ('two words', None, 'two words'), ("'2021'", None, '2021'), ('', None, ''),
    ("['a, b','c']", None, ['a, b', 'c']),
    ('local,2021', ['local'], ['local', '2021']), ('one', ['local'], ['one']), ('14,18', [8, 11], [14, 18])])
def test_values_are_read_by_the_type_of_the_key(text, before, value):
    read = read_value(text, before)
    assert read == value and type(read) is type(value)


def test_resume_is_a_switch_or_a_file(folder):
    (folder / 'a/one.py').write_text('resume = False\n')
    values = ('True', 'false', '2021', 'my run/epoch_3.pth')
    assert [load_config('one.py', options(f'resume={value}')).resume for value in values] == [True, False, '2021', values[3]]


RECIPE = """_base_ = '../_base_/three.py'
lr = 0.1
scale = (4, 3)
unused = 7
norm_cfg = dict(type='GN', groups=2)
pipeline = [dict(type='ClipResize', scale=scale)]
train_dataloader = dict(dataset=dict(type='VISDataset', pipeline=pipeline, data_root='{{ fileDirname }}'), drop_last=False)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=2 * lr))
train_cfg = dict(type='EpochTrainLoop', max_epochs=3)
"""


@pytest.mark.parametrize('item, key, value', [
    ('lr=0.5', 'optim_wrapper.optimizer.lr', 1.0), ('scale=(8,6)', 'train_dataloader.dataset.pipeline.0.scale', (8, 6)),
    ('pipeline.0.scale=(2,1)', 'train_dataloader.dataset.pipeline.0.scale', (2, 1)), ('width=9', 'model.stages', [9, 10])])
def test_what_a_file_computes_from_a_variable_follows_it(folder, item, key, value):
    (folder / '_base_/three.py').write_text('width = 1\nmodel = dict(stages=[width, width + 1])\n')
    (folder / 'a/one.py').write_text(RECIPE)
    before, cfg = load_config('one.py'), load_config('one.py', options(item))
    assert look_up(cfg._cfg_dict, key) == value != look_up(before._cfg_dict, key) and cfg.filename == before.filename
    assert cfg.train_dataloader.dataset.data_root == str(folder / 'a')
    assert load_config('one.py')._cfg_dict == before._cfg_dict


@pytest.mark.parametrize('item, sentence', [
    ('unused=8', 'would change nothing: .*one.py has unused, but builds nothing from it'),
    ('norm_cfg.groups=8', 'would change nothing'),
    ('optim_wraper.optimizer.lr=1', 'has no optim_wraper.* Did you mean optim_wrapper.optimizer.lr[?]'),
    ('data_root=x', 'has no data_root.* Did you mean train_dataloader.dataset.data_root[?]'),
    ('train_cfg.max_epoch=7',
     'the EpochTrainLoop at train_cfg of .*one.py takes no max_epoch. Did you mean train_cfg.max_epochs[?]'),
    ('optim_wrapper.optimizer.lrr=1', 'Did you mean optim_wrapper.optimizer.lr[?]'),
    ('train_dataloader.dataset.max_video=1', 'Did you mean train_dataloader.dataset.max_videos[?]'),
    ('train_dataloader.batchsize=1', 'Did you mean train_dataloader.batch_size[?]'),
    ('env_cfg.dist_cfg.timout=1', 'Did you mean env_cfg.dist_cfg.timeout[?]'),
    ('model.x=1', 'model of .*one.py takes no x'), ('lr.x=1', 'does not fit .*: lr is .* there, which has no keys'),
    ('sizes.2=1', 'sizes is a list of 2 there, which has no 2'),
    ('pair.0=1', 'pair is .1, 2. there, which is changed as a whole'),
    ('optim_wrapper.optimizer.betas.0=1', 'betas is .1, 2. there, which is changed as a whole')])
def test_a_key_that_nothing_reads_is_refused(folder, item, sentence):
    (folder / 'a/one.py').write_text(RECIPE + 'env_cfg = dict(dist_cfg=dict())\nsizes = [1, 2]\n'
                                     'pair = (1, 2)\noptim_wrapper["optimizer"]["betas"] = [1, 2]\n')
    with pytest.raises(InputError, match=f'--cfg-options {item}.*{sentence}'):
        load_config('one.py', options(item))


def test_a_key_that_the_class_takes_is_accepted(folder):
    (folder / 'a/one.py').write_text(RECIPE + "default_hooks = dict(save=dict(type='SafeCheckpointHook'))\n")
    taken = options('optim_wrapper.optimizer.momentum=0.9', 'train_cfg.val_interval=2', 'default_hooks.save.max_keep_ckpts=3',
                    'default_hooks.mine.type=LoggerHook', 'optim_wrapper.clip_grad.max_norm=1',
                    'train_dataloader.prefetch_factor=4',
                    'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0.1', 'randomness.seed=3',
                    'train_dataloader.dataset.classes=2021,b', 'optim_wrapper.optimizer.betas=(0.9,0.99)',
                    'optim_wrapper.optimizer.type=AdamW')
    assert 'optim_wrapper.optimizer.betas' in taken
    del taken['optim_wrapper.optimizer.momentum']  # which AdamW has not
    cfg = load_config('one.py', taken)
    assert cfg.default_hooks.save.max_keep_ckpts == 3 and cfg.train_dataloader.dataset.classes == ['2021', 'b']
    with pytest.raises(InputError, match='the AdamW at optim_wrapper.optimizer of .* takes no momentum'):
        load_config('one.py', {**options('optim_wrapper.optimizer.momentum=0.9'), **taken})


def test_every_config_has_only_keys_that_are_read():
    for path in sorted(config_module.CONFIG_DIR.glob('*/*.py')):
        prepare_config(load_config(str(path)))


def test_a_key_of_a_file_that_nothing_takes_is_named(folder):
    (folder / 'a/one.py').write_text(RECIPE.replace('lr=2', 'lrr=2'))
    sentence = r'a/one.py: optim_wrapper.optimizer.lrr: the SGD .* takes no lrr. Did you mean .*\.lr[?]'
    with pytest.raises(InputError, match=sentence):
        check_keys(load_config('one.py'))


def test_a_key_of_a_part_without_a_type_is_named(folder):
    (folder / 'a/one.py').write_text("model = dict(type='IFC', criterion=dict(class_weigth=1., class_weight=2.))\n")
    cfg = load_config('one.py')

    def part(class_weight):
        return class_weight

    with pytest.raises(TypeError) as caught:
        part(**cfg.model.criterion)
    sentence = (r'a/one.py: model.criterion.class_weigth: part, which is built from model.criterion, takes no class_weigth. '
                'Did you mean')
    assert re.search(f'{sentence} model.criterion.class_weight[?]', str(build_error(cfg, caught.value)))
    assert build_error(cfg, TypeError("part() got an unexpected keyword argument 'another'")) is None
    assert build_error(cfg, TypeError('unsupported operand')) is None


@pytest.mark.parametrize('text, sentence', [
    ('default_hooks = dict(loger=dict(interval=1), logger=dict(type="LoggerHook"))',
     'default_hooks.loger has no type.* Did you mean default_hooks.logger[?]'),
    ('visualizer = dict(name="x")', 'visualizer has no type'), ('randomness = 3', 'randomness is 3: a dict'),
    ('custom_hooks = ["EMAHook"]', r"custom_hooks is \['EMAHook'\]: a list of dicts"),
    ('randomness = dict(seed="abc")', "randomness.seed is 'abc': a whole number of at least 0"),
    ('model = dict(heads=[dict(num_classes=-1)])', 'model.heads.0.num_classes is -1'),
    ('model = dict(num_classes=None)', 'model.num_classes is None'), ('model = dict(num_classes=2.)', 'num_classes is 2.0'),
    ('default_hooks = dict(logger=dict(type="LoggerHook", interval=0))', 'default_hooks.logger.interval is 0'),
    ('default_hooks = dict(checkpoint=dict(type="SafeCheckpointHook", interval=None))', 'checkpoint.interval is None'),
    ('optim_wrapper = dict(optimizer=dict(type="Adamm", lr=1))',
     "'Adamm', which is no class that is registered. Did you mean Adam"),
    ('optim_wrapper = dict(optimizer=dict(type="Adam", lr=None))', 'lr is None, which is no learning rate'),
    ('optim_wrapper = dict(optimizer=dict(type="AdamW", betas=0.9))', r'betas is 0.9: a list of 2 .a number or Tensor'),
    ('optim_wrapper = dict(optimizer=dict(type="AdamW", betas=(0.9, 1.)))', r'betas is .0.9, 1.0.: numbers from 0 to below 1'),
    ('optim_wrapper = dict(optimizer=dict(type="AdamW", weight_decay=-1))', 'weight_decay is -1: a number of at least 0'),
    ('optim_wrapper = dict(optimizer=dict(type="SGD", lr=1, momentum="a"))', "momentum is 'a': a number"),
    ('param_scheduler = [dict(type="LinearLR", end=None)]', 'param_scheduler.0.end is None: a whole number is'),
    ('param_scheduler = [dict(type="LinearRL")]', "'LinearRL', which is no class that is registered. Did you mean LinearLR[?]"),
    ('model = dict(backbone=dict(type="mmdet.ResNet", depth=17))', 'depth is 17: ResNet has 18, 34, 50, 101, 152'),
    ('model = dict(backbone=dict(type="mmdet.ResNett"))', 'Did you mean mmdet.ResNet[?]'),
    ('model = dict(backbone=dict(type="ResNet"))', "'ResNet', which is no class that is registered. Did you mean mmdet.ResNet"),
    ('train_dataloader = dict(dataset=dict(type="VISDataset", max_videos=2.5))', 'max_videos is 2.5: a whole number or None is'),
    ('train_dataloader = dict(dataset=dict(type="VISDataset", pipeline=[dict(type="ClipResize", scale=192)]))',
     'pipeline.0.scale is 192: a list of 2'),
    ('train_dataloader = dict(dataset=dict(type="VISDataset", pipeline=[dict(type="ClipResize", scale=(192, 1.5))]))',
     r'scale is .192, 1.5.: a list of 2'),
    ('default_scope = "mmdet"', "default_scope is 'mmdet': take mmvis"), ('sync_bn = "foo"', "'foo': take torch or mmcv"),
    ('env_cfg = dict(mp_cfg=dict(mp_start_method="foo"))', "mp_start_method is 'foo': take fork or spawn or forkserver"),
    ('load_from = 3', 'load_from is 3: a text is'), ('work_dir = ["a"]', r"work_dir is .'a'.: a text is"),
    ('default_hooks = dict(checkpoint=dict(type="SafeCheckpointHook", max_keep_ckpts="x"))', "max_keep_ckpts is 'x'"),
    ('optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mlt=1))))',
     'custom_keys.neck takes no lr_mlt. Did you mean .*neck.lr_mult[?]')])
def test_a_part_of_the_wrong_shape_or_value_is_named(folder, text, sentence):
    (folder / 'a/one.py').write_text(f'{text}\n')
    with pytest.raises(InputError, match=f'a/one.py: .*{sentence}'):
        prepare_config(load_config('one.py'))


def test_what_may_be_left_out_or_counted_is_accepted(folder):
    (folder / 'a/one.py').write_text(
        'default_hooks = dict(timer=None, passing_checkpoint=None, checkpoint=dict(type="SafeCheckpointHook", interval=-1))\n'
        'randomness = dict(seed=None)\ncustom_hooks = [dict(type="EMAHook")]\ntrain_cfg = dict(max_epochs=1, val_interval=None)\n'
        'model = dict(type="IFC", num_classes=0)\nvisualizer = None\n'
        'optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=.1, decay_mult=0.))))\n')
    before = load_config('one.py').to_dict()
    cfg = load_config('one.py')
    prepare_config(cfg)
    assert cfg.to_dict() == before


def test_a_dict_of_a_file_with_nearly_the_name_of_another_is_found(folder):
    (folder / 'a/one.py').write_text('optim_wraper = dict(lr=1)\nnorm_cfg = dict()\nwork_dirs = 3\n')
    assert misspelt_variables(load_config('one.py')) == {'optim_wraper': 'optim_wrapper'}


@pytest.mark.parametrize('key, value, sentence', [
    ('train_dataloader.batch_size', 0, 'batch_size is 0: a whole number of at least 1'),
    ('train_dataloader.batch_size', 1.5, 'batch_size is 1.5'), ('train_dataloader.num_workers', -1, 'num_workers is -1'),
    ('log_level', 'NOPE', "log_level is 'NOPE': take one of DEBUG"), ('train_cfg.max_epochs', 0, 'max_epochs is 0'),
    ('train_dataloader.batch_size', None, 'batch_size is None'),
    ('train_cfg.max_epochs', None, 'max_epochs is None'), ('optim_wrapper.optimizer.lr', float('nan'), 'lr is nan'),
    ('optim_wrapper.optimizer.lr', 'abc', "lr is 'abc'")])
def test_a_value_that_cannot_be_is_said(folder, key, value, sentence):
    (folder / 'a/one.py').write_text(RECIPE)
    with pytest.raises(InputError, match=f'a/one.py: .*{re.escape(sentence)}'):
        prepare_config(load_config('one.py', {key: value}))


def test_videos_are_run_one_by_one():
    cfg = load_config('masktrack_rcnn_r18_fpn_sample.py', {'test_dataloader.batch_size': 2})
    with pytest.raises(InputError, match='test_dataloader.batch_size is 2, but videos are run one after another.*chunk_size'):
        prepare_config(cfg)


def test_a_loader_without_workers_has_nothing_that_is_for_workers(folder):
    (folder / 'a/one.py').write_text('train_dataloader = dict(num_workers=2, persistent_workers=True, prefetch_factor=4)\n'
                                     'val_dataloader = train_dataloader\n')
    cfg = load_config('one.py', {'train_dataloader.num_workers': 0})
    prepare_config(cfg)
    assert cfg.train_dataloader == dict(num_workers=0)
    assert cfg.val_dataloader == dict(num_workers=2, persistent_workers=True, prefetch_factor=4)


@pytest.mark.parametrize('text, sentence', [
    ('x = 1\nmodel = dict(\n', "one.py cannot be read as a config: line 2: '[(]' was never closed"),
    ('x = 1\n\nx = nothing\n', "one.py cannot be read as a config: line 3: NameError: name 'nothing' is not"),
    ('_base_ = []\nimport no_such_module_here', 'one.py cannot be read as a config: .*no_such_module_here'),
    ("custom_imports = dict(imports=['no_such_module_here'])", 'cannot be read as a config: .*no_such_module_here'),
    ("_base_ = ['../_base_/three.py', 'gone.py']", 'one.py cannot be read .*one.py names the base .*a/gone.py, which is not'),
    ("_base_ = '../_base_/bad.py'", 'one.py cannot be read .*_base_/bad.py, line 2: invalid syntax'),
    ("_base_ = '../_base_/zero.py'", 'one.py cannot be read .*_base_/zero.py, line 1: ZeroDivisionError')])
def test_config_with_a_mistake_is_named(folder, text, sentence):
    (folder / '_base_/bad.py').write_text('x = 1\ny = = 2\n')
    (folder / '_base_/zero.py').write_text('x = 1 / 0\n')
    (folder / 'a/one.py').write_text(text)
    with pytest.raises(InputError, match=sentence):
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


def test_modules_named_on_the_command_line_are_imported(folder, monkeypatch):
    (folder / 'a/one.py').write_text(RECIPE)
    monkeypatch.syspath_prepend(folder)
    (folder / 'part_of_mine.py').write_text('NUMBER = 3\n')
    load_config('one.py', {'custom_imports.imports': ['part_of_mine']})
    assert sys.modules.pop('part_of_mine').NUMBER == 3
    with pytest.raises(InputError, match='custom_imports is .*no_such_module'):
        load_config('one.py', {'custom_imports.imports': ['no_such_module']})


def test_what_a_hook_hands_on_is_known(folder):
    """mmengine's EMAHook gives what it does not know to the average; of a class that inherits from none nobody can say."""
    (folder / 'a/one.py').write_text(RECIPE)
    cfg = load_config('one.py')
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.001, begin_epoch=1)]
    prepare_config(cfg)
    cfg.custom_hooks = [dict(type='EMAHook', momentun=0.001)]
    with pytest.raises(InputError, match=r'custom_hooks.0.momentun: .* takes no momentun. Did you mean .*momentum[?]'):
        prepare_config(cfg)
    cfg.custom_hooks = [dict(type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=100, anything=1)]
    with pytest.raises(InputError, match='takes no anything'):
        prepare_config(cfg)
