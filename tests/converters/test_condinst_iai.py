"""Checkpoints that CondInst+IAI takes: the official ones, and COCO CondInst of three code bases as initialisation."""
import json
import re
from pathlib import Path

import pytest
import torch
from helpers.tiny_iai import tiny_config, tiny_model
from mmdet.models.dense_heads.condinst_head import MaskFeatModule

from mmvis.converters import convert_state_dict, load_checkpoint
from mmvis.converters.condinst_iai import official_name
from mmvis.engine import load_config
from mmvis.registry import MODELS

MANIFEST = json.loads((Path(__file__).resolve().parents[1] / 'golden' / 'iai' / 'manifest.json').read_text())
TRACKING = ('lstt.', 'encoder_projector.', 'backbone_projector.', 'bbox_head.conv_id.', 'bbox_head.id_convs.')


def official_key(key):
    for theirs, ours in (('lstt.LSTT.layers.0.', 'lstt.layer.'), ('lstt.LSTT.decoder_norms.0.', 'lstt.norm.'),
                         ('lstt.patch_wise_id_bank.', 'lstt.id_bank.'), ('.GCT.', '.gct.'), ('V_bias', 'v_bias'),
                         ('linear_Q', 'linear_q'), ('linear_K', 'linear_k'), ('linear_V', 'linear_v')):
        key = key.replace(ours, theirs)
    return key


def detector(model):
    """The part of a state dict that a COCO detector has."""
    return {key: value for key, value in model.state_dict().items() if not key.startswith(TRACKING)}


def renamed(state_dict, *pairs):
    out = {}
    for key, value in state_dict.items():
        for pattern, replacement in pairs:
            if re.match(pattern, key):
                key = re.sub(pattern, replacement, key)
                break
        out[key] = value
    return out


def test_official_keys_are_those_of_the_published_model():
    own = MODELS.build(load_config('ytvis2019_iai_condinst_r50.py').model).state_dict()
    assert {official_name(key): value for key, value in MANIFEST.items()} == {
        key: [list(value.shape), str(value.dtype)[6:]] for key, value in own.items()}


def test_official_file(tmp_path, capsys):
    source = tiny_model(seed=1).state_dict()
    path = tmp_path / 'iai.pth'
    torch.save(dict(meta=dict(epoch=12), state_dict={official_key(k): v for k, v in source.items()}, optimizer={}), path)
    model = tiny_model(seed=0)
    report = load_checkpoint(model, path, strict=True)
    assert 'CondInst+IAI' in report.source and not (report.missing or report.dropped or report.unexpected)
    assert all(torch.equal(value, source[key]) for key, value in model.state_dict().items())
    assert 'missing: 0' in capsys.readouterr().out


def test_a_file_of_another_number_of_classes_and_identities_keeps_what_fits():
    state = {official_key(key): value for key, value in tiny_model(seed=1).state_dict().items()}
    state['bbox_head.conv_cls.weight'] = torch.zeros(9, 16, 3, 3)
    state['lstt.patch_wise_id_bank.weight'] = torch.zeros(16, 21, 33, 33)
    fitting, report = convert_state_dict(state, tiny_model())
    assert set(report.dropped) == {'bbox_head.conv_cls.weight', 'lstt.id_bank.weight'}
    assert all('shape' in why for why in report.dropped.values()) and report.missing == [
        key for key in tiny_model().state_dict() if key in report.dropped]


def test_coco_condinst_of_the_same_repository():
    # In a file the mask branch has four blocks; the layout is known by the layer after them.
    source = detector(four_blocks(seed=1))
    fitting, report = convert_state_dict(source, four_blocks(seed=0))
    assert 'IAI repository on COCO' in report.source and not report.unexpected and not report.dropped
    assert report.missing and all(key.startswith(TRACKING) for key in report.missing)
    assert all(torch.equal(value, source[key]) for key, value in fitting.items())


def four_blocks(seed):
    return tiny_model(seed, bbox_head=dict(tiny_config()['bbox_head'], mask_branch_convs=4))


MMDET = ((r'bbox_head\.mask_refine\.(\d)\.0\.', r'mask_head.mask_feature_head.convs_all_levels.\1.conv\1.conv.'),
         (r'bbox_head\.mask_refine\.(\d)\.1\.', r'mask_head.mask_feature_head.convs_all_levels.\1.conv\1.bn.'),
         (r'bbox_head\.mask_head\.([0-3])\.0\.', r'mask_head.mask_feature_head.conv_branch.\1.conv.'),
         (r'bbox_head\.mask_head\.([0-3])\.1\.', r'mask_head.mask_feature_head.conv_branch.\1.bn.'),
         (r'bbox_head\.mask_head\.4\.', 'mask_head.mask_feature_head.conv_pred.'))


def test_coco_condinst_of_mmdet():
    source = detector(four_blocks(seed=1))
    state = renamed(source, *MMDET)
    theirs = MaskFeatModule(16, 16, 0, 2, 8, mask_stride=8, num_stacked_convs=4, norm_cfg=dict(type='BN')).state_dict()
    assert {f'mask_head.mask_feature_head.{key}' for key in theirs} == {k for k in state if k.startswith('mask_head.')}
    # mmdet's COCO models have biases in the towers, which a group norm cannot take over.
    state['bbox_head.cls_convs.0.conv.bias'] = state['bbox_head.reg_convs.0.conv.bias'] = torch.ones(16)
    fitting, report = convert_state_dict(state, four_blocks(seed=0))
    assert 'mmdet 3 on COCO' in report.source and not report.unexpected
    assert report.dropped.keys() == {'bbox_head.cls_convs.0.conv.bias', 'bbox_head.reg_convs.0.conv.bias'}
    assert report.missing and all(key.startswith(TRACKING) for key in report.missing)
    assert all(torch.equal(value, source[key]) for key, value in fitting.items())


