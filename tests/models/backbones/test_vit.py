"""The vision transformer: attention, checkpointing, class token, position table."""
import copy

import pytest
import torch
import torch.nn.functional as F

from mmvis.models.backbones.vit import Attention, MAEViT, sincos_table
from mmvis.models.layers.inference import FastLinear, optimize_for_inference


def tiny_vit(**changes):
    torch.manual_seed(0)
    return MAEViT(**{**dict(embed_dims=24, depth=4, num_heads=3, grid=4), **changes})


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    layer = Attention(24, 3).double()
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    heads = [[x[b] @ w.T + c for w, c in zip(layer.qkv.weight.split(24), layer.qkv.bias.split(24))] for b in range(2)]
    rows = []
    for q, k, v in heads:
        out = [(q[:, i:i + 8] @ k[:, i:i + 8].T / 8 ** 0.5).softmax(1) @ v[:, i:i + 8] for i in (0, 8, 16)]
        rows.append(layer.proj(torch.cat(out, dim=1)))
    torch.testing.assert_close(layer(x), torch.stack(rows))


def test_fused_attention_is_used(monkeypatch):
    calls = []
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(F, 'scaled_dot_product_attention', lambda *args: calls.append(args) or fused(*args))
    tiny_vit()(torch.randn(1, 3, 32, 64))
    assert len(calls) == 4


def test_checkpointing_changes_no_number():
    plain, saving = tiny_vit(depth=8), tiny_vit(depth=8, with_cp=True)
    images, kept = torch.randn(2, 3, 64, 96), []
    for model in (plain, saving):
        before = torch.autograd.graph.saved_tensors_hooks(lambda x: kept[-1].append(x.numel()) or x, lambda x: x)
        kept.append([])
        with before:
            loss = sum((x ** 2).mean() for x in model(images))
        loss.backward()
        model.value = loss.item()
    assert plain.value == saving.value and sum(kept[1]) < sum(kept[0]) / 3
    for (name, a), b in zip(plain.named_parameters(), saving.parameters()):
        assert torch.equal(a.grad, b.grad), name


def test_maps_have_the_strides_of_a_pyramid():
    shapes = [tuple(x.shape) for x in tiny_vit()(torch.randn(2, 3, 64, 96))]
    assert shapes == [(2, 24, 8, 12), (2, 24, 4, 6), (2, 24, 2, 3)]
    with pytest.raises(ValueError, match='multiples of 32, not 64 x 80'):
        tiny_vit()(torch.randn(1, 3, 64, 80))
    with pytest.raises(ValueError, match='depth'):
        MAEViT(depth=6)


@torch.no_grad()
def test_class_token_starts_anew_in_every_stage():
    model, seen = tiny_vit(depth=8), []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.randn(1, 3, 64, 64))
    own = (model.cls_token + model.pos_embed[:, :1])[0, 0]
    for index, tokens in enumerate(seen):
        assert torch.equal(tokens[0, 0], own) == (index % 2 == 0)       # two blocks a stage
    assert not torch.equal(seen[2][0, 1:], seen[0][0, 1:])               # the patches go on


def test_position_table():
    table = sincos_table(24, 4)
    assert table.shape == (1, 17, 24) and not table[0, 0].any()
    patches = table[0, 1:].view(4, 4, 24)
    assert torch.equal(patches[0, 2, :12], patches[3, 2, :12])           # columns in the first half
    assert torch.equal(patches[2, 0, 12:], patches[2, 3, 12:])           # rows in the second
    torch.testing.assert_close(patches[0, 3, 1], torch.tensor(3 * 10000 ** (-1 / 6)).sin())
    model = tiny_vit()
    assert model.position(4, 4) is model.pos_embed
    assert model.position(2, 6).shape == (1, 13, 24)
    assert 'pos_embed' in model.state_dict() and 'pos_embed' not in dict(model.named_parameters())


@torch.inference_mode()
def test_fast_form_gives_the_same_maps():
    model = tiny_vit().eval()
    images = torch.randn(1, 3, 64, 96)
    fast = optimize_for_inference(copy.deepcopy(model))
    assert type(fast.blocks[0].attn.qkv) is FastLinear
    for a, b in zip(fast(images), model(images)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(optimize_for_inference(copy.deepcopy(model), 'bf16')(images), model(images)):
        assert (a.float() - b).abs().max() < 0.05 * b.abs().max()
