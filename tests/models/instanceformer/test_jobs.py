"""The published jobs, two iterations each, with a tiny network: COCO pre-training, YouTube-VIS with COCO, OVIS from
that checkpoint, evaluation with analysis, and training on two machines."""
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from helpers.tiny_vis import make_tiny_dataset
from mmvis.datasets.categories import OVIS, YTVIS_2019
from mmvis.datasets.coco_categories import COCO
from mmvis.engine import load_config
from mmvis.registry import MODELS

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / 'configs' / 'instanceformer'
TINY = ['model.backbone.depth=18', 'model.backbone.base_channels=8', 'model.backbone.stem_channels=8',
        'model.neck.in_channels=[16,32,64]', 'model.neck.out_channels=32', 'model.neck.norm_cfg.num_groups=8',
        'model.neck.num_outs=3', 'model.num_levels=3', 'model.embed_dims=32', 'model.num_heads=4', 'model.num_points=2',
        'model.feedforward_dims=32', 'model.encoder_layers=1', 'model.decoder_layers=2', 'model.num_queries=20']
SHORT = ['train_cfg.max_epochs=1', 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
         'default_hooks.logger.interval=1']


def table(categories):
    return [dict(id=category_id, name=name) for category_id, name in categories.items()]


def make_coco(root, num=2):
    """Two images with two objects each, in COCO's layout."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'train2017').mkdir()
    images, annotations = [], []
    for number in range(1, num + 1):
        image = np.full((60, 90, 3), 90 + 20 * number, np.uint8)
        for index, (x, y, width, height) in enumerate(((8, 6, 30, 24), (46, 20, 36, 34))):
            cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), (30, 200 * index, 220), -1)
            outline = [[x, y, x + width, y, x + width, y + height, x, y + height]]
            annotations.append(dict(id=len(annotations) + 1, image_id=number, category_id=(1, 3)[index], iscrowd=0,
                                    bbox=[x, y, width, height], area=width * height, segmentation=outline))
        cv2.imwrite(str(root / 'train2017' / f'{number:012d}.jpg'), image)
        images.append(dict(id=number, file_name=f'{number:012d}.jpg', height=60, width=90))
    content = dict(images=images, annotations=annotations, categories=table(COCO))
    (root / 'annotations' / 'instances_train2017.json').write_text(json.dumps(content))


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder with ``data/{coco,ytvis2019,ovis}``."""
    folder = tmp_path_factory.mktemp('project')
    make_coco(folder / 'data' / 'coco')
    for name, categories in (('ytvis2019', YTVIS_2019), ('ovis', OVIS)):
        for split in ('train', 'valid'):
            make_tiny_dataset(folder / 'data' / name, 1, 2 if split == 'train' else 4, split=split,
                              categories=table(categories))
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def run(project, monkeypatch, capfd):
    """run('train', ...) runs tools/train.py in this process, in the folder of the project: what it printed."""
    monkeypatch.chdir(project)

    def call(tool, *args, options=()):
        spec = importlib.util.spec_from_file_location(f'{tool}_tool', ROOT / f'tools/{tool}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        options = [*TINY, *options, f'experiment_name={uuid.uuid4().hex}']
        monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, args), '--cfg-options', *options])
        torch.set_num_threads(1)
        try:
            module.run_tool(module.main)
        except SystemExit as stop:
            assert not stop.code, ''.join(capfd.readouterr())
        return ''.join(capfd.readouterr())
    return call


@pytest.mark.parametrize('name, load_from, batch_size', [
    ('instanceformer_r50_coco', None, 1),
    ('instanceformer_r50_joint_ytvis2019', 'instanceformer_r50_coco', 2),
    ('instanceformer_r50_ovis', 'instanceformer_r50_joint_ytvis2019', 1)])
def test_the_chain_of_trainings(run, project, name, load_from, batch_size):
    options = [*SHORT, f'train_dataloader.batch_size={batch_size}', 'train_dataloader.batch_sampler.drop_last=False']
    args = [f'{name}.py', '--seed', 0]
    if load_from is None:
        options.append('load_from=None')
    else:
        args += ['--load-from', project / 'work_dirs' / load_from / 'epoch_1.pth']
    out = run('train', *args, options=options)
    assert '[2/2]' in out and (project / 'work_dirs' / name / 'epoch_1.pth').is_file(), out[-2000:]
    if load_from is not None:                                  # the class branches start anew, the rest comes along
        assert 'layout: mmvis' in out and 'class_branches.0.weight (shape' in out
    assert ('loss_contrastive' in out) == (name == 'instanceformer_r50_ovis')