@pytest.fixture(scope='module')
def full_size():
    """The official model without its weights' memory: only names and shapes count."""
    with torch.device('meta'):
        return MODELS.build(load_config('ytvis2019_iai_condinst_r50.py').model)


ADELAIDET = (
    (r'backbone\.conv1\.', 'backbone.bottom_up.stem.conv1.'), (r'backbone\.bn1\.', 'backbone.bottom_up.stem.conv1.norm.'),
    *((rf'backbone\.layer{i}\.(\d+)\.(conv\d)\.', rf'backbone.bottom_up.res{i + 1}.\1.\2.') for i in range(1, 5)),
    *((rf'backbone\.layer{i}\.(\d+)\.bn(\d)\.', rf'backbone.bottom_up.res{i + 1}.\1.conv\2.norm.') for i in range(1, 5)),
    *((rf'backbone\.layer{i}\.(\d+)\.downsample\.0\.', rf'backbone.bottom_up.res{i + 1}.\1.shortcut.')
      for i in range(1, 5)),
    *((rf'backbone\.layer{i}\.(\d+)\.downsample\.1\.', rf'backbone.bottom_up.res{i + 1}.\1.shortcut.norm.')
      for i in range(1, 5)),
    *((rf'neck\.lateral_convs\.{i}\.conv\.', f'backbone.fpn_lateral{i + 3}.') for i in range(3)),
    *((rf'neck\.fpn_convs\.{i}\.conv\.', f'backbone.fpn_output{i + 3}.') for i in range(3)),
    *((rf'neck\.fpn_convs\.{i + 3}\.conv\.', f'backbone.top_block.p{i + 6}.') for i in range(2)),
    *((rf'bbox_head\.{ours}_convs\.{i}\.{part}\.', f'proposal_generator.fcos_head.{theirs}_tower.{3 * i + place}.')
      for ours, theirs in (('cls', 'cls'), ('reg', 'bbox')) for i in range(4) for place, part in enumerate(('conv', 'gn'))),
    (r'bbox_head\.conv_cls\.', 'proposal_generator.fcos_head.cls_logits.'),
    (r'bbox_head\.conv_reg\.', 'proposal_generator.fcos_head.bbox_pred.'),
    (r'bbox_head\.conv_centerness\.', 'proposal_generator.fcos_head.ctrness.'),
    (r'bbox_head\.scales\.', 'proposal_generator.fcos_head.scales.'), (r'bbox_head\.controller\.', 'controller.'),
    (r'bbox_head\.mask_refine\.', 'mask_branch.refine.'), (r'bbox_head\.mask_head\.', 'mask_branch.tower.'))


def test_coco_condinst_of_adelaidet(full_size):
    source = {key: torch.full([1] * value.dim(), float(number)).expand(value.shape)
              for number, (key, value) in enumerate(detector(full_size).items()) if 'num_batches' not in key}
    source['backbone.conv1.weight'] = torch.randn(64, 3, 7, 7)
    state = renamed(source, *ADELAIDET)
    assert not any(key.startswith(('bbox_head', 'neck')) for key in state)
    extra = {f'proposal_generator.fcos_head.{tower}_tower.{3 * i}.bias': torch.zeros(256)
             for tower in ('cls', 'bbox') for i in range(4)}
    with torch.device('cpu'):
        full_size.data_preprocessor = MODELS.build(load_config('ytvis2019_iai_condinst_r50.py').model.data_preprocessor)
    fitting, report = convert_state_dict({**state, **extra, 'mask_head._iter': torch.zeros(1),
                                          'mask_head.sizes_of_interest': torch.zeros(5)}, full_size)
    assert 'AdelaiDet' in report.source and not report.unexpected
    assert len(report.dropped) == 8 + 2 and sum('group norm' in why for why in report.dropped.values()) == 8
    assert all(key.startswith(TRACKING) for key in report.missing)
    for key, value in fitting.items():
        if key != 'backbone.conv1.weight':
            assert torch.equal(value, source[key]), key
    # The first layer takes BGR frames less their mean; ours RGB, divided by the deviations.
    frame, std = torch.randn(1, 3, 9, 9), full_size.data_preprocessor.std
    theirs = torch.nn.functional.conv2d(frame, source['backbone.conv1.weight'])
    ours = torch.nn.functional.conv2d(frame.flip(1) / std, fitting['backbone.conv1.weight'])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_tower_biases_go_where_the_model_has_them():
    config = dict(tiny_config()['bbox_head'], tower_bias=True)
    config['mask_branch_convs'] = 4
    source = detector(tiny_model(seed=1, bbox_head=config))
    fitting, report = convert_state_dict(source, tiny_model(bbox_head=config))
    assert not report.dropped and 'bbox_head.cls_convs.0.conv.bias' in fitting
