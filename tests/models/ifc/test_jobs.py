"""The trainings that read COCO, two iterations each, with a tiny network: images, pseudo-clips, beside YouTube-VIS."""
import importlib.util
import json
import sys
import uuid
from pathlib import Path

import pytest
import torch
from helpers.tiny_coco import write_coco
from helpers.tiny_vis import make_tiny_dataset

from mmvis.datasets.categories import YTVIS_2019

ROOT = Path(__file__).resolve().parents[3]
TINY = ['model.backbone.depth=18', 'model.backbone.base_channels=8', 'model.backbone.stem_channels=8',
        'model.in_channels=[16,32,64]', 'model.embed_dims=16', 'model.num_heads=2', 'model.ffn_dims=32',
        'model.num_groups=4', 'model.num_queries=8', 'model.num_memory=2']
SHORT = ['train_cfg.max_iters=2', 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
         'default_hooks.logger.interval=1', 'train_dataloader.batch_size=2']


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder with ``data/{coco,ytvis2019}``."""
    folder = tmp_path_factory.mktemp('project')
    (folder / 'data').mkdir()
    write_coco(folder / 'data')
    categories = [dict(id=category_id, name=name) for category_id, name in YTVIS_2019.items()]
    make_tiny_dataset(folder / 'data' / 'ytvis2019', 1, 4, categories=categories)
    return folder


@pytest.fixture
def train(project, monkeypatch, capfd):
    """train(config, start, places of ClipResize, options) runs tools/train.py: its log by step, and what it printed."""
    def run(name, start, places, more):
        spec = importlib.util.spec_from_file_location('train_tool', ROOT / 'tools' / 'train.py')
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        options = [*TINY, *SHORT, *more, f'experiment_name={uuid.uuid4().hex}']
        options += [f'train_dataloader.dataset.{place}.scale=[(1333,48),(1333,64)]' for place in places]
        options += ['load_from=None'] if start is None else []
        where = [] if start is None else ['--load-from', str(project / 'work_dirs' / start / 'iter_2.pth')]
        monkeypatch.setattr(sys, 'argv', ['train.py', f'{name}.py', '--seed', '0', *where, '--cfg-options', *options])
        monkeypatch.chdir(project)
        torch.set_num_threads(1)
        try:
            tool.run_tool(tool.main)
        except SystemExit as stop:
            assert not stop.code, ''.join(capfd.readouterr())
        log, = (project / 'work_dirs' / name).glob('*/vis_data/scalars.json')
        return [json.loads(line) for line in log.read_text().splitlines()], ''.join(capfd.readouterr())
    return run


@pytest.mark.parametrize('name, start, places, more', [
    ('ifc_r50_coco', None, ['pipeline.1'], []),
    ('ifc_r50_clips_coco', 'ifc_r50_coco', ['pipeline.2'], []),
    # two clips of the video and two images: two steps of two clips see them all
    ('ifc_r50_ytvis2019_joint_coco', 'ifc_r50_coco', ['datasets.0.pipeline.0', 'datasets.1.pipeline.3'],
     ['train_dataloader.dataset.datasets.0.clip.repeats=2'])])
def test_the_chain_of_trainings(train, project, name, start, places, more):
    if start is not None and not (project / 'work_dirs' / start / 'iter_2.pth').is_file():
        pytest.skip(f'starts from {start}, which was not trained')
    steps, out = train(name, start, places, more)
    assert [step['step'] for step in steps] == [1, 2]
    for step in steps:
        parts = [value for key, value in step.items() if key.startswith('loss_')]
        assert len(parts) == 9 and step['loss'] == pytest.approx(sum(parts), rel=1e-4) and step['loss'] > 0
    before, after = (torch.load(project / 'work_dirs' / run / 'iter_2.pth', weights_only=True)['state_dict']
                     for run in (start or name, name))
    if start is not None:                                       # 40 classes instead of 80: the last layer is new
        assert ('class_embed.layers.1.weight (shape' in out) == ('joint' in name), out[-2000:]
        moved = (after['encoder.memory'] - before['encoder.memory']).abs().max()
        assert 0 < moved < 4 * 1e-4                             # two steps of AdamW from what was loaded
