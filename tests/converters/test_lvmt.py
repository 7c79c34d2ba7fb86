"""Official names of PMT and LVMT to ours; files with the encoder and without, of the image model, fused."""
import pytest
import torch
from helpers.tiny_lvmt import DINOV2, DINOV3, tiny_model

from mmvis.converters import convert_state_dict


def official(model, prefix='backbone', fused=False):
    """Our tensors under the official names."""
    out = {}
    for key, value in model.state_dict().items():
        if key.startswith('backbone.'):
            key = f'encoder.{key}'
            if model.backbone.position_rule == 'rotary':
                key = key.replace('backbone.cls_token', 'backbone.patch_embed.cls_token') \
                    .replace('backbone.reg_token', 'backbone.patch_embed.register_tokens') \
                    .replace('patch_embed.proj', 'patch_embed.patch_embeddings')
        elif key.startswith('levels.'):
            _, level, part = key.split('.', 2)
            place = {'norm': f'bn.{level}', 'mlp.fc1': f'decoder.lateral_projections.{level}.0',
                     'mlp.fc2': f'decoder.lateral_projections.{level}.2', 'scale': f'decoder.scalers.{level}'}
            stem, _, kind = part.rpartition('.')
            key = place['scale'] if part == 'scale' else f'{place[stem]}.{kind}'
        elif key.startswith('norm.'):
            key = f'decoder.decoder_{key}'
        else:
            key = f'decoder.{key.replace("predictor.", "")}'
        if 'decoder.blocks.' in key or model.backbone.position_rule == 'rotary' and '.blocks.' in key:
            key = key.replace('.attn.proj.', '.attention.o_proj.').replace('.mlp.fc1.', '.mlp.up_proj.') \
                .replace('.mlp.fc2.', '.mlp.down_proj.').replace('.ls1.gamma', '.layer_scale1.lambda1') \
                .replace('.ls2.gamma', '.layer_scale2.lambda1')
            if '.attn.qkv.' in key and fused:
                key = key.replace('.attn.qkv.', '.attention.qkv_proj.')
            elif '.attn.qkv.' in key:
                out.update({f'{prefix}.{key}'.replace('.attn.qkv.', f'.attention.{name}_proj.'): part.clone()
                            for name, part in zip('qkv', value.chunk(3)) if not (name == 'k' and key.endswith('bias'))})
                continue
        out[f'{prefix}.{key}'] = value.clone()
    return {**out, f'{prefix}.decoder.attn_mask_probs': torch.ones(6), 'criterion.empty_weight': torch.ones(6),
            f'{prefix}.encoder.pixel_mean': torch.zeros(1, 3, 1, 1)}


def without_key_bias(model):
    """Zeros where ours has the unused bias of the keys."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for key in state:
        if key.endswith('.attn.qkv.bias') and (key.startswith('blocks.') or model.backbone.position_rule == 'rotary'):
            state[key][24:48] = 0
    return state


@pytest.mark.parametrize('kind', ['gru', 'linear'])
@pytest.mark.parametrize('backbone', [DINOV2, DINOV3], ids=['dinov2', 'dinov3'])
@pytest.mark.parametrize('fused', [False, True], ids=['', 'fused'])
def test_official_files(kind, backbone, fused):
    model, other = (tiny_model(kind, seed, backbone=backbone) for seed in (0, 1))
    model.load_state_dict(without_key_bias(model))
    tensors = official(model, fused=fused)
    assert 'backbone.decoder.scalers.3' in tensors and 'backbone.decoder.lateral_projections.0.2.bias' in tensors
    converted, report = convert_state_dict(tensors, other)
    assert 'tue-mps/pmt' in report.source and not report.missing and not report.unexpected
    assert sorted(report.dropped) == ['backbone.decoder.attn_mask_probs', 'backbone.encoder.pixel_mean',
                                      'criterion.empty_weight']
    other.load_state_dict(converted)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))


def test_a_file_without_the_encoder_and_a_start_from_images():
    """Published image models hold no encoder; their queries do not go from frame to frame."""
    tensors = {key: value for key, value in official(tiny_model(), 'network').items()
               if '.encoder.' not in key and 'query_gru' not in key}
    model = tiny_model(seed=1)
    converted, report = convert_state_dict(tensors, model)
    assert 'tue-mps/pmt' in report.source and not report.unexpected
    assert {key.split('.')[0] for key in report.missing} == {'backbone', 'query_gru'}
    assert torch.equal(converted['levels.2.norm.running_var'], tensors['network.bn.2.running_var'])


def test_an_lvmt_starts_from_a_pmt():
    _, report = convert_state_dict(official(tiny_model('linear')), tiny_model('gru'))
    assert report.missing == [f'query_gru.{kind}' for kind in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')]
    assert report.unexpected == ['query_updater.weight', 'query_updater.bias']
