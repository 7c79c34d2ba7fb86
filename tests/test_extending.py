"""Every file of docs/extending.md stands in a folder of its own, and a training with each of its configs goes through."""
import json
import subprocess
import sys
import uuid

import pytest
from helpers.documents import ROOT, files_of
from helpers.tiny_vis import make_tiny_dataset

from mmvis.datasets.sample_set import CATEGORIES
from mmvis.engine import build_runner, load_config
from mmvis.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

FILES = files_of('docs/extending.md')
CONFIGS = [name for name in FILES if name.endswith('_config.py')]
REGISTRIES = (MODELS, DATASETS, TRANSFORMS, METRICS, HOOKS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The files of the page beside configs/, and a set of three videos; what they register is forgotten afterwards."""
    folder = tmp_path_factory.mktemp('extending')
    (folder / 'mine').mkdir()
    (folder / 'configs').symlink_to(ROOT / 'configs')
    for name, text in FILES.items():
        (folder / 'mine' / name).write_text(text)
    for split, num_videos in (('train', 2), ('valid', 1)):
        make_tiny_dataset(folder / 'data', num_videos, size=(108, 192), split=split,
                          categories=[dict(id=number, name=name) for number, name in CATEGORIES.items()])
    modules, path, known = set(sys.modules), list(sys.path), [set(registry.module_dict) for registry in REGISTRIES]
    yield folder
    for registry, before in zip(REGISTRIES, known):
        for name in set(registry.module_dict) - before:
            del registry.module_dict[name]
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], '__file__', None) and str(folder) in sys.modules[name].__file__:
            del sys.modules[name]


@pytest.fixture(scope='module')
def scalars(folder):
    """Config -> what its training of one short epoch has written."""
    written = {}

    def of(config):
        if config not in written:
            options = {f'{part}_dataloader.{key}': value for part in ('train', 'val') for key, value in {
                'dataset.data_root': str(folder / 'data'), 'num_workers': 0}.items()}
            cfg = load_config(str(folder / 'mine' / config), {
                **options, 'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'default_hooks.logger.interval': 1,
                'train_dataloader.batch_size': 2})
            cfg.work_dir, cfg.experiment_name = str(folder / 'work' / config), uuid.uuid4().hex
            cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
            build_runner(cfg).train()
            [file] = (folder / 'work' / config).glob('*/vis_data/scalars.json')
            [log] = (folder / 'work' / config).glob('*/*.log')
            written[config] = [json.loads(line) for line in file.read_text().splitlines()], log.read_text()
        return written[config]

    return of


def test_there_is_one_of_each_kind():
    assert CONFIGS == [f'{name}_config.py' for name in ('one_a_class', 'plain_neck', 'shapes', 'grey', 'count', 'slow_steps')]
    assert len(FILES) == 2 * len(CONFIGS)


@pytest.mark.parametrize('config', CONFIGS)
def test_a_training_goes_through(config, scalars, folder):
    rows, log = scalars(config)
    assert rows[0]['loss'] > 0 and 'vis/segm_AP' in rows[-1]
    work_dir = folder / 'work' / config
    copied = {path.name for path in work_dir.glob('*.py')}
    assert config in copied and len(copied) > 1  # the config that is left there works, too
    if config == 'one_a_class_config.py':
        assert rows[-2]['loss'] < rows[0]['loss']  # it learns
    if config == 'shapes_config.py':
        cfg = load_config(str(folder / 'mine' / config))
        dark = DATASETS.build(dict(cfg.train_dataloader.dataset, data_root=str(folder / 'data')))
        plain = DATASETS.build(dict(type='VISDataset', data_root=str(folder / 'data'), clip=dict(type='KeyReferencePairs')))
        assert (dark.load_image(0, 0) == (plain.load_image(0, 0) * 0.7).astype('uint8')).all()
        assert dark.classes == plain.classes
    if config == 'count_config.py':
        assert rows[-1]['count/error'] >= 0
    if config == 'slow_steps_config.py':
        assert f'{len(rows) - 2} steps took longer than 0.0 seconds.' in log


def test_ruff_has_nothing_to_say_about_them(folder):
    done = subprocess.run([sys.executable, '-m', 'ruff', 'check', '--no-cache', '--config', str(ROOT / 'pyproject.toml'),
                           '--ignore', 'F821', str(folder / 'mine')], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
