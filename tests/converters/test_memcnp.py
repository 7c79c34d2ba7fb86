"""Checkpoints of MemCNP-VIS, and the MAE file that its training starts from."""
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from helpers.tiny_memcnp import tiny_model
from torch import nn

from mmvis.converters import load_checkpoint
from mmvis.engine import load_config
from mmvis.models.backbones.vit import sincos_table
from mmvis.registry import MODELS

GOLDEN = Path(__file__).resolve().parents[1] / 'golden' / 'memcnp'


@pytest.mark.parametrize('name, manifest, unused', [
    ('vitmae_cnp_contrast_ms_1x.py', 'manifest.json', 'backbone.norm.'),
    ('R50_cnp_contrast_ms_1x.py', 'manifest_r50.json', 'neck.fpn_convs.4.'),
    ('vitae-b_sipmask_ms_1x.py', 'manifest_vit_sipmask.json', 'backbone.norm.')])
def test_official_keys_are_ours_but_for_what_is_never_used(name, manifest, unused):
    with torch.device('meta'):
        own = MODELS.build(load_config(name).model).state_dict()
    manifest = json.loads((GOLDEN / manifest).read_text())
    assert {key: [list(value.shape), str(value.dtype)[6:]] for key, value in own.items()} == {
        key: value for key, value in manifest.items() if not key.startswith(unused)}
    assert any(key.startswith(unused) for key in manifest)


def test_official_file(tmp_path, capsys):
    model, trained = tiny_model(seed=0), tiny_model(seed=1).state_dict()
    old = OrderedDict(('module.' + key, value) for key, value in trained.items())
    old.update({'module.backbone.norm.weight': torch.ones(24), 'module.backbone.norm.bias': torch.zeros(24)})
    torch.save(dict(meta=dict(epoch=12), state_dict=old, optimizer={}), tmp_path / 'a.pth')
    report = load_checkpoint(model, tmp_path / 'a.pth', strict=True)
    assert 'MemCNP' in report.source and sorted(report.dropped) == ['backbone.norm.bias', 'backbone.norm.weight']
    assert not (report.missing or report.unexpected) and 'never applied' in capsys.readouterr().out
    for key, value in model.state_dict().items():
        assert torch.equal(value, trained[key]), key


def test_own_file(tmp_path):
    model, trained = tiny_model(seed=0, vit=False), tiny_model(seed=1, vit=False).state_dict()
    torch.save(dict(state_dict=trained), tmp_path / 'own.pth')
    report = load_checkpoint(model, tmp_path / 'own.pth', strict=True)
    assert not report.dropped
    for key, value in model.state_dict().items():
        assert key.endswith('num_batches_tracked') or torch.equal(value, trained[key]), key


def mae_file(trained):
    """The backbone as MAE publishes it: bare names under ``model``, with the last norm and the decoder."""
    tensors = {key[len('backbone.'):]: value for key, value in trained.items() if key.startswith('backbone.')}
    tensors['pos_embed'] = sincos_table(24, 4) + 1
    norm = nn.LayerNorm(24)
    tensors.update({f'norm.{key}': value for key, value in norm.state_dict().items()})
    return {**tensors, 'mask_token': torch.zeros(1, 1, 8), 'decoder_pos_embed': torch.zeros(1, 17, 8),
            'decoder_blocks.0.norm1.weight': torch.ones(8)}


@pytest.mark.parametrize('wrap', [lambda x: dict(model=x), lambda x: dict(state_dict=x), lambda x: x])
def test_mae_file(tmp_path, wrap):
    model, trained = tiny_model(seed=0), tiny_model(seed=1).state_dict()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    tensors = mae_file(trained)
    torch.save(wrap(tensors), tmp_path / 'mae_pretrain_vit_base.pth')
    report = load_checkpoint(model, tmp_path / 'mae_pretrain_vit_base.pth')
    assert report.source.startswith('MAE') and not report.unexpected
    assert sorted(report.dropped) == ['decoder_blocks.0.norm1.weight', 'decoder_pos_embed', 'mask_token', 'norm.bias',
                                      'norm.weight']
    assert not any(key.startswith('backbone.') for key in report.missing)
    for key, value in model.state_dict().items():
        expected = tensors[key[len('backbone.'):]] if key.startswith('backbone.') else before[key]
        assert torch.equal(value, expected), key
