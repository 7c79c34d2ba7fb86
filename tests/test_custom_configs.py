"""The configs for one's own data: they count the classes themselves, and their settings reach what is built."""
import shutil
from pathlib import Path

import pytest
import torch
from helpers.tiny_vis import make_tiny_dataset
from mmengine.config import Config

from mmvis.datasets import SampleKey
from mmvis.datasets.clip import clip_collate
from mmvis.engine import load_config
from mmvis.engine.class_numbers import fill_class_number
from mmvis.engine.config_values import OptionText
from mmvis.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('*/*_custom.py'))
#: Sigmoid classifiers have an output a class; those with a softmax one more for what is no object.
WITH_BACKGROUND = ('masktrack_rcnn', 'ifc', 'videomt', 'eomt', 'lvmt', 'mask2former', 'minvis')
#: Trainings that are counted in iterations; these two have another schedule than steps.
BY_ITERATIONS = ('ifc', 'videomt', 'eomt', 'lvmt', 'mask2former', 'minvis')
TWO_STAGES = ('videomt', 'eomt', 'lvmt')


def custom(function):
    return pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)(function)


def class_rows(model):
    return {parameter.shape[0] for name, parameter in model.named_parameters() if name.endswith('weight') and any(
        part in name for part in ('fc_cls', 'conv_cls.', 'fcos_cls', 'class_embed.layers.1', 'class_branches', 'class_head'))}


def test_every_system_has_one():
    systems = {path.parent.name for path in (ROOT / 'configs').glob('*/README.md')}
    assert {path.parent.name for path in CONFIGS} == systems and len(systems) == 11


@custom
def test_a_copy_for_three_classes(path, tmp_path):
    system = path.parent.name
    categories = [dict(id=number, name=f'class {number}') for number in (2, 5, 90)]
    for split in ('train', 'valid'):
        make_tiny_dataset(tmp_path / 'data', 2, 6, size=(96, 160), split=split, categories=categories)
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    text = path.read_text()
    assert text.count("'data/custom'") == 1 and text.count('\nnum_classes = 0 ') == 1
    copy = tmp_path / 'configs' / system / 'my_config.py'
    copy.write_text(text.replace('data/custom', str(tmp_path / 'data')))
    cfg = Config.fromfile(copy)  # mmengine's own way, too
    fill_class_number(cfg)
    assert cfg.num_classes == 3

    train = DATASETS.build(cfg.train_dataloader.dataset)
    first = train[SampleKey(0, 0, 0)]
    assert train.classes == ('class 2', 'class 5', 'class 90') and len(first['inputs']) == len(first['data_samples'])
    batch = clip_collate([first])
    assert {int(label) for sample in batch['data_samples'][0] for label in sample.gt_instances.labels} <= {0, 1, 2}
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert DATASETS.build(loader.dataset).category_ids == (2, 5, 90)

    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert class_rows(model) == {3 + (system in WITH_BACKGROUND)} and model.num_classes == 3


@custom
def test_settings_reach_what_is_built(path):
    length = 'max_iters' if path.parent.name in BY_ITERATIONS else 'max_epochs'
    settings = {'num_classes': '7', 'scale': '(192,108)', 'lr': '0.001', length: '30', 'data_root': 'my data'}
    cfg = load_config(str(path), {key: OptionText(value) for key, value in settings.items()})
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert class_rows(model) == {7 + (path.parent.name in WITH_BACKGROUND)} and model.num_classes == 7
    assert cfg.optim_wrapper.optimizer.lr == 0.001 and cfg.train_cfg[length] == 30
    assert cfg.param_scheduler[-1].end == 30
    if path.parent.name in TWO_STAGES:
        assert 0 < sum(cfg.param_scheduler[-1].warmup) < 30
    else:
        assert 0 < max(cfg.param_scheduler[-1].milestones) < 30
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == 'my data' and '192' in str(loader.dataset.pipeline)
    assert cfg.test_dataloader.dataset.pipeline[0].scale == (192, 108)
    assert '192' not in str(load_config(str(path)).train_dataloader.dataset.pipeline)


@custom
def test_a_training_of_one_epoch_has_the_full_rate(path):
    length = 'max_iters' if path.parent.name in BY_ITERATIONS else 'max_epochs'
    schedule = load_config(str(path), {length: 1}).param_scheduler[-1]
    if path.parent.name in TWO_STAGES:
        assert set(schedule.warmup) == {0}
        return
    assert set(schedule.milestones) == {1}  # in 0 the rate would fall before the first step


def test_classes_are_counted_in_a_checkpoint_that_tells_them(tmp_path):
    meta = dict(dataset_meta=dict(classes=('a', 'b'), category_ids=(1, 2)))
    torch.save(dict(state_dict={}, meta=meta), tmp_path / 'trained.pth')
    cfg = load_config('ifc_r50_custom.py')
    fill_class_number(cfg, str(tmp_path / 'trained.pth'))
    assert cfg.model.num_classes == 2
