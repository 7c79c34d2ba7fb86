"""The configs of Mask2Former and of the systems on it: what each builds, and that they train, test and show."""
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.encoder_only import write_trees
from helpers.small_segmenter import small_options, training_options

from mmvis.engine import load_config
from mmvis.engine.config_check import prepare_config
from mmvis.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = sorted(path for system in ('mask2former', 'minvis') for path in (ROOT / 'configs' / system).glob('*.py')
                   if 'custom' not in path.name)
#: steps, where the rate falls, frames a step
STEPS = {'coco': (368750, [327778, 355092], 16), 'ytvis2019': (6000, [4000], 32), 'ytvis2021': (8000, [5500], 32),
         'ytvis2022': (8000, [5500], 32), 'ovis': (10000, [7000], 32)}


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
def test_what_is_configured(path):
    """Classes, queries, schedule and sizes are the published ones."""
    cfg = load_config(str(path))
    prepare_config(cfg)
    swin, data = 'swin' in path.stem, path.stem.split('_')[-1]
    segmenter = cfg.model.segmenter
    assert segmenter.num_queries == (200 if swin else 100)
    assert segmenter.num_classes == {'coco': 80, 'ovis': 25}.get(data, 40)
    assert segmenter.backbone.type == ('mmdet.SwinTransformer' if swin else 'mmdet.ResNet')
    max_iters, falls, batch = STEPS[data]
    if swin and data == 'coco':
        max_iters, falls = 737500, [655556, 710184]
    schedule = cfg.param_scheduler[0]
    assert (cfg.train_cfg.max_iters, schedule.milestones, schedule.end) == (max_iters, falls, max_iters)
    assert cfg.auto_scale_lr.base_batch_size == batch and cfg.optim_wrapper.clip_grad.max_norm == 0.01
    assert cfg.optim_wrapper.constructor == 'Detectron2Groups' and cfg.optim_wrapper.optimizer.lr == 1e-4
    short = 800 if data == 'coco' else 480 if swin and data in ('ytvis2019', 'ovis') else 360
    assert cfg.test_dataloader.dataset.pipeline[0].scale == (1333, short)
    if data != 'coco':
        assert cfg.train_dataloader.batch_size == 4 and cfg.model.num_records == 10
        assert cfg.train_dataloader.dataset.clip == dict(type='RandomClips', num_frames=1)


def test_networks_of_the_published_size():
    """Millions of parameters that are no constants of a frozen norm."""
    for name, millions in (('mask2former_r50_coco', 43.970), ('minvis_r50_ovis', 43.956)):
        model = MODELS.build(load_config(f'{name}.py').model)
        assert sum(x.numel() for x in model.parameters() if x.requires_grad) / 1e6 == pytest.approx(millions, abs=5e-4)


def tools_in(folder):
    environ = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))

    def tool(command, *arguments):
        done = subprocess.run([sys.executable, ROOT / 'tools' / command, *arguments], cwd=folder, env=environ,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
        return done.stdout

    return tool


@pytest.mark.parametrize('name', ['minvis_r50_ytvis2019', 'mask2former_r50_coco'])
def test_training_testing_and_showing(name, tmp_path):
    write_trees(tmp_path, ['ytvis2019'])
    cfg, tool = load_config(f'{name}.py'), tools_in(tmp_path)
    options = training_options(cfg)
    if name.startswith('minvis'):
        options += ['train_dataloader.dataset.pipeline.0.scale=[(96,48),(96,64)]']
    assert 'loss_dice_2' in tool('train.py', f'{name}.py', '--cfg-options', *options)
    checkpoint = f'work_dirs/{name}/iter_2.pth'
    told = tool('test_video.py', f'{name}.py', checkpoint, '--out', 'results.json', '--eval', 'segm', '--cfg-options',
                *small_options(cfg))
    assert '\nAR10' in told and ('area up to 96 x 96' in told) == name.startswith('mask2former')
    assert json.loads((tmp_path / 'results.json').read_text())
    if name.startswith('minvis'):
        tool('demo.py', 'data/ytvis2019/valid/JPEGImages/video_0', '--config', f'{name}.py', '--checkpoint', checkpoint,
             '--save_vis', 'out.mp4', '--cfg-options', *small_options(cfg))
        assert (tmp_path / 'out.mp4').stat().st_size > 1000


def test_images_of_different_sizes_in_one_folder(tmp_path):
    """Each is read, resized and given back at its own size."""
    write_trees(tmp_path, [])
    folder = tmp_path / 'data' / 'coco' / 'val2017'
    ann_file = tmp_path / 'data' / 'coco' / 'annotations' / 'instances_val2017.json'
    content = json.loads(ann_file.read_text())
    first = content['images'][0]
    first.update(height=70, width=50)
    cv2.imwrite(str(folder / first['file_name']), np.zeros((70, 50, 3), np.uint8))
    content['annotations'] = [x for x in content['annotations'] if x['image_id'] != first['id']]
    ann_file.write_text(json.dumps(content))
    cfg = load_config('mask2former_r50_coco.py')
    loader = cfg.test_dataloader.dataset
    loader.data_root = str(tmp_path / 'data')
    dataset = DATASETS.build(loader)
    shapes = [dataset[i]['video'].ori_shape for i in range(len(dataset))]
    assert shapes[0] == (70, 50) and set(shapes[1:]) == {(40, 60)}
    assert [tuple(dataset[i]['inputs'].shape[-2:]) for i in (0, 1)] == [(1120, 800), (800, 1200)]


def test_the_train_items_of_minvis(tmp_path):
    """Every video is an item and gives one frame; a share of the frames by its rule."""
    write_trees(tmp_path, ['ytvis2019'])
    cfg = load_config('minvis_r50_ytvis2019.py').train_dataloader.dataset
    cfg.data_root = str(tmp_path / 'data')
    item = DATASETS.build(cfg)[0]
    assert item['inputs'].shape[:2] == (1, 3) and item['inputs'].shape[2] in (360, 480)
    cfg.clip = dict(type='SparseFrames', ratio=0.25)
    assert DATASETS.build(cfg)[0]['data_samples'][0].frame_idx == 2
