"""Optimizer groups by layer and the schedule in two stages, through mmengine."""
import pytest
import torch
from helpers.tiny_videomt import tiny_model
from mmengine.optim import build_optim_wrapper

from mmvis.engine import TwoStagePoly
from mmvis.registry import PARAM_SCHEDULERS


def wrapper(model, **paramwise):
    return build_optim_wrapper(model, dict(
        type='OptimWrapper', constructor='LayerDecayGroups', paramwise_cfg=dict(decay=0.5, **paramwise),
        optimizer=dict(type='AdamW', lr=1., weight_decay=0.05)))


def test_rates_fall_from_the_last_block_to_the_first():
    model = tiny_model()
    groups = {group['name']: group for group in wrapper(model).optimizer.param_groups}
    rates = {name: group['lr'] for name, group in groups.items()}
    assert rates['backbone.norm.weight'] == rates['query_updater.bias'] == rates['predictor.upscale.1.norm.bias'] == 1
    assert [rates[f'backbone.blocks.{i}.mlp.fc1.weight'] for i in range(4)] == [.125, .25, .5, 1]
    assert rates['backbone.pos_embed'] == rates['backbone.reg_token'] == rates['backbone.patch_embed.proj.bias'] == .125
    assert {group['weight_decay'] for group in groups.values()} == {0.05}
    assert list(groups)[0] == 'backbone.norm.bias' and list(groups)[-1] == 'q.weight'
    assert len(groups) == len(list(model.parameters()))
    rates = {group['name']: group['lr'] for group in wrapper(model, query_blocks_decay=False).optimizer.param_groups}
    assert [rates[f'backbone.blocks.{i}.mlp.fc1.weight'] for i in range(4)] == [.125, .25, 1, 1]


def test_frozen_parameters_have_no_group():
    model = tiny_model(backbone=dict(type='ViT', embed_dims=24, depth=4, num_heads=3, grid=4, frozen_blocks=1))
    names = [group['name'] for group in wrapper(model).optimizer.param_groups]
    assert 'backbone.pos_embed' not in names and 'backbone.blocks.1.ls1.gamma' in names


def test_the_transformer_begins_when_the_rest_is_warm():
    optim = wrapper(tiny_model())
    schedule = PARAM_SCHEDULERS.build(dict(type='TwoStagePoly', warmup=(2, 4), end=10), default_args=dict(optimizer=optim))
    groups = {group['name']: group for group in optim.optimizer.param_groups}
    seen = []
    for _ in range(11):
        seen.append((groups['q.weight']['lr'], groups['backbone.norm.bias']['lr'], groups['backbone.pos_embed']['lr']))
        optim.step()
        schedule.step()
    heads = [0, .5, *((1 - s / 8) ** .9 for s in range(9))]
    vit = [0, 0, 0, .25, .5, .75, *((1 - s / 4) ** .9 for s in range(5))]
    assert [x[0] for x in seen] == pytest.approx(heads) and [x[1] for x in seen] == pytest.approx(vit)
    assert [x[2] for x in seen] == pytest.approx([x / 8 for x in vit])


def test_a_schedule_goes_on_where_it_was():
    optim = wrapper(tiny_model())
    schedule = TwoStagePoly(optim, 10, (2, 4))
    for _ in range(5):
        optim.step()
        schedule.step()
    state = schedule.state_dict()
    assert all(isinstance(x, (int, float, str, bool, tuple, list, type(None))) for x in state.values())
    other = wrapper(tiny_model())
    again = TwoStagePoly(other, 10, (2, 4))
    again.load_state_dict(state)
    again.step()
    schedule.step()
    assert [g['lr'] for g in other.param_groups] == [g['lr'] for g in optim.param_groups]


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match='paramwise_cfg needs decay'):
        build_optim_wrapper(tiny_model(), dict(type='OptimWrapper', constructor='LayerDecayGroups',
                                               optimizer=dict(type='AdamW', lr=1.)))
    with pytest.raises(ValueError, match='together fewer than end'):
        TwoStagePoly(torch.optim.AdamW(tiny_model().parameters()), 1000)


def test_a_training_may_be_too_short_for_a_warm_up():
    assert TwoStagePoly(wrapper(tiny_model()), 1, (0, 0)).factor(0, True) == 1
    with pytest.raises(ValueError, match='together fewer than end'):
        TwoStagePoly(wrapper(tiny_model()), 9, (-1, 2))
