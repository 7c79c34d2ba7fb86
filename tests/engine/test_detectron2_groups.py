"""What learns how fast and is decayed, by the rule of Mask2Former."""
import pytest
import torch
from helpers.tiny_segmenter import tiny_model
from torch import nn

from mmvis.engine.detectron2_groups import Detectron2Groups, detectron2_groups


def test_groups_of_a_segmenter():
    model = tiny_model()
    model.segmenter.backbone.norm = nn.BatchNorm2d(3)
    model.segmenter.backbone.relative_position_bias_table = nn.Parameter(torch.zeros(2))
    model.segmenter.backbone.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
    groups = {(group['lr'], group['weight_decay']): group['names'] for group in detectron2_groups(model, 1e-2, 0.05)}
    assert set(groups) == {(1e-3, 0.05), (1e-3, 0), (1e-2, 0.05), (1e-2, 0)}
    prefix = 'segmenter.backbone.'
    assert set(groups[1e-3, 0.]) == {f'{prefix}{x}' for x in ('norm.weight', 'norm.bias', 'relative_position_bias_table')}
    assert f'{prefix}steps.0.bias' in groups[1e-3, 0.05]
    free = groups[1e-2, 0.]
    assert {f'segmenter.decoder.{x}.weight' for x in ('query_feat', 'query_embed', 'level_embed', 'norm')} <= set(free)
    assert 'segmenter.pixel_decoder.level_embed' in groups[1e-2, 0.05]
    assert 'segmenter.decoder.class_head.bias' in groups[1e-2, 0.05]
    assert 'segmenter.pixel_decoder.lateral.1.bias' in free
    assert sum(map(len, groups.values())) == sum(x.requires_grad for x in model.parameters())


def test_the_constructor_takes_rate_and_decay_of_the_optimizer():
    config = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1))
    wrapper = Detectron2Groups(config, dict(backbone_lr_mult=0.5))(tiny_model())
    assert {(group['lr'], group['weight_decay']) for group in wrapper.param_groups} == {
        (5e-3, 0.1), (1e-2, 0.1), (1e-2, 0.)}
    with pytest.raises(ValueError, match='may have backbone_lr_mult, not'):
        Detectron2Groups(config, dict(decay=0.5))
