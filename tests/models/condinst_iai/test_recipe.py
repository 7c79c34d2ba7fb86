"""The official recipes: parameter groups, schedule, the numbers by which the five configs differ."""
import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmvis.datasets.clip import Clip, ClipFrame
from mmvis.datasets.transforms import ClipCompose
from mmvis.engine import load_config
from mmvis.registry import MODELS


@pytest.fixture(scope='module')
def recipe():
    """Model and optimizer of the first config; on the meta device, as only names and rates are looked at."""
    cfg = load_config('ytvis2019_iai_condinst_r50.py')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    return cfg, model, build_optim_wrapper(model, cfg.optim_wrapper)


def test_everything_named_backbone_learns_slowly_the_projector_too(recipe):
    _, model, wrapper = recipe
    groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    rates = {name: (groups[id(p)]['lr'], groups[id(p)]['weight_decay']) for name, p in model.named_parameters()
             if p.requires_grad}
    slow = {name for name, rate in rates.items() if rate == (pytest.approx(1e-5), pytest.approx(9e-5))}
    assert slow == {name for name in rates if 'backbone' in name}
    assert {name for name in slow if not name.startswith('backbone.')} == {
        'backbone_projector.weight', 'backbone_projector.bias'}
    assert all(rates[name] == (1e-4, 1e-4) for name in set(rates) - slow)
    assert type(wrapper.optimizer) is torch.optim.AdamW


def test_learning_rate_over_the_epochs(recipe):
    cfg, _, _ = recipe
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    warmup, steps = (PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer)) for scheduler in cfg.param_scheduler)
    rates = []
    for epoch in range(12):
        for iteration in range(600):
            rates.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            warmup.step()
        steps.step()
    assert rates[0] == pytest.approx(1e-7)
    assert rates[250] == pytest.approx(1e-4 * (1 - 0.5 * 0.999))
    assert rates[499] < rates[500] == pytest.approx(1e-4)
    assert [rates[epoch * 600] for epoch in range(1, 12)] == pytest.approx([1e-4] * 7 + [1e-5] * 3 + [1e-6])


#                                            slots classes before NMS class score results clips a step depth
@pytest.mark.parametrize('config, expected', {
    'ytvis2019_iai_condinst_r50.py': (20, 40, 200, 0.1, 10, 4, 50),
    'ytvis2019_iai_condinst_r50_ms.py': (20, 40, 200, 0.1, 10, 4, 50),
    'ytvis2019_iai_condinst_r101.py': (20, 40, 1000, 0.05, 10, 2, 101),
    'ytvis2021_iai_condinst_r50.py': (25, 40, 200, 0.1, 10, 2, 50),
    'ovis_iai_condinst_r50.py': (25, 25, 200, 0.1, 50, 2, 50)}.items())
def test_numbers_of_the_official_configs(config, expected):
    cfg = load_config(config)
    model, test = cfg.model, cfg.model.test_cfg
    assert (model.bbox_head.max_obj_num, model.bbox_head.num_classes, test.nms_pre, test.cls_score_thr,
            test.max_per_img, cfg.train_dataloader.batch_size, model.backbone.depth) == expected
    assert (model.lstt.max_obj_num, test.id_score_thr, test.nms_iou_thr) == (expected[0], 0.1, 0.5)
    assert cfg.train_dataloader.dataset.clip == dict(type='GapClips', num_frames=5, max_gap=3, repeats=5)
    flip = [step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'ClipFlip']
    assert flip == [dict(type='ClipFlip', prob=0.5, per_frame=True)]
    assert cfg.test_dataloader.dataset.pipeline == [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]


def test_on_ovis_every_frame_has_a_size_of_its_own_and_the_clip_one():
    pipeline = ClipCompose(load_config('ovis_iai_condinst_r50.py').train_dataloader.dataset.pipeline)
    clip = Clip(1, 3, (90, 160), [ClipFrame(t, np.full((90, 160, 3), 255, np.uint8)) for t in range(3)])
    images = [frame.image for frame in pipeline(clip, np.random.default_rng(0)).frames]
    assert len({image.shape for image in images}) == 1
    filled = [(int((image[:, 0, 0] == 255).sum()), int((image[0, :, 0] == 255).sum())) for image in images]
    assert len(set(filled)) == 3
    assert all(360 <= height <= 480 and 640 <= width <= 853 for height, width in filled)
