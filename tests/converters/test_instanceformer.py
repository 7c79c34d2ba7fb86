"""Official InstanceFormer files, Deformable DETR's and Swin's into our model."""
import argparse
import re
from collections import Counter

import pytest
import torch
from helpers.tiny_instanceformer import MEMORY, tiny_model
from mmdet.models.layers import PatchMerging

from mmvis.converters import convert_state_dict, load_checkpoint, read_checkpoint
from mmvis.converters.instanceformer import our_name

#: Ours -> official, where the pieces of a name differ; the inverse of the converter, written from the official modules.
_BACK = [(r'^backbone\.', 'backbone.0.body.'), (r'^neck\.convs\.(\d)\.conv', r'input_proj.\1.0'),
         (r'^neck\.convs\.(\d)\.gn', r'input_proj.\1.1'), (r'^(level_embed|reference_points)', r'transformer.\1'),
         (r'^memory\.proj', 'transformer.mem_token_proj'), (r'^(en|de)coder\.layers', r'transformer.\1coder.layers'),
         (r'(encoder.*)\.self_norm', r'\1.norm1'), (r'(encoder.*)\.ffn_norm', r'\1.norm2'),
         (r'(encoder.*)\.ffn\.0', r'\1.linear1'), (r'(encoder.*)\.ffn\.3', r'\1.linear2'),
         (r'(decoder.*)\.self_norm', r'\1.norm2'), (r'(decoder.*)\.cross_norm', r'\1.norm1_box'),
         (r'(decoder.*)\.ffn_norm', r'\1.norm3_box'), (r'(decoder.*)\.memory_norm', r'\1.norm2_mem'),
         (r'(decoder.*)\.memory_attn', r'\1.cross_attn_mem'), (r'(decoder.*)\.ffn\.0', r'\1.linear1_box'),
         (r'(decoder.*)\.ffn\.3', r'\1.linear2_box'), (r'^query_embedding', 'query_embed'),
         (r'^class_branches', 'class_embed'),
         (r'^decoder\.box_branches\.(\d)\.([024])', lambda m: f'bbox_embed.{m[1]}.layers.{int(m[2]) // 2}')]
_HEADS = {'controller.0': 'controller.layers.0', 'controller.2': 'controller.layers.1',
          'controller.4': 'controller.layers.2', 'mask_features.conv32': 'mask_head.lay3',
          'mask_features.conv16': 'mask_head.lay4', 'mask_features.conv8': 'mask_head.dcn',
          'mask_features.squeeze': 'mask_head.lay1', 'mask_features.out': 'mask_head.lay2'}


def official_name(key):
    module, _, leaf = key.rpartition('.')
    if module in _HEADS:
        return f'{_HEADS[module]}.{leaf}'
    for pattern, official in _BACK:
        key = re.sub(pattern, official, key)
    return f'detr.{key}'


def official_file(model):
    """The state dict of a model under the official names, with what the official code keeps besides."""
    own = {key: value for key, value in model.state_dict().items() if not key.endswith('num_batches_tracked')}
    out = {official_name(key): value for key, value in own.items()}
    for key in [key for key in out if key.startswith('detr.bbox_embed.')]:
        out[key.replace('detr.', 'detr.transformer.decoder.', 1)] = torch.full_like(out[key], 9.)
    out['detr.temporal_class_embed.0.weight'] = torch.zeros(5, 5)
    return own, out


def test_every_tensor_of_an_official_file_finds_its_place():
    own, file = official_file(tiny_model(memory=MEMORY))
    assert all(our_name(official_name(key)) == key for key in own)
    converted, report = convert_state_dict(file, tiny_model(1, memory=MEMORY))
    assert report.source.startswith('InstanceFormer') and not report.missing and not report.unexpected
    assert all(torch.equal(converted[key], value) for key, value in own.items())
    assert all('same tensor' in why or 'without effect' in why for why in report.dropped.values())


def test_a_file_with_memory_fits_a_model_without():
    _, file = official_file(tiny_model(memory=MEMORY))
    _, report = convert_state_dict(file, tiny_model())
    assert not report.missing and not report.unexpected
    assert report.dropped['detr.transformer.mem_token_proj.weight'] == 'the model has no memory'


def test_other_classes_start_anew():
    _, file = official_file(tiny_model(memory=MEMORY))
    _, report = convert_state_dict(file, tiny_model(memory=MEMORY, num_classes=7))
    branches = {f'class_branches.{layer}.{leaf}' for layer in (0, 1) for leaf in ('weight', 'bias')}
    assert set(report.missing) == branches | {'memory.proj.weight'}


