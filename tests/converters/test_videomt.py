"""Official names of VidEoMT, EoMT and transformers to ours and, for transformers, back."""
import torch
from helpers.tiny_videomt import tiny_frames, tiny_model

from mmvis.converters import convert_state_dict
from mmvis.converters.videomt import to_transformers


def official(model, prefix='backbone'):
    """Our tensors under the official names."""
    names = {key: f'{prefix}.encoder.{key}' if key.startswith('backbone.') else f'{prefix}.{key.replace("predictor.", "")}'
             for key in model.state_dict() if key != 'counter.steps'}
    out = {theirs: model.state_dict()[ours].clone() for ours, theirs in names.items()}
    return {**out, f'{prefix}.attn_mask_probs': torch.ones(2), 'criterion.empty_weight': torch.ones(6)}


def assert_complete(report, layout, dropped):
    assert layout in report.source and not report.missing and not report.unexpected
    assert sorted(report.dropped) == sorted(dropped)


def test_official_videomt():
    model, other = tiny_model(), tiny_model(seed=1)
    converted, report = convert_state_dict(official(model), other)
    assert_complete(report, 'tue-mps/videomt', ['backbone.attn_mask_probs', 'criterion.empty_weight'])
    other.load_state_dict(converted)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))


def test_official_eomt_of_lightning():
    model, other = tiny_model('EoMT'), tiny_model('EoMT', seed=1)
    other.counter.advance()
    tensors = {**official(model, 'network'), 'network.encoder.pixel_mean': torch.zeros(1, 3, 1, 1)}
    converted, report = convert_state_dict(tensors, other)
    assert_complete(report, 'tue-mps/eomt', ['network.attn_mask_probs', 'criterion.empty_weight',
                                             'network.encoder.pixel_mean'])
    other.load_state_dict(converted)
    assert other.counter.value == 1 and torch.equal(other.q.weight, model.q.weight)


def test_a_segmenter_starts_a_video_model():
    """Everything is taken but what a segmenter lacks; a class layer of another size is told."""
    converted, report = convert_state_dict(official(tiny_model('EoMT', num_classes=7), 'network'), tiny_model())
    assert report.missing == ['query_updater.weight', 'query_updater.bias', 'predictor.class_head.weight',
                              'predictor.class_head.bias']
    assert sum('shape' in why for why in report.dropped.values()) == 2 and 'backbone.blocks.0.ls1.gamma' in converted


def test_transformers_both_ways():
    model, other = tiny_model(), tiny_model(seed=1)
    tensors = to_transformers(model.state_dict())
    assert tensors['embeddings.position_embeddings.weight'].shape == (16, 24)
    assert tensors['layers.3.attention.k_proj.bias'].shape == (24,)
    assert 'upscale_block.block.1.layernorm2d.weight' in tensors and 'mask_head.fc2.weight' in tensors
    converted, report = convert_state_dict({**tensors, 'embeddings.mask_token': torch.zeros(1, 24)}, other)
    assert_complete(report, 'transformers', ['embeddings.mask_token'])
    other.load_state_dict(converted)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))


def test_separate_projections_of_dinov3_are_joined_and_keys_have_no_bias():
    rotary = dict(type='ViT', embed_dims=24, depth=4, num_heads=3, position='rotary', eps=1e-5)
    model = tiny_model(backbone=rotary)
    tensors = {}
    for key, value in official(model).items():
        key = key.replace('backbone.cls_token', 'backbone.patch_embed.cls_token') \
            .replace('backbone.reg_token', 'backbone.patch_embed.register_tokens') \
            .replace('patch_embed.proj', 'patch_embed.patch_embeddings').replace('.attn.proj.', '.attention.o_proj.') \
            .replace('.mlp.fc1.', '.mlp.up_proj.').replace('.mlp.fc2.', '.mlp.down_proj.')
        for i in (1, 2):
            key = key.replace(f'.ls{i}.gamma', f'.layer_scale{i}.lambda1')
        if '.attn.qkv.' in key:
            tensors.update({key.replace('.attn.qkv.', f'.attention.{name}_proj.'): part
                            for name, part in zip('qkv', value.chunk(3)) if not (name == 'k' and key.endswith('bias'))})
        else:
            tensors[key] = value
    other = tiny_model(backbone=rotary, seed=1)
    converted, report = convert_state_dict(tensors, other)
    assert_complete(report, 'videomt', ['backbone.attn_mask_probs', 'criterion.empty_weight'])
    other.load_state_dict(converted)
    assert not other.backbone.blocks[0].attn.qkv.bias[24:48].any()
    with torch.no_grad():
        ours, theirs = (x.clip_layers(tiny_frames(2)[None])[0][-1] for x in (other, model))
    assert torch.equal(ours, theirs)
