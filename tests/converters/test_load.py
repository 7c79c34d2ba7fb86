"""Checkpoints of every layout that MaskTrackRCNN takes, and files that must be refused in one sentence."""
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from helpers.tiny_masktrack import tiny_model
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import MMDistributedDataParallel

from mmvis.converters import convert_state_dict, load_checkpoint, read_checkpoint
from mmvis.registry import MODELS

GOLDEN = Path(__file__).resolve().parents[1] / 'golden' / 'masktrackrcnn'


@pytest.fixture
def model():
    return tiny_model(seed=0)


@pytest.fixture
def trained():
    """Another model of the same shape, as a state dict."""
    return tiny_model(seed=1).state_dict()


def save(path, content):
    torch.save(content, path)
    return path


def assert_equal(model, state_dict, skip=()):
    for key, value in model.state_dict().items():
        if not key.startswith(tuple(skip)) and not key.endswith('num_batches_tracked'):
            assert torch.equal(value, state_dict[key]), key


def test_official_file(tmp_path, model, trained, capsys):
    old = OrderedDict(('module.' + key, value) for key, value in trained.items() if 'num_batches' not in key)
    path = save(tmp_path / 'a.pth', dict(meta=dict(epoch=12), state_dict=old, optimizer={}))
    report = load_checkpoint(model, path, strict=True)
    assert_equal(model, trained)
    assert not (report.missing or report.dropped or report.unexpected) and 'MaskTrackRCNN' in report.source
    out = capsys.readouterr().out
    assert 'a.pth' in out and f'mapped: {len(old)}' in out and 'missing: 0' in out


def test_official_keys_are_ours():
    config = Config.fromfile(GOLDEN.parents[2] / 'configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_1x_youtubevos.py')
    manifest = json.loads((GOLDEN / 'manifest.json').read_text())
    own = MODELS.build(config.model).state_dict()
    assert {key: [list(value.shape), str(value.dtype)[6:]] for key, value in own.items()} == manifest


def test_old_file_format(tmp_path, model, trained):
    path = tmp_path / 'old.pth'
    torch.save(dict(state_dict=trained), path, _use_new_zipfile_serialization=False)
    load_checkpoint(model, path, strict=True)
    assert_equal(model, trained)


def test_coco_file_as_initialisation(tmp_path, model, trained, capsys):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    coco = {key: value for key, value in trained.items() if not key.startswith('track_head.')}
    other = ['bbox_head.fc_cls.weight', 'bbox_head.fc_cls.bias', 'bbox_head.fc_reg.weight', 'bbox_head.fc_reg.bias',
             'mask_head.conv_logits.weight', 'mask_head.conv_logits.bias']
    for key in other:
        coco[key] = torch.zeros(81 * (4 if 'reg' in key else 1), *coco[key].shape[1:])
    path = save(tmp_path / 'coco.pth', dict(state_dict=coco))
    report = load_checkpoint(model, path)
    assert 'COCO' in report.source and sorted(report.dropped) == sorted(other)
    assert all(key.startswith('track_head.') or key in other for key in report.missing) and len(report.missing) == 10
    assert_equal(model, coco, skip=('track_head.', 'bbox_head.fc_', 'mask_head.conv_logits'))
    assert torch.equal(model.state_dict()['bbox_head.fc_cls.weight'], before['bbox_head.fc_cls.weight'])
    out = capsys.readouterr().out
    assert 'bbox_head.fc_cls.weight (shape [81, 32], the model has [6, 32])' in out
    with pytest.raises(ValueError, match='does not fit MaskTrackRCNN'):
        load_checkpoint(model, path, strict=True)


@pytest.mark.parametrize('wrap', [lambda x: x, lambda x: dict(state_dict=x), lambda x: dict(model=x)])
def test_imagenet_backbone(tmp_path, model, trained, wrap):
    flat = {key[len('backbone.'):]: value for key, value in trained.items() if key.startswith('backbone.')}
    flat.update({'fc.weight': torch.zeros(1000, 64), 'fc.bias': torch.zeros(1000)})
    for key in [key for key in flat if key.startswith('layer4.1.')]:
        del flat[key]                                        # files without the last layers are about
    report = load_checkpoint(model, save(tmp_path / 'r18.pth', wrap(flat)))
    assert sorted(report.dropped) == ['fc.bias', 'fc.weight'] and not report.unexpected
    for key, value in model.state_dict().items():
        if key.startswith('backbone.') and 'layer4.1' not in key:
            assert torch.equal(value, trained[key]), key
    assert any(key.startswith('backbone.layer4.1.') for key in report.missing)


@pytest.mark.parametrize('wrap', [lambda x: dict(state_dict=x, meta=dict(epoch=1), param_schedulers=[]), lambda x: x])
def test_own_files(tmp_path, model, trained, wrap):
    load_checkpoint(model, save(tmp_path / 'own.pth', wrap(trained)), strict=True)
    assert_equal(model, trained)


def test_part_of_a_model_is_taken(model, trained):
    neck = {key: value for key, value in trained.items() if key.startswith('neck.')}
    converted, report = convert_state_dict({**neck, 'ema.weight': torch.zeros(1)}, model)
    assert converted.keys() == neck.keys() and report.unexpected == ['ema.weight']
    assert 'bbox_head.fc_cls.weight' in report.missing


def test_wrapped_model(tmp_path, model, trained):
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    torch.nn.Module.__init__(wrapper)
    wrapper.module = model
    load_checkpoint(wrapper, save(tmp_path / 'own.pth', trained), strict=True)
    assert_equal(model, trained)


def sentence(tmp_path, model, content, name='x.pth'):
    with pytest.raises(ValueError) as caught:
        load_checkpoint(model, save(tmp_path / name, content))
    message = str(caught.value)
    assert name in message and '\n' not in message
    return message


def test_faulty_first_release_is_refused(tmp_path, model, trained):
    faulty = {key: value for key, value in trained.items() if not key.startswith('track_head.')}
    faulty.update({'track_head.fc.weight': torch.zeros(32, 784), 'track_head.fc.bias': torch.zeros(32)})
    message = sentence(tmp_path, model, dict(state_dict=faulty))
    assert 'track_head.fc.*' in message and 'track_head.fcs.0' in message


def test_unknown_layout_names_keys(tmp_path, model):
    message = sentence(tmp_path, model, {'encoder.0.weight': torch.zeros(2), 'decoder.bias': torch.zeros(2)})
    assert 'encoder.0.weight' in message and 'backbone.conv1.weight' in message
    assert 'no tensor' in sentence(tmp_path, model, dict(state_dict={}))


def test_files_that_are_no_checkpoints(tmp_path, model, trained):
    with pytest.raises(FileNotFoundError, match='nowhere.pth does not exist'):
        read_checkpoint(tmp_path / 'nowhere.pth')
    save(tmp_path / 'whole.pth', trained)
    data = (tmp_path / 'whole.pth').read_bytes()
    for name, content in (('cut.pth', data[:len(data) // 2]), ('text.pth', b'nothing of the kind')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f'{name} is not a checkpoint of PyTorch, or it is cut off') as caught:
            read_checkpoint(tmp_path / name)
        assert 'If you are seeing' not in str(caught.value)                          # half of torch's second sentence
        assert '\n' not in str(caught.value)
    assert 'tuple' in sentence(tmp_path, model, (1, 2))


def test_python_objects_are_refused(tmp_path, model, trained):
    message = sentence(tmp_path, model, dict(state_dict=trained, message_hub=dict(loss=HistoryBuffer([1.], [1]))))
    assert 'Python objects' in message and 'refused' in message
