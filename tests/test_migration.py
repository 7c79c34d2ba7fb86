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

from mmvis.datasets.categories import YTVIS_2019, YTVIS_2021
from mmvis.engine import load_config
from mmvis.registry import MODELS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / 'docs' / 'migration.md').read_text(encoding='utf-8')


def rows(section):
    """Cells of the table under a heading of the page, without its head."""
    text = PAGE.split(f'## {section}\n')[1].split('\n## ')[0]
    table = [line for line in text.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in line.strip('|').split(' | ')] for line in table]


# run_r50.sh and run_r101.sh set up an environment: tests/test_run_scripts.py starts them.
READY = [(system.strip('| '), re.findall(r'`([^`]+)`', here)[0]) for system, _, here, state in rows('Commands')
         if state.strip(' |') == 'ready' and '`sh run_' not in here]
#: system -> the config whose model fills its checkpoint with random weights
WEIGHTS = {'MaskTrackRCNN': 'masktrack_rcnn_r50_fpn_1x_youtubevos.py', 'IAI + CondInst': 'ytvis2019_iai_condinst_r50.py',
           'IFC': 'ifc_r50_ytvis2019.py', 'SipMask-VIS': 'sipmask_r50_caffe_fpn_gn_1x_4gpu.py',
           'MemCNP': 'vitmae_cnp_contrast_ms_1x.py'}
#: Images of a training step, in the form of the config's pipeline.
SIZES = {**dict.fromkeys(WEIGHTS, '(320,180)'), 'IFC': '[(320,180)]', 'MemCNP': '[(320,180),(320,180)]'}
#: Blocks of MemCNP's transformer here, instead of 12, and the option that says so.
SMALLER_DEPTH = 4
SMALLER = {'MemCNP': [f'model.backbone.depth={SMALLER_DEPTH}']}


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder with the tools, the tree ``data/{train,val}``, ``data/annotations`` and checkpoints of random weights."""
    folder = tmp_path_factory.mktemp('project')
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    add_yvis(folder / 'MemCNP')
    categories = [{'id': key, 'name': name} for key, name in YTVIS_2019.items()]
    (folder / 'data' / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        ann_file = make_tiny_dataset(folder / 'data', 1, 3, split=split, categories=categories)
        ann_file.rename(folder / 'data' / 'annotations' / f'instances_{split}_sub.json')
        shutil.move(str(folder / 'data' / split / 'JPEGImages' / 'video_0'), str(folder / 'data' / split / 'video_0'))
        (folder / 'data' / split / 'JPEGImages').rmdir()
    torch.manual_seed(0)
    for system, config in WEIGHTS.items():
        model = load_config(config).model
        if system in SMALLER:
            model.backbone.depth = SMALLER_DEPTH
        torch.save({'state_dict': MODELS.build(model).state_dict()}, folder / f'{system}.pth')
    (folder / 'MemCNP' / 'MemCNP.pth').symlink_to(folder / 'MemCNP.pth')
    return folder


def add_yvis(folder):
    """A project folder with the tree of MemCNP's README: YouTube-VIS 2021 under the name of YVIS."""
    root = folder / 'data' / 'YVIS'
    (root / 'annotations').mkdir(parents=True)
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    categories = [{'id': key, 'name': name} for key, name in YTVIS_2021.items()]
    for split in ('train', 'valid'):
        ann_file = make_tiny_dataset(root, 1, 3, split=split, categories=categories)
        ann_file.rename(root / 'annotations' / f'instances_{split}.json')
        shutil.move(str(root / split / 'JPEGImages'), str(root / f'{split}_images'))


def test_the_page_names_every_published_command():
    published = ' '.join(cell for row in rows('Commands') for cell in row)
    for command in ('tools/train.py configs/masktrack_rcnn_r50_fpn_1x_youtubevos.py', 'tools/test_video.py', 'run_r50.sh',
                    'run_r101.sh', 'eval.sh', 'tools/test.py', 'tools/dist_test.sh',
                    'configs/sipmask/sipmask_r50_caffe_fpn_gn_1x_4gpu.py',
                    'train.py configs/vitmae_cnp_contrast_ms_1x.py', 'configs/r50_pretrain.sh',
                    'configs/train_r50_ytvis.sh', 'configs/train_r50_ovis.sh', 'run_dist_launch.sh',
                    'configs/evaluate_r50_ytvis.sh',
                    'configs/evaluate_r50_ovis.sh', 'projects/IFC/train_net.py'):
        assert command in published, command
    assert READY


@pytest.mark.parametrize('system, command', READY, ids=lambda text: text[:70])
def test_command_starts(system, command, project, python):
    for place, value in (('[MODEL_PATH]', f'"{system}.pth"'), ('[OUTPUT_PATH]', 'output/results'),
                         ('[OUTPUT_PATH.pkl]', 'output/results.pkl'), ('[VISUALISATION_PATH]', 'output/pictures'),
                         ('$F_NUM', '36')):
        command = command.replace(place, value)
    words = ['2' if word in ('4', '8') else word for word in shlex.split(command)]        # processes
    expected = None
    if words[:2] == ['pip', 'install']:
        words = [sys.executable, '-m', *words, '--dry-run', '--no-deps', '--no-build-isolation']
        cwd = ROOT
    else:
        cwd = project / 'MemCNP' if system == 'MemCNP' else project
        if words[0].startswith('python'):
            words[0] = python
        if any('train' in word for word in words[1:3]):    # as printed, but one step on one short clip, and from random weights
            config = next(word for word in words if word.endswith('.py') and 'configs/' in word)
            counts = 'iter' if system == 'IFC' else 'epoch'
            words += ['--cfg-options', 'load_from=None', f'train_cfg.max_{counts}s=1', 'train_dataloader.batch_size=1',
                      'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
                      'default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=1']
            if system == 'IAI + CondInst':
                words += ['train_dataloader.dataset.clip.num_frames=2', 'train_dataloader.dataset.clip.repeats=1']
            if system == 'IFC':
                words += ['train_dataloader.dataset.clip.num_frames=2']
            words += [*SMALLER.get(system, ()), f'train_dataloader.dataset.pipeline.0.scale={SIZES[system]}']
            work_dir = words[words.index('--work_dir') + 1] if '--work_dir' in words else f'work_dirs/{Path(config).stem}'
            expected = cwd / work_dir / f'{counts}_1.pth'
        else:
            out = words[words.index('--out') + 1] if '--out' in words else f'work_dirs/{Path(words[2]).stem}/results.json'
            expected = cwd / (out if out.endswith('.json') else out + '.json')
            expected.unlink(missing_ok=True)
            words += ['--cfg-options'] * ('--cfg-options' not in words)
            words += [*SMALLER.get(system, ()), 'test_dataloader.dataset.pipeline.0.scale=(320,180)']
    environ = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=python)
    done = subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if expected is not None:
        assert expected.is_file(), done.stdout[-2000:]
        if expected.suffix == '.json':
            assert isinstance(json.loads(expected.read_text()), list)
            # the split of the authors has annotations: the table is printed
            assert ('\nAP  ' in done.stdout) == ('--eval' in words)
        if '--save_vis_path' in words:
            assert len(list((cwd / words[words.index('--save_vis_path') + 1]).rglob('*.jpg'))) == 3
