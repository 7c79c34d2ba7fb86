"""Official names of Mask2Former and its kin to ours, by file: .pth, and .pkl of detectron2."""
import pickle
import re

import numpy as np
import pytest
import torch
from helpers.tiny_segmenter import tiny_model

from mmvis.converters import convert_state_dict, load_checkpoint, read_checkpoint
from mmvis.converters.mask2former import our_name
from mmvis.errors import InputError

_BACK = (
    (r'^segmenter\.backbone\.', 'backbone.'),
    (r'^segmenter\.pixel_decoder\.level_embed', 'sem_seg_head.pixel_decoder.transformer.level_embed'),
    (r'^segmenter\.pixel_decoder\.encoder\.', 'sem_seg_head.pixel_decoder.transformer.encoder.'),
    (r'(encoder\.layers\.\d+)\.ffn\.0', r'\1.linear1'), (r'(encoder\.layers\.\d+)\.ffn\.3', r'\1.linear2'),
    (r'(encoder\.layers\.\d+)\.self_norm', r'\1.norm1'), (r'(encoder\.layers\.\d+)\.ffn_norm', r'\1.norm2'),
    (r'pixel_decoder\.input_convs', 'pixel_decoder.input_proj'), (r'\.lateral\.0', '.adapter_1'),
    (r'\.lateral\.1', '.adapter_1.norm'), (r'\.output\.0', '.layer_1'), (r'\.output\.1', '.layer_1.norm'),
    (r'^segmenter\.pixel_decoder\.', 'sem_seg_head.pixel_decoder.'),
    (r'^segmenter\.decoder\.', 'sem_seg_head.predictor.'),
    (r'predictor\.layers\.(\d)\.cross_attn', r'predictor.transformer_cross_attention_layers.\1.multihead_attn'),
    (r'predictor\.layers\.(\d)\.cross_norm', r'predictor.transformer_cross_attention_layers.\1.norm'),
    (r'predictor\.layers\.(\d)\.self_attn', r'predictor.transformer_self_attention_layers.\1.self_attn'),
    (r'predictor\.layers\.(\d)\.self_norm', r'predictor.transformer_self_attention_layers.\1.norm'),
    (r'predictor\.layers\.(\d)\.ffn\.0', r'predictor.transformer_ffn_layers.\1.linear1'),
    (r'predictor\.layers\.(\d)\.ffn\.2', r'predictor.transformer_ffn_layers.\1.linear2'),
    (r'predictor\.layers\.(\d)\.ffn_norm', r'predictor.transformer_ffn_layers.\1.norm'),
    (r'predictor\.norm', 'predictor.decoder_norm'), (r'predictor\.class_head', 'predictor.class_embed'),
    (r'predictor\.mask_head\.0', 'predictor.mask_embed.layers.0'), (r'predictor\.mask_head\.2', 'predictor.mask_embed.layers.1'),
    (r'predictor\.mask_head\.4', 'predictor.mask_embed.layers.2'))


def official(model):
    """Our tensors under the official names."""
    named = {}
    for key, value in model.state_dict().items():
        for pattern, theirs in _BACK:
            key = re.sub(pattern, theirs, key)
        named[key] = value.clone()
    return {**named, 'criterion.empty_weight': torch.ones(6)}


def assert_equal(model, other):
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))


def test_current_names():
    model, other = tiny_model(), tiny_model('Mask2Former', seed=1)
    converted, report = convert_state_dict(official(model), other)
    assert 'Mask2Former' in report.source and list(report.dropped) == ['criterion.empty_weight']
    assert not report.missing and not report.unexpected
    other.load_state_dict(converted)
    assert_equal(model, other)


def test_names_of_the_first_releases():
    """The pixel decoder without its name, the queries under another; tensors of the re-identification have no place."""
    tensors = {key.replace('pixel_decoder.', '').replace('predictor.query_feat', 'predictor.static_query'): value
               for key, value in official(tiny_model()).items()}
    assert 'sem_seg_head.input_proj.0.0.weight' in tensors and 'sem_seg_head.predictor.static_query.weight' in tensors
    tensors['sem_seg_head.predictor.reid_embed.layers.0.weight'] = torch.zeros(2)
    other = tiny_model(seed=1)
    converted, report = convert_state_dict(tensors, other)
    assert sorted(report.dropped) == ['criterion.empty_weight', 'sem_seg_head.predictor.reid_embed.layers.0.weight']
    other.load_state_dict(converted)
    assert_equal(tiny_model(), other)


def test_a_segmenter_of_other_classes_starts_a_video_model():
    _, report = convert_state_dict(official(tiny_model(num_classes=7)), tiny_model())
    assert report.missing == ['segmenter.decoder.class_head.weight', 'segmenter.decoder.class_head.bias']
    assert sum('shape' in why for why in report.dropped.values()) == 2


def test_names_of_the_backbone():
    names = {'backbone.stem.conv1.weight': 'conv1.weight', 'backbone.stem.conv1.norm.bias': 'bn1.bias',
             'backbone.res2.0.shortcut.weight': 'layer1.0.downsample.0.weight',
             'backbone.res5.2.conv3.norm.running_var': 'layer4.2.bn3.running_var',
             'backbone.res3.0.shortcut.norm.weight': 'layer2.0.downsample.1.weight'}
    assert {key: our_name(key) for key in names} == {key: f'segmenter.backbone.{ours}' for key, ours in names.items()}


@pytest.mark.parametrize('protocol', [2, 4])
def test_pickles_of_detectron2(tmp_path, protocol):
    model, other = tiny_model(), tiny_model(seed=1)
    arrays = {key: value.numpy() for key, value in official(model).items()}
    arrays['sem_seg_head.predictor.class_embed.weight'] = np.asfortranarray(arrays['sem_seg_head.predictor.class_embed.weight'])
    path = tmp_path / 'model_final_3c8ec9.pkl'
    path.write_bytes(pickle.dumps(dict(model=arrays, __author__='someone', matching_heuristics=True), protocol))
    report = load_checkpoint(other, path)
    assert not report.missing and not report.unexpected
    assert_equal(model, other)


def test_a_plain_dict_of_big_endian_arrays(tmp_path):
    path = tmp_path / 'x.pkl'
    path.write_bytes(pickle.dumps({'a': np.arange(6, dtype='>f4').reshape(2, 3), 'b': np.zeros((), np.int64)}, 2))
    found = read_checkpoint(path)
    assert found['a'].tolist() == [[0, 1, 2], [3, 4, 5]] and found['a'].dtype == torch.float32
    assert found['b'].shape == () and found['b'].dtype == torch.int64


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_nothing_of_a_pickle_is_executed(tmp_path):
    path, victim = tmp_path / 'x.pkl', tmp_path / 'executed'
    whole = pickle.dumps(dict(model={'a': np.zeros(1000, np.float32)}), 4)
    contents = {'asks for': pickle.dumps(dict(model={'a': Hostile(victim)}), 4), 'damaged': whole[:-200],
                'has 4000 bytes': whole.replace(b'\x4d\xe8\x03', b'\x4d\xe9\x03'), 'not a dict': pickle.dumps([1, 2], 4),
                'arrays of': pickle.dumps(dict(model={'a': np.array(['x'])}), 4)}
    for said, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as caught:
            read_checkpoint(path)
        assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    assert not victim.exists()