def test_deformable_detr_as_a_start():
    model = tiny_model()
    own, file = official_file(model)
    converted, report = convert_state_dict(shared_names(file), tiny_model(1))
    assert report.source.startswith('Deformable DETR') and not report.unexpected
    assert {key.split('.')[0] for key in report.missing} == {'controller', 'mask_features'}
    assert all(torch.equal(converted[key], own[key]) for key in converted)


def shared_names(file):
    """Of an official state dict what Deformable DETR has, under its names."""
    return {key.removeprefix('detr.').replace('_box.', '.'): value for key, value in file.items()
            if key.startswith('detr.') and 'temporal' not in key}


@pytest.mark.parametrize('names', [dict, shared_names], ids=['InstanceFormer', 'Deformable DETR'])
def test_files_as_the_official_trainings_write_them(tmp_path, names):
    """Weights beside the state of the optimizer and the options, which are an object of argparse."""
    model = tiny_model(1, memory=MEMORY)
    own, file = official_file(tiny_model(memory=MEMORY))
    args = argparse.Namespace(lr=1e-4, lr_drop=[4, 10], dataset_file='jointovis', masks=True, device='cuda')
    torch.save(dict(model=names(file), optimizer=dict(state={}, param_groups=[dict(lr=1e-4, params=[0])]),
                    lr_scheduler=dict(milestones=Counter([4, 10])), epoch=15, args=args, tensorboard_step=0),
               tmp_path / 'checkpoint0015.pth')
    report = load_checkpoint(model, tmp_path / 'checkpoint0015.pth')
    assert not report.unexpected and len(report.mapped) > 50
    assert all(torch.equal(model.state_dict()[key], own[key]) for key in report.mapped)


class Foreign:
    """Not a record of plain values."""


def test_options_that_hold_other_objects_are_refused(tmp_path):
    torch.save(dict(model={}, args=argparse.Namespace(callback=Foreign())), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='refused'):
        read_checkpoint(tmp_path / 'a.pth')


@pytest.fixture(scope='module')
def swin_model():
    swin = dict(type='mmdet.SwinTransformer', embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=2,
                out_indices=(1, 2, 3), convert_weights=False)
    neck = dict(type='mmdet.ChannelMapper', in_channels=[16, 32, 64], kernel_size=1, out_channels=32,
                norm_cfg=dict(type='GN', num_groups=8), act_cfg=None, bias=True, num_outs=3)
    return tiny_model(backbone=swin, neck=neck)


def official_swin(model):
    """The names of the official Swin, its order of the four merged pixels, and what only it has."""
    names = (('stages.', 'layers.'), ('attn.w_msa.', 'attn.'), ('ffn.layers.0.0.', 'mlp.fc1.'),
             ('ffn.layers.1.', 'mlp.fc2.'), ('patch_embed.projection.', 'patch_embed.proj.'))
    out = {}
    for key, value in model.backbone.state_dict().items():
        for ours, theirs in names:
            key = key.replace(ours, theirs)
        if 'downsample' in key:                 # mmdet: channel, then pixel by row; official: pixel by column, channel
            value = value.unflatten(-1, (-1, 4))[..., [0, 2, 1, 3]].transpose(-1, -2).flatten(-2)
        out[key] = value
    return out


@pytest.mark.parametrize('alone', [True, False])
def test_swin_weights(swin_model, alone):
    file = official_swin(swin_model)
    if not alone:
        own = {key: value for key, value in swin_model.state_dict().items() if not key.startswith('backbone.')}
        file = {**{f'detr.backbone.0.body.{key}': value for key, value in file.items()},
                **{official_name(key): value for key, value in own.items()},
                'detr.backbone.0.body.norm0.weight': torch.ones(8)}
    converted, report = convert_state_dict(file, swin_model)
    assert not report.unexpected
    assert report.missing == [] if not alone else all(not key.startswith('backbone.') for key in report.missing)
    reference = swin_model.state_dict()
    assert all(torch.equal(converted[key], reference[key]) for key in converted if key.startswith('backbone.'))


def test_patch_merging_reads_pixels_as_the_official_code():
    """The order that ``official_swin`` assumes, against the words of the official forward."""
    merge = PatchMerging(4, 8)
    x = torch.randn(1, 36, 4)
    image = x.view(1, 6, 6, 4)
    pixels = torch.cat([image[:, 0::2, 0::2], image[:, 1::2, 0::2], image[:, 0::2, 1::2], image[:, 1::2, 1::2]], -1)
    weight = merge.reduction.weight.unflatten(-1, (-1, 4))[..., [0, 2, 1, 3]].transpose(-1, -2).flatten(-2)
    expected = torch.nn.functional.layer_norm(pixels.flatten(1, 2), (16,)) @ weight.T
    torch.testing.assert_close(merge(x, (6, 6))[0], expected)
