"""DINOv2 and DINOv3 under the names of Meta, timm and transformers, into the transformers of our models."""
import pytest
import torch
from helpers.tiny_videomt import tiny_frames, tiny_model

from mmvis.converters import convert_state_dict
from mmvis.models.backbones import ViT

ROTARY = dict(type='ViT', embed_dims=24, depth=4, num_heads=3, position='rotary', eps=1e-5)


def dinov2(side, patch, depth=4, names='meta'):
    torch.manual_seed(0)
    source = ViT(24, depth, 3, patch_size=patch, grid=side, layer_scale=1.)
    tensors = dict(source.state_dict())
    tensors['mask_token'] = torch.zeros(1, 24)
    if names == 'meta':
        tensors['register_tokens'] = tensors.pop('reg_token')
        tensors['pos_embed'] = torch.cat([torch.full((1, 1, 24), 5.), tensors['pos_embed']], dim=1)
    return source, tensors


def test_dinov2_as_it_is():
    for names in ('meta', 'timm'):
        source, tensors = dinov2(4, 16, names=names)
        converted, report = convert_state_dict(tensors, tiny_model())
        assert 'DINOv2' in report.source and list(report.dropped) == ['mask_token'] and not report.unexpected
        assert {key.split('.')[0] for key in report.missing} == {'q', 'query_updater', 'predictor'}
        shift = 5. if names == 'meta' else 0.                 # the class token takes its row of the table
        torch.testing.assert_close(converted['backbone.cls_token'], source.cls_token + shift)
        assert torch.equal(converted['backbone.pos_embed'], source.pos_embed)
        assert torch.equal(converted['backbone.patch_embed.proj.weight'], source.patch_embed.proj.weight)


def test_dinov2_of_other_patches_and_another_table():
    source, tensors = dinov2(3, 14)
    converted, report = convert_state_dict(tensors, tiny_model())
    assert not any('shape' in why for why in report.dropped.values())
    assert converted['backbone.pos_embed'].shape == (1, 16, 24)
    assert converted['backbone.patch_embed.proj.weight'].shape == (24, 3, 16, 16)
    torch.testing.assert_close(converted['backbone.pos_embed'], source.position(4, 4))


def to_names(tensors, block, front):
    """Tensors of a ViT under the names of transformers."""
    named = {}
    for key, value in tensors.items():
        for ours, theirs in {**front, 'norm.': 'layernorm.'}.items():
            if key.startswith(ours) and not key.startswith('norm1'):
                key = theirs + key[len(ours):]
        key = key.replace('.ls1.gamma', '.layer_scale1.lambda1').replace('.ls2.gamma', '.layer_scale2.lambda1')
        if '.attn.qkv.' in key:
            named.update({key.replace('blocks.', block['layer']).replace('.attn.qkv.', part): third
                          for part, third in zip(block['qkv'], value.chunk(3))})
        else:
            key = key.replace('.attn.proj.', block['proj']).replace('.mlp.fc1.', block['fc1']).replace('.mlp.fc2.', block['fc2'])
            named[key.replace('blocks.', block['layer'])] = value
    return named


OF_DINOV2 = dict(layer='encoder.layer.', proj='.attention.output.dense.', fc1='.mlp.fc1.', fc2='.mlp.fc2.',
                 qkv=[f'.attention.attention.{name}.' for name in ('query', 'key', 'value')])
OF_DINOV3 = dict(layer='layer.', proj='.attention.o_proj.', fc1='.mlp.up_proj.', fc2='.mlp.down_proj.',
                 qkv=[f'.attention.{name}_proj.' for name in 'qkv'])


@pytest.mark.parametrize('prefix', ['', 'dinov2_with_registers.'])
def test_dinov2_of_transformers_is_metas(prefix):
    _, meta = dinov2(3, 14)
    tensors = to_names(meta, OF_DINOV2, {
        'cls_token': 'embeddings.cls_token', 'register_tokens': 'embeddings.register_tokens',
        'mask_token': 'embeddings.mask_token', 'pos_embed': 'embeddings.position_embeddings',
        'patch_embed.proj.': 'embeddings.patch_embeddings.projection.'})
    converted, report = convert_state_dict({prefix + key: value for key, value in tensors.items()}, tiny_model())
    assert report.source == 'DINOv2 of transformers, backbone only' and not report.unexpected
    assert list(report.dropped) == [f'{prefix}embeddings.mask_token']
    expected, _ = convert_state_dict(meta, tiny_model())
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[key], expected[key]) for key in expected)


def dinov3():
    """A source, and its tensors without a bias of the keys."""
    torch.manual_seed(0)
    source = ViT(24, 4, 3, position='rotary', eps=1e-5, layer_scale=1.)
    for block in source.blocks:
        torch.nn.init.normal_(block.attn.qkv.bias)
        block.attn.qkv.bias.data[24:48] = 0
    return source, dict(source.state_dict())


def load(tensors, layout):
    model = tiny_model(backbone=ROTARY)
    converted, report = convert_state_dict(tensors, model)
    assert report.source == layout and not report.unexpected
    assert {key.split('.')[0] for key in report.missing} == {'q', 'query_updater', 'predictor'}
    model.load_state_dict(converted, strict=False)
    return model.backbone, report


def assert_equal_tokens(vit, source):
    with torch.no_grad():
        for one in (vit, source):
            one.eval()
        ours, theirs = (one.norm(one.run(0, 4, *one.embed(tiny_frames(1))[::2])) for one in (vit, source))
    assert torch.equal(ours, theirs)


def test_dinov3_of_meta():
    source, tensors = dinov3()
    tensors['storage_tokens'] = tensors.pop('reg_token')
    tensors.update({'mask_token': torch.zeros(1, 24), 'rope_embed.periods': torch.ones(2)})
    for i in range(4):
        key = f'blocks.{i}.attn.qkv.bias'
        tensors[key] = tensors[key].index_fill(0, torch.arange(24, 48), 7.)     # hidden by the mask
        tensors[f'{key}_mask'] = torch.cat([torch.ones(24), torch.zeros(24), torch.ones(24)])
    vit, report = load(tensors, 'DINOv3, backbone only')
    assert len(report.dropped) == 6
    assert_equal_tokens(vit, source)
    assert not vit.blocks[0].attn.qkv.bias[24:48].any()


@pytest.mark.parametrize('layer', ['layer.', 'model.layer.'])
def test_dinov3_of_transformers(layer):
    source, tensors = dinov3()
    tensors = to_names(tensors, {**OF_DINOV3, 'layer': layer}, {
        'cls_token': 'embeddings.cls_token', 'reg_token': 'embeddings.register_tokens',
        'patch_embed.proj.': 'embeddings.patch_embeddings.'})
    tensors = {key.replace('layernorm.', 'norm.'): value for key, value in tensors.items() if not key.endswith('k_proj.bias')}
    tensors['embeddings.mask_token'] = torch.zeros(1, 1, 24)
    vit, report = load(tensors, 'DINOv3 of transformers, backbone only')
    assert list(report.dropped) == ['embeddings.mask_token']
    assert_equal_tokens(vit, source)


def test_weights_of_the_other_form_are_refused():
    """Learned positions and rotary ones are not each other's."""
    for tensors, model in ((dinov2(4, 16)[1], tiny_model(backbone=ROTARY)),
                           ({**dinov3()[1], 'storage_tokens': torch.zeros(1, 4, 24)}, tiny_model())):
        with pytest.raises(ValueError, match='its layout is not known'):
            convert_state_dict(tensors, model)
