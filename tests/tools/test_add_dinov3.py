"""EoMT on DINOv3 from the authors' differences and Meta's weights, by the tool."""
import runpy
import sys
from pathlib import Path

import pytest
import torch
from helpers.tiny_videomt import tiny_config, tiny_model
from safetensors.torch import save_file

from mmvis.converters import load_checkpoint
from mmvis.errors import InputError

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'add_dinov3.py'
ROTARY = dict(type='ViT', embed_dims=24, depth=4, num_heads=3, position='rotary', eps=1e-5, layer_scale=1.)


def published(tensors, begin, layers):
    """Our tensors of a transformer under the names of transformers' DINOv3, whose keys have no bias."""
    named = {}
    for key, value in tensors.items():
        for ours, theirs in {'cls_token': 'cls_token', 'reg_token': 'register_tokens',
                             'patch_embed.proj.': 'patch_embeddings.'}.items():
            key = begin + theirs + key[len(ours):] if key.startswith(ours) else key
        key = layers + key[len('blocks.'):] if key.startswith('blocks.') else key
        for ours, theirs in (('.attn.proj.', '.attention.o_proj.'), ('.mlp.fc1.', '.mlp.up_proj.'),
                             ('.mlp.fc2.', '.mlp.down_proj.'), ('.ls1.gamma', '.layer_scale1.lambda1'),
                             ('.ls2.gamma', '.layer_scale2.lambda1')):
            key = key.replace(ours, theirs)
        if '.attn.qkv.' in key:
            named.update({key.replace('.attn.qkv.', f'.attention.{name}_proj.'): third.clone()
                          for name, third in zip('qkv', value.chunk(3)) if not (name == 'k' and key.endswith('bias'))})
        else:
            named[key] = value.clone()
    return named


@pytest.fixture
def files(tmp_path):
    """The trained model, and what is published of it."""
    base, trained = (tiny_model('EoMT', seed=seed, backbone=ROTARY) for seed in (0, 1))
    with torch.no_grad():
        for number, (a, b) in enumerate(zip(base.backbone.parameters(), trained.backbone.parameters())):
            torch.manual_seed(number)
            b.copy_(a * 0.9 + 0.05 * torch.randn_like(a))            # weight decay takes from the norms
        for block in (*base.backbone.blocks, *trained.backbone.blocks):
            block.attn.qkv.bias[24:48] = 0
    ours, theirs = ({key.removeprefix('backbone.'): value for key, value in model.state_dict().items()
                     if key.startswith('backbone.')} for model in (trained, base))
    encoder = {key: value - theirs[key] for key, value in ours.items()}
    differences = {f'network.encoder.backbone.{key}': value
                   for key, value in published(encoder, 'patch_embed.', 'blocks.').items()}
    whole = {f'network.encoder.backbone.{key}': value
             for key, value in published(ours, 'patch_embed.', 'blocks.').items()}
    rest = {f'network.{key.removeprefix("predictor.")}': value for key, value in trained.state_dict().items()
            if not key.startswith(('backbone.', 'counter.'))}
    rest.update({'network.attn_mask_probs': torch.zeros(2), 'criterion.empty_weight': torch.ones(6)})
    torch.save(dict(state_dict={**differences, **rest}), tmp_path / 'published.bin')
    torch.save(dict(state_dict={**whole, **rest}), tmp_path / 'whole.bin')
    (tmp_path / 'dinov3').mkdir()
    save_file({**published(theirs, 'embeddings.', 'layer.'), 'embeddings.mask_token': torch.zeros(1, 1, 24)},
              tmp_path / 'dinov3' / 'model.safetensors')
    (tmp_path / 'c.py').write_text(f'model = {tiny_config("EoMT", backbone=ROTARY)!r}\n')
    return tmp_path, trained


def run(monkeypatch, folder, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *(str(folder / name) for name in arguments)])
    runpy.run_path(str(TOOL), run_name='tool')['main']()


def test_the_sum_is_the_trained_model(files, monkeypatch, capsys):
    folder, trained = files
    run(monkeypatch, folder, 'c.py', 'published.bin', 'dinov3', 'out.pth')
    assert "Meta's DINOv3 licence holds" in capsys.readouterr().out
    loaded = tiny_model('EoMT', seed=2, backbone=ROTARY)
    load_checkpoint(loaded, folder / 'out.pth', strict=True, logger='silent')
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=0, atol=1e-6)
    other = tiny_model('EoMT', seed=2, backbone=ROTARY)
    load_checkpoint(other, folder / 'whole.bin', strict=True, logger='silent')      # what somebody has trained himself
    assert torch.equal(other.state_dict()['backbone.norm.weight'], trained.state_dict()['backbone.norm.weight'])


def test_differences_alone_are_no_model(files):
    folder, _ = files
    said = 'published.bin: it holds the differences of an EoMT from DINOv3.*add_dinov3.py'
    with pytest.raises(InputError, match=said):
        load_checkpoint(tiny_model('EoMT', backbone=ROTARY), folder / 'published.bin')


@pytest.mark.parametrize('arguments, said', [
    (['c.py', 'published.bin', 'gone', 'out.pth'], 'gone does not exist'),
    (['c.py', 'published.bin', 'whole.bin', 'out.pth'], 'the file of DINOv3 is no DINOv3, but EoMT'),
    (['c.py', 'whole.bin', 'dinov3', 'out.pth'], 'holds a whole model: use it as it is'),
    (['c.py', 'dinov3', 'dinov3', 'out.pth'], 'the file of differences lacks backbone.cls_token'),
    (['c.py', 'published.bin', 'dinov3', 'published.bin'], 'is an input of this run'),
    (['c.py', 'published.bin', 'dinov3', 'dinov3/model.safetensors'], 'is an input of this run'),
    (['small.py', 'published.bin', 'dinov3', 'out.pth'], 'has no EoMT on DINOv3'),
    (['wide.py', 'published.bin', 'dinov3', 'out.pth'],
     r'the file of differences: backbone.cls_token is \[1, 1, 24\]')])
def test_what_does_not_belong_together(files, monkeypatch, arguments, said):
    folder, _ = files
    (folder / 'small.py').write_text(f'model = {tiny_config("EoMT")!r}\n')
    (folder / 'wide.py').write_text(f'model = {tiny_config("EoMT", backbone={**ROTARY, "embed_dims": 48})!r}\n')
    with pytest.raises(InputError, match=said):
        run(monkeypatch, folder, *arguments)
    assert not (folder / 'out.pth').exists()
