"""The configs for one's own data: a copy with another number of classes reads the data and has a model for them."""
import shutil
from pathlib import Path

import pytest
import torch
from helpers.tiny_vis import make_tiny_dataset

from mmvis.datasets import SampleKey
from mmvis.datasets.clip import clip_collate
from mmvis.engine import load_config
from mmvis.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('*/*_custom.py'))
#: Sigmoid classifiers have an output a class; those with a softmax one more for what is no object.
WITH_BACKGROUND = ('masktrack_rcnn', 'ifc')


def test_every_system_has_one():
    systems = {path.parent.name for path in (ROOT / 'configs').glob('*/README.md')}
    assert {path.parent.name for path in CONFIGS} == systems and len(systems) == 6


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_copy_for_three_classes(path, tmp_path):
    system = path.parent.name
    categories = [dict(id=number, name=f'class {number}') for number in (2, 5, 90)]
    for split in ('train', 'valid'):
        make_tiny_dataset(tmp_path / 'data', 2, 6, size=(96, 160), split=split, categories=categories)
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    text = path.read_text()
    assert text.count("'data/custom'") == 1 and text.count('num_classes = 40 ') == 1
    copy = tmp_path / 'configs' / system / 'my_config.py'
    copy.write_text(text.replace('data/custom', str(tmp_path / 'data')).replace('num_classes = 40 ', 'num_classes = 3 '))
    cfg = load_config(str(copy))

    train = DATASETS.build(cfg.train_dataloader.dataset)
    first = train[SampleKey(0, 0, 0)]
    assert train.classes == ('class 2', 'class 5', 'class 90') and len(first['inputs']) == len(first['data_samples'])
    batch = clip_collate([first])
    assert {int(label) for sample in batch['data_samples'][0] for label in sample.gt_instances.labels} <= {0, 1, 2}
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert DATASETS.build(loader.dataset).category_ids == (2, 5, 90)

    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    rows = {parameter.shape[0] for name, parameter in model.named_parameters() if name.endswith('weight') and any(
        part in name for part in ('fc_cls', 'conv_cls.', 'fcos_cls', 'class_embed.layers.1', 'class_branches'))}
    assert rows == {3 + (system in WITH_BACKGROUND)}
