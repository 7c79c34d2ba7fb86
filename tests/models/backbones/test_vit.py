"""The vision transformer: attention, checkpointing, class token, position table."""
import copy
import math

import pytest
import torch
import torch.nn.functional as F

from mmvis.models.backbones.vit import (
    Attention,
    ConvStem,
    MAEViT,
    ViT,
    attend,
    resize_patch_kernel,
    rotate,
    rotation_table,
    sincos_table,
)
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


def test_attention_in_bfloat16_of_a_cpu_is_the_same():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 9, 8).bfloat16()
    allowed = torch.rand(2, 9, 9) > 0.3
    for mask in (None, allowed):
        exact = attend(q.float(), k.float(), v.float(), mask)
        ours = attend(q, k, v, mask)
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.float(), exact, rtol=0.02, atol=0.02)   # a bfloat16 has 8 bits
    assert not torch.allclose(exact, attend(q.float(), k.float(), v.float(), None), atol=0.1)


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


def test_every_epsilon_is_that_of_its_form():
    """A wrong one hardly shows in the numbers."""
    forms = {1e-5: (MAEViT(24, 4, 3, grid=4), ViT(24, 2, 3, position='rotary', eps=1e-5)), 1e-6: (ViT(24, 2, 3, grid=4),)}
    for eps, models in forms.items():
        for model in models:
            norms = [x for x in model.modules() if isinstance(x, torch.nn.LayerNorm)]
            assert len(norms) == 2 * len(model.blocks) + (model.norm is not None)
            assert {norm.eps for norm in norms} == {eps}


@torch.no_grad()
def test_registers_and_class_token_have_no_position_in_dinov2():
    model = ViT(24, 2, 3, grid=4)
    x, size, rotation = model.embed(torch.randn(2, 3, 64, 96))
    assert x.shape == (2, 5 + 24, 24) and size == (4, 6) and rotation is None and model.num_prefix == 5
    assert torch.equal(x[0, :1], model.cls_token[0]) and torch.equal(x[1, 1:5], model.reg_token[0])
    square = model.pos_embed.unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    resized = F.interpolate(square, (2, 3), mode='bicubic', antialias=True).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.position(2, 3), resized)
    assert model.position(4, 4) is model.pos_embed
    assert not torch.allclose(model.position(2, 8), model.pos_embed)        # as many tokens, another grid
    with pytest.raises(ValueError, match='multiples of 16, not 64 x 40'):
        model.embed(torch.randn(1, 3, 64, 40))


def test_position_learns_through_its_resizing():
    model = ViT(24, 1, 3, grid=4)
    model.embed(torch.randn(1, 3, 32, 64)).x.sum().backward()
    assert (model.pos_embed.grad != 0).all()


def test_rotary_position():
    cos, sin = rotation_table(2, 3, 64)
    assert cos.shape == (6, 64) and torch.equal(cos[:, :32], cos[:, 32:])
    torch.testing.assert_close(sin[4, 16], torch.tensor(2 * math.pi * 0.).sin())          # middle column
    torch.testing.assert_close(sin[1, 1], torch.tensor(2 * math.pi * -.5 * 100 ** (-4 / 64)).sin())
    x = torch.randn(1, 2, 9, 64, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, (cos, sin))
    assert torch.equal(turned[:, :, :3], x[:, :, :3])                       # what stands in front has no position
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    # products depend on the distance alone
    same = rotate(x[:, :, :1].expand(-1, -1, 6, -1), (cos, sin))
    products = same @ same.transpose(2, 3)
    torch.testing.assert_close(products[..., 0, 1], products[..., 1, 2])


def test_rotary_positions_are_stretched_in_training_only(monkeypatch):
    model = ViT(24, 1, 3, position='rotary')
    assert torch.equal(model.eval().rotation(2, 3)[0], model.rotation(2, 3)[0])
    for drawn, stretch in ((0., 0.5), (0.5, 1.), (1., 2.)):                  # uniform in the logarithm
        monkeypatch.setattr(torch, 'rand', lambda size: torch.full(size, drawn))
        torch.testing.assert_close(model.train().rotation(2, 3)[1], rotation_table(2, 3, 8, stretch)[1])


def test_keys_of_dinov3_have_no_bias():
    model = ViT(24, 1, 3, position='rotary')
    layer = model.blocks[0].attn.qkv
    with torch.no_grad():
        layer.bias.copy_(torch.randn(72))
    x = torch.randn(1, 4, 24)
    out = layer(x)
    torch.testing.assert_close(out[..., 24:48], x @ layer.weight[24:48].T)
    torch.testing.assert_close(out[..., 48:], x @ layer.weight[48:].T + layer.bias[48:])
    out.sum().backward()
    assert not layer.bias.grad[24:48].any() and layer.bias.grad[:24].all()
    fast = optimize_for_inference(copy.deepcopy(model))
    assert type(fast.blocks[0].attn.qkv) is FastLinear
    torch.testing.assert_close(fast.blocks[0].attn.qkv(x), out, rtol=1e-5, atol=1e-5)


