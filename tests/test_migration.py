"""Every command of docs/migration.md that is marked ready starts, on the data tree that its README prints."""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.tiny_vis import make_tiny_dataset
from mmvis.datasets.categories import YTVIS_2019
from mmvis.engine import load_config
from mmvis.registry import MODELS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / 'docs' / 'migration.md').read_text(encoding='utf-8')


def rows(section):
    """Cells of the table under a heading of the page, without its head."""
    text = PAGE.split(f'## {section}\n')[1].split('\n## ')[0]
    table = [line for line in text.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in line.strip('|').split(' | ')] for line in table]


READY = [(system.strip('| '), re.findall(r'`([^`]+)`', here)[0]) for system, _, here, state in rows('Commands')
         if state.strip(' |') == 'ready']


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder with the tools, the tree ``data/{train,val}``, ``data/annotations`` and a checkpoint of random weights."""
    folder = tmp_path_factory.mktemp('project')
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    categories = [{'id': key, 'name': name} for key, name in YTVIS_2019.items()]
    (folder / 'data' / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        ann_file = make_tiny_dataset(folder / 'data', 1, 3, split=split, categories=categories)
        ann_file.rename(folder / 'data' / 'annotations' / f'instances_{split}_sub.json')
        shutil.move(str(folder / 'data' / split / 'JPEGImages' / 'video_0'), str(folder / 'data' / split / 'video_0'))
        (folder / 'data' / split / 'JPEGImages').rmdir()
    torch.manual_seed(0)
    model = MODELS.build(load_config('masktrack_rcnn_r50_fpn_1x_youtubevos.py').model)
    torch.save({'state_dict': model.state_dict()}, folder / 'weights.pth')
    return folder


def test_the_page_names_every_published_command():
    published = ' '.join(cell for row in rows('Commands') for cell in row)
    for command in ('tools/train.py configs/masktrack_rcnn_r50_fpn_1x_youtubevos.py', 'tools/test_video.py', 'run_r50.sh',
                    'run_r101.sh', 'train.py configs/vitmae_cnp_contrast_ms_1x.py', 'configs/r50_pretrain.sh',
                    'configs/train_r50_ytvis.sh', 'configs/train_r50_ovis.sh', 'run_dist_launch.sh', 'configs/evaluate_r50_ytvis.sh',
                    'configs/evaluate_r50_ovis.sh', 'projects/IFC/train_net.py'):
        assert command in published, command
    assert READY


@pytest.mark.parametrize('system, command', READY, ids=lambda text: text[:70])
def test_command_starts(system, command, project):
    words = shlex.split(command.replace('[MODEL_PATH]', 'weights.pth').replace('[OUTPUT_PATH]', 'output/mine'))
    expected = None
    if words[:2] == ['pip', 'install']:
        words = [sys.executable, '-m', *words, '--dry-run', '--no-deps', '--no-build-isolation']
        cwd = ROOT
    else:
        words[0], cwd = sys.executable, project
        if words[1] == 'tools/train.py':     # as printed, but one step on one pair, and no file of COCO weights is here
            words += ['--cfg-options', 'load_from=None', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=1',
                      'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
                      'default_hooks.logger.interval=1']
            expected = project / 'work_dirs' / 'masktrack_rcnn_r50_fpn_1x_youtubevos' / 'epoch_1.pth'
        else:
            expected = project / 'output' / 'mine.json'
    environ = dict(os.environ, OMP_NUM_THREADS='2')
    done = subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if expected is not None:
        assert expected.is_file(), done.stdout[-2000:]
        if expected.suffix == '.json':
            assert isinstance(json.loads(expected.read_text()), list)
            assert 'AP' in done.stdout       # the split of the authors has annotations: the table is printed
