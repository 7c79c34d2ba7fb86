"""Detectors of mmdet run on the supplied operators: proposals, NMS, RoIAlign, masks, losses and gradients."""
from pathlib import Path

import mmdet.models  # noqa: F401  (registers the detectors)
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData


@pytest.fixture(autouse=True)
def mmdet_scope():
    """A runner of another test may have left its own default scope."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def build(name, **changes):
    """A detector of mmdet's own configs with a ResNet-18 and no downloaded weights."""
    cfg = Config.fromfile(Path(mmdet.__file__).parent / '.mim' / 'configs' / name)
    cfg.merge_from_dict({'model.backbone': dict(depth=18, init_cfg=None, style='pytorch'),
                         'model.neck.in_channels': [64, 128, 256, 512],
                         'model.data_preprocessor._scope_': 'mmdet', **changes})
    cfg.model.backbone.norm_cfg.requires_grad = True
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def batch():
    boxes = torch.tensor([[10., 12, 60, 70], [40, 20, 90, 60]])
    masks = torch.zeros(2, 96, 128, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2, x1:x2] = 1
    sample = DetDataSample(metainfo=dict(img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 3]),
                                       masks=BitmapMasks(masks.numpy(), 96, 128))
    image = torch.randint(0, 255, (3, 96, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return dict(inputs=[image], data_samples=[sample])


@pytest.mark.parametrize('name, changes, loss', [
    ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', {
        'model.test_cfg.rcnn.score_thr': 0.0, 'model.test_cfg.rpn.max_per_img': 60,
        'model.train_cfg.rpn_proposal.max_per_img': 100, 'model.train_cfg.rcnn.sampler.num': 32}, 'loss_mask'),
    ('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', {'model.test_cfg.score_thr': 0.0}, 'loss_centerness')])
def test_detector_trains_and_predicts(name, changes, loss):
    model = build(name, **changes)
    data = model.data_preprocessor(batch(), training=True)
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert loss in losses and total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.backbone.layer4[1].conv2.weight.grad.abs().sum() > 0

    model.eval()
    with torch.no_grad():
        result, = model.test_step(batch())
    found = result.pred_instances
    assert len(found) == 100 and found.bboxes.isfinite().all()
    assert (found.scores.diff() <= 0).all()
    assert 'mask' not in name or found.masks.shape == (100, 96, 128)