def test_evaluation_and_analysis(run, project):
    name = 'instanceformer_r50_joint_ytvis2019'
    checkpoint = project / 'work_dirs' / name / 'epoch_1.pth'
    if not checkpoint.is_file():
        pytest.skip('the training before it failed')
    out = run('test_video', f'{name}.py', checkpoint, '--out', 'results.json', '--eval', 'segm',
              '--analysis', 'analysis',
              options=['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False'])
    assert 'AP' in out
    entries = json.loads((project / 'results.json').read_text())
    assert entries and {entry['category_id'] for entry in entries} <= set(YTVIS_2019)
    assert all(len(entry['segmentations']) == 4 for entry in entries)
    assert (project / 'analysis' / '10.npz').is_file()

    def tool(name, *args):
        command = [sys.executable, f'tools/analysis/{name}.py', *args]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    tool('reference_points', f'{name}.py', 'analysis', '--out', 'points', '--tracks', '3')
    pictures = sorted((project / 'points' / '10').glob('*.png'))
    assert len(pictures) == 4 and cv2.imread(str(pictures[0])).shape == (48, 80, 3)
    tool('make_video', 'points/10')
    assert (project / 'points' / '10' / 'video.mp4').stat().st_size > 0
    tool('tsne', 'analysis/10.npz', 'analysis/10.npz', '--tracks', '3', '--out', 'tsne.png')
    assert (project / 'tsne.png').is_file()


@pytest.mark.skipif(shutil.which('sh') is None, reason='needs a shell')
def test_two_machines(project):
    """Both of them are this one."""
    environ = dict(os.environ, OMP_NUM_THREADS='1', NNODES='2', MASTER_ADDR='127.0.0.1', PORT='29613',
                   PYTHON=sys.executable)
    command = ['sh', 'tools/dist_train.sh', 'instanceformer_r50_joint_ytvis2019.py', '1', '--work-dir', 'two_machines',
               '--cfg-options', *TINY, *SHORT, 'load_from=None', 'train_dataloader.batch_size=1',
               'experiment_name=two_machines']
    machines = [subprocess.Popen(command, cwd=project, env=dict(environ, NODE_RANK=str(rank)), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for rank in (0, 1)]
    printed = [machine.communicate(timeout=600)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], printed[0][-1500:] + printed[1][-1500:]
    assert '[2/2]' in printed[0] and (project / 'two_machines' / 'epoch_1.pth').is_file()


# Configs

@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_class_units_are_category_ids(path):
    cfg = load_config(str(path))
    model, dataset = cfg.model, cfg.test_dataloader.dataset
    tables = {'YTVIS2019Dataset': YTVIS_2019, 'OVISDataset': OVIS, 'COCOClipsDataset': COCO}
    if dataset.type == 'SampleDataset':
        assert model.class_units is None and model.num_classes == 8
    else:
        assert list(model.class_units) == list(tables.get(dataset.type, YTVIS_2019))
        assert model.num_classes == {'COCOClipsDataset': 91, 'OVISDataset': 27}.get(dataset.type, 42)


@pytest.mark.parametrize('name, rate, backbone', [('instanceformer_r50_ytvis2019', 1e-4, 1e-5),
                                                  ('instanceformer_r50_ovis', 2e-4, 1e-5)])
def test_learning_rates_of_the_parameter_groups(name, rate, backbone):
    cfg = load_config(f'{name}.py')
    model = MODELS.build(dict(cfg.model, encoder_layers=1, decoder_layers=1))
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {id(p): group['lr'] for group in optimizer.param_groups for p in group['params']}
    for key, parameter in model.named_parameters():
        slow = 'sampling_offsets' in key or 'reference_points' in key
        expected = backbone if key.startswith('backbone.') else rate * (0.1 if slow else 1)
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(expected), key
    assert all(group['weight_decay'] == 1e-4 for group in optimizer.param_groups)
