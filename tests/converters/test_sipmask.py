"""Checkpoints of SipMask-VIS and the COCO SipMask that its training starts from."""
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from helpers.tiny_masktrack import tiny_model as tiny_masktrack
from helpers.tiny_sipmask import tiny_model

from mmvis.converters import load_checkpoint
from mmvis.engine import load_config
from mmvis.registry import MODELS

GOLDEN = Path(__file__).resolve().parents[1] / 'golden' / 'sipmask'


def test_official_keys_are_ours():
    own = MODELS.build(load_config('sipmask_r50_caffe_fpn_gn_1x.py').model).state_dict()
    manifest = json.loads((GOLDEN / 'manifest.json').read_text())
    assert {key: [list(value.shape), str(value.dtype)[6:]] for key, value in own.items()} == manifest


def test_official_file(tmp_path):
    model, trained = tiny_model(seed=0), tiny_model(seed=1).state_dict()
    old = OrderedDict(('module.' + key, value) for key, value in trained.items() if 'num_batches' not in key)
    torch.save(dict(meta=dict(epoch=12), state_dict=old, optimizer={}), tmp_path / 'a.pth')
    report = load_checkpoint(model, tmp_path / 'a.pth', strict=True)
    assert 'SipMask-VIS' in report.source and not (report.missing or report.dropped or report.unexpected)
    for key, value in model.state_dict().items():
        assert key.endswith('num_batches_tracked') or torch.equal(value, trained[key]), key


def test_coco_file_as_initialisation(tmp_path):
    """Trained with a block more in both towers and with 80 classes, without embeddings."""
    model = tiny_model(seed=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    coco = tiny_model(seed=1, head=dict(stacked_convs=4, num_classes=80)).state_dict()
    coco = {key: value for key, value in coco.items() if 'track' not in key}
    torch.save(dict(state_dict=coco), tmp_path / 'coco.pth')
    report = load_checkpoint(model, tmp_path / 'coco.pth')
    assert 'COCO' in report.source and not report.unexpected
    blocks = [f'bbox_head.{tower}.{name}' for tower in ('cls_convs.2', 'reg_convs.3')
              for name in ('conv.weight', 'gn.weight', 'gn.bias')]
    assert sorted(report.dropped) == sorted(blocks + ['bbox_head.fcos_cls.weight', 'bbox_head.fcos_cls.bias'])
    assert all('track' in key or 'fcos_cls' in key for key in report.missing)
    for key, value in model.state_dict().items():
        source = before if 'track' in key or 'fcos_cls' in key else coco
        assert key.endswith('num_batches_tracked') or torch.equal(value, source[key]), key


def test_file_of_another_system_does_not_fit(tmp_path):
    torch.save(dict(state_dict=tiny_masktrack().state_dict()), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not fit SipMaskVIS'):
        load_checkpoint(tiny_model(), tmp_path / 'other.pth', strict=True)
