"""The configs say what the published recipe says, and every one of them can be built."""
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

from mmvis.datasets.transforms import ClipCompose
from mmvis.engine import load_config
from mmvis.registry import DATASETS, MODELS, TRANSFORMS

FOLDER = Path(__file__).resolve().parents[3] / 'configs' / 'ifc'

#: name -> data set, classes, depth, frames of a training clip, steps, and after how many the rate falls
RECIPES = {
    'ifc_r50_ytvis2019': ('YTVIS2019Dataset', 40, 50, 5, 6000, 4000),
    'ifc_r101_ytvis2019': ('YTVIS2019Dataset', 40, 101, 5, 6000, 4000),
    'ifc_r50_ytvis2021': ('YTVIS2021Dataset', 40, 50, 5, 6000, 4000),
    'ifc_r101_ytvis2021': ('YTVIS2021Dataset', 40, 101, 5, 6000, 4000),
    'ifc_r50_ovis': ('OVISDataset', 25, 50, 5, 6000, 4000),
    'ifc_r101_ovis': ('OVISDataset', 25, 101, 5, 6000, 4000),
    'ifc_r50_coco': ('COCOClipsDataset', 80, 50, 1, 1108800, 739200),
    'ifc_r101_coco': ('COCOClipsDataset', 80, 101, 1, 1848000, 1232000),
}


@pytest.mark.parametrize('name', RECIPES)
def test_published_numbers(name):
    dataset_type, classes, depth, num_frames, steps, milestone = RECIPES[name]
    cfg = load_config(f'{name}.py')
    data, model = cfg.train_dataloader.dataset, cfg.model
    assert data.type == dataset_type and cfg.test_dataloader.dataset.type == dataset_type
    assert model.num_classes == classes and (model.backbone.depth, cfg.train_cfg.max_iters) == (depth, steps)
    assert (data.clip.num_frames if 'clip' in data else 1) == num_frames
    scheduler, = cfg.param_scheduler
    assert (scheduler.milestones, scheduler.end, scheduler.by_epoch) == ([milestone], steps, False)
    optimizer = cfg.optim_wrapper
    assert (optimizer.optimizer.type, optimizer.optimizer.lr, optimizer.optimizer.weight_decay) == ('AdamW', 1e-4, 1e-4)
    assert optimizer.clip_grad.max_norm == 0.01
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == (32 if num_frames == 1 else 16)
    style = ('caffe', False) if depth == 101 else ('pytorch', True)
    assert (model.backbone.style, model.data_preprocessor.bgr_to_rgb) == style
    assert model.data_preprocessor.pad_size_divisor == 1
    short = 800 if dataset_type == 'COCOClipsDataset' else 360
    assert cfg.test_dataloader.dataset.pipeline == [
        dict(type='ClipResize', scale=(1333, short), rule='detectron2')]


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem)
def test_every_config_can_be_built(path):
    cfg = load_config(str(path))
    init_default_scope('mmvis')
    with torch.device('meta'):
        assert MODELS.build(cfg.model).num_classes == cfg.model.num_classes
    for data in cfg.train_dataloader.dataset.get('datasets', [cfg.train_dataloader.dataset]):
        assert DATASETS.get(data.type) is not None
        assert ClipCompose(data.pipeline).transforms
        if 'clip' in data:
            assert TRANSFORMS.build(data.clip)
