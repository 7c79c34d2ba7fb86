"""Configs that users of the official repositories miss and that nothing here trains: what they build."""
from functools import partial

import pytest
import torch
import torchvision

from mmvis.converters import convert_state_dict
from mmvis.engine import load_config
from mmvis.engine.config_check import prepare_config
from mmvis.registry import MODELS


@pytest.fixture(autouse=True)
def numbers_of_mmdet(monkeypatch):
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))  # mmdet's Swin reads its numbers


def built(name):
    cfg = load_config(name)
    prepare_config(cfg)
    with torch.device('meta'):
        return cfg, MODELS.build(cfg.model)


@pytest.mark.parametrize('name, channels, levels, kept, score, scale, clips', [
    ('sipmask_swin-s_fpn_ms_1x.py', [96, 192, 384, 768], 5, 10, 0.03, (640, 360), 8),
    ('sipmask_swin-s_fpn_ms_1x_4lvls.py', [96, 192, 384, 768], 4, 15, 0.04, (640, 360), 8),
    ('sipmask_swin-L_fpn_4lvls.py', [192, 384, 768, 1536], 4, 10, 0.02, (960, 480), 2)])
def test_sipmask_on_swin(name, channels, levels, kept, score, scale, clips):
    cfg, model = built(name)
    assert model.backbone.num_features == channels and type(model).__name__ == 'SipMaskVIS'
    assert model.backbone.stages[2].blocks[0].attn.w_msa.window_size == (7, 7)
    maps = model.neck(model.backbone(torch.empty(1, 3, 256, 384, device='meta')))
    assert [tuple(part.shape[1:]) for part in maps] == [(256, 256 >> n, 384 >> n) for n in (3, 4, 5, 6, 7)][:levels]
    assert (cfg.model.bbox_head.num_classes, len(cfg.model.bbox_head.regress_ranges)) == (40, levels)
    assert (cfg.model.test_cfg.max_per_img, cfg.model.test_cfg.score_thr) == (kept, score)
    assert cfg.test_dataloader.dataset.pipeline[0].scale == scale and cfg.train_dataloader.batch_size == clips
    assert cfg.auto_scale_lr.base_batch_size == 4 * clips and cfg.optim_wrapper.optimizer.lr == 0.005
    assert cfg.optim_wrapper.clip_grad.max_norm == 35 and cfg.param_scheduler[0].start_factor == 1 / 80


@pytest.mark.parametrize('name', ['coco', 'joint_ytvis2019', 'joint_ytvis2021', 'joint_ytvis2022', 'joint_ovis'])
def test_instanceformer_on_resnext(name):
    cfg, model = built(f'instanceformer_x101_64x4d_{name}.py')
    shapes = model.tokens(torch.empty(1, 3, 128, 192, device='meta')).shapes
    assert shapes == [(16, 24), (8, 12), (4, 6), (2, 3)]
    own = load_config(f'instanceformer_r50_{name}.py')
    assert {**cfg.model, 'backbone': None} == {**own.model, 'backbone': None} and cfg.param_scheduler == own.param_scheduler


def test_resnext_takes_the_weights_of_torchvision():
    _, model = built('instanceformer_x101_64x4d_coco.py')
    with torch.device('meta'):
        weights = torchvision.models.resnext101_64x4d().state_dict()
    fitting, report = convert_state_dict(weights, model)
    assert {key for key in model.state_dict() if key.startswith('backbone.')} == set(fitting)
    assert not report.reshaped() and not report.unexpected
