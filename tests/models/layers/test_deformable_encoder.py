"""Deformable attention that is computed once more in the backward pass: the same numbers, less that is kept."""
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
from gpu.systems import training_batch
from helpers import tiny_instanceformer
from helpers.tiny_segmenter import tiny_segmenter
from torch.nn.parallel import DistributedDataParallel

from mmvis.models.layers.deformable_encoder import DeformableAttention, Tokens


@pytest.fixture
def one_process():
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def train(model, wrap=lambda model: model, context=nullcontext):
    """Loss and gradients of a clip; what the attention drops is the same each time."""
    torch.manual_seed(0)
    model.train().zero_grad()
    data = model.data_preprocessor(training_batch('instanceformer', 1, 64, 96), True)
    wrapped = wrap(model)
    with context():
        loss, _ = model.parse_losses(wrapped(data['inputs'], data['data_samples']))
    loss.backward()
    return loss.item(), {name: x.grad.clone() for name, x in model.named_parameters() if x.grad is not None}


def check_the_same(**how):
    (loss, grads), (other, others) = (train(tiny_instanceformer.tiny_model(with_cp=with_cp), **how)
                                      for with_cp in (False, True))
    assert loss == other and grads.keys() == others.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(others[name], grad, rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize('context', [nullcontext, lambda: torch.autocast('cpu', torch.bfloat16)], ids=['float32', 'bf16'])
def test_recomputing_changes_no_number(context):
    check_the_same(context=context)


def test_recomputing_changes_no_number_of_several_processes(one_process):
    check_the_same(wrap=lambda model: DistributedDataParallel(model, find_unused_parameters=True))


def test_padding_is_recomputed_and_inference_is_not():
    torch.manual_seed(0)
    values, query = torch.randn(1, 20, 8, requires_grad=True), torch.randn(1, 3, 8)
    tokens = Tokens(values, [(4, 5)], torch.ones(1, 1, 2), torch.arange(20)[None] % 5 == 4)
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(1)
        attention = DeformableAttention(8, 2, 1, 2, with_cp)
        out, locations = attention(query, tokens, torch.full((1, 3, 1, 2), 0.8))
        assert locations.shape == (1, 3, 2, 1, 2, 2)
        grads.append(torch.autograd.grad(out.square().sum(), values)[0])
        assert (grads[-1][0, 4::5] == 0).all() and grads[-1].abs().sum() > 0
        with torch.no_grad():
            assert torch.equal(attention(query, tokens, torch.full((1, 3, 1, 2), 0.8))[0], out)
    assert torch.equal(*grads)


def test_mask2former_has_the_option():
    encoder = tiny_segmenter(pixel_decoder=dict(num_layers=1, num_heads=4, feedforward_dims=32, with_cp=True)).pixel_decoder
    assert [layer.self_attn.with_cp for layer in encoder.encoder.layers] == [True]