def test_allowed_bounds_what_a_token_sees():
    torch.manual_seed(0)
    layer, x = Attention(24, 3).eval(), torch.randn(2, 5, 24)
    allowed = torch.ones(2, 5, 5, dtype=torch.bool)
    assert torch.allclose(layer(x, allowed=allowed), layer(x), atol=1e-6)
    allowed[0, 1, 3:] = False
    changed = (layer(x, allowed=allowed) - layer(x)).abs().amax(-1) > 1e-4
    assert changed.nonzero().tolist() == [[0, 1]]
    moved = x.clone()
    moved[0, 4] += 1
    torch.testing.assert_close(layer(moved, allowed=allowed)[0, 1], layer(x, allowed=allowed)[0, 1])


def test_kernels_of_other_patches_give_the_same_tokens():
    """An image resized by the rule gives the tokens that the old kernel gives of the small one."""
    kernel, image = torch.randn(5, 3, 14, 14, dtype=torch.float64), torch.randn(1, 3, 14, 14)
    large = F.interpolate(image, (16, 16), mode='bicubic', antialias=True)
    new = resize_patch_kernel(kernel.float(), 16)
    torch.testing.assert_close((new * large).sum((1, 2, 3)), (kernel.float() * image).sum((1, 2, 3)), rtol=1e-3, atol=1e-3)
    assert resize_patch_kernel(kernel, 14) is kernel


def test_frozen_blocks_do_not_train():
    model = ViT(24, 3, 3, grid=4, frozen_blocks=2)
    trained = {name.split('.')[0] + '.' + name.split('.')[1] for name, x in model.named_parameters() if x.requires_grad}
    assert trained == {'blocks.2', 'norm.weight', 'norm.bias'}
    with pytest.raises(ValueError, match='frozen_blocks'):
        ViT(24, 3, 3, grid=4, frozen_blocks=4)
    with pytest.raises(ValueError, match="not 'sine'"):
        ViT(24, 3, 3, position='sine')


def test_blocks_are_those_of_timm():
    """DINOv2 with registers, bit by bit."""
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    theirs = timm.create_model('vit_small_patch14_reg4_dinov2', pretrained=False, img_size=64, patch_size=16, depth=2,
                               num_classes=0, dynamic_img_size=True).eval()
    ours = ViT(384, 2, 6, grid=4).eval()
    ours.load_state_dict(theirs.state_dict())
    theirs.patch_embed.strict_img_size = False
    for size in ((64, 64), (48, 80)):
        images = torch.randn(1, 3, *size)
        with torch.no_grad():
            x, _, _ = ours.embed(images)
            assert torch.equal(ours.norm(ours.run(0, 2, x)), theirs.forward_features(images))


def test_a_small_image_takes_a_part_of_the_position_table():
    torch.manual_seed(0)
    model = ViT(16, 1, 2, patch_size=8, grid=(5, 7), num_registers=0, cut_position=True)
    table = model.pos_embed.detach().unflatten(1, (5, 7))
    parts = {(top, left): table[:, top:top + 3, left:left + 4].flatten(1, 2) for top in range(3) for left in range(4)}

    def place():
        found = model.position(3, 4)
        return next(at for at, part in parts.items() if torch.equal(part, found))
    assert {place() for _ in range(200)} == set(parts)
    model.eval()
    assert {place() for _ in range(5)} == {(0, 0)}
    resized = ViT(16, 1, 2, patch_size=8, grid=(5, 7), num_registers=0)
    resized.load_state_dict(model.state_dict())
    for size in ((6, 7), (3, 8)):                                  # does not fit into the table
        assert torch.equal(model.position(*size), resized.position(*size))
    assert torch.equal(model.position(5, 7), model.pos_embed)


def test_a_stem_of_convolutions_gives_one_token_a_patch():
    model = ViT(32, 1, 2, patch_size=8, grid=(2, 3), num_registers=0, stem='conv')
    assert isinstance(model.patch_embed, ConvStem) and model.embed(torch.randn(2, 3, 16, 24)).x.shape == (2, 1 + 6, 32)
    for convolution in (part for stage in model.patch_embed.stages for part in stage):
        convolution[1] = torch.nn.Identity()                       # a norm looks at the whole image
    images = torch.randn(1, 3, 64, 128)
    changed = images.clone()
    changed[..., 24:32, 80:88] += 10
    with torch.no_grad():
        moved = (model.patch_embed(images) - model.patch_embed(changed)).norm(dim=2).view(8, 16)
    assert moved[3, 10] == moved.max()                             # row by row, as patches are
    for wrong in (dict(stem='convs'), dict(stem='conv', patch_size=14), dict(stem='conv', embed_dims=24)):
        with pytest.raises(ValueError, match='ViT: .*stem'):
            ViT(**{**dict(embed_dims=32, depth=1, num_heads=2, patch_size=8), **wrong})
