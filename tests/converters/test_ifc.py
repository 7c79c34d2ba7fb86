"""Official IFC names to ours: every tensor finds its place, and only the classes differ between data sets."""
import json
from pathlib import Path

import pytest
import torch

from mmvis.converters import convert_state_dict
from mmvis.converters.ifc import our_name
from mmvis.engine import load_config
from mmvis.registry import MODELS

GOLDEN = Path(__file__).resolve().parents[1] / 'golden' / 'ifc'


def on_meta(config, **changes):
    with torch.device('meta'):
        return MODELS.build(dict(load_config(config).model, **changes))


def official(classes=41, depth=50):
    """The official state dict without numbers; the file of the project lists that of R50 with 40 classes."""
    manifest = json.loads((GOLDEN / 'manifest.json').read_text())
    if depth == 101:        # stage 4 has 23 blocks instead of 6, all but the first alike
        prefix = 'detr.backbone.0.backbone.res4.'
        block = {key: value for key, value in manifest.items() if key.startswith(f'{prefix}5.')}
        manifest.update({key.replace(f'{prefix}5.', f'{prefix}{i}.'): value
                         for i in range(6, 23) for key, value in block.items()})
    shapes = {key: [classes, *shape[1:]] if 'class_embed.layers.1' in key else shape
              for key, (shape, _) in manifest.items()}
    return {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}


@pytest.mark.parametrize('config, classes, depth', [
    ('ifc_r50_ytvis2019.py', 41, 50), ('ifc_r101_ytvis2019.py', 41, 101), ('ifc_r50_coco.py', 81, 50)])
def test_every_tensor_has_its_place(config, classes, depth):
    state = official(classes, depth)
    converted, report = convert_state_dict(state, on_meta(config))
    assert report.source == 'IFC (detectron2)'
    assert not report.missing and not report.unexpected and list(report.dropped) == ['criterion.empty_weight']
    assert len(converted) == len(state) - 1


def test_a_coco_model_starts_one_for_videos():
    _, report = convert_state_dict(official(81), on_meta('ifc_r50_ytvis2019.py'))
    assert sorted(report.missing) == ['class_embed.layers.1.bias', 'class_embed.layers.1.weight']
    assert all('shape' in report.dropped[key] for key in report.missing)


def test_names():
    for theirs, ours in {
            'backbone.0.backbone.stem.conv1.weight': 'backbone.conv1.weight',
            'backbone.0.backbone.stem.conv1.norm.running_var': 'backbone.bn1.running_var',
            'backbone.0.backbone.res5.2.conv3.norm.bias': 'backbone.layer4.2.bn3.bias',
            'backbone.0.backbone.res2.0.shortcut.weight': 'backbone.layer1.0.downsample.0.weight',
            'backbone.0.backbone.res2.0.shortcut.norm.weight': 'backbone.layer1.0.downsample.1.weight',
            'transformer.encoder.bus_layers.2.norm1.weight': 'encoder.communicate.2.norms.0.weight',
            'transformer.clip_decoder.layers.1.norm3.weight': 'decoder.layers.1.norms.2.weight',
            'transformer.clip_decoder.norm.weight': 'decoder.post_norm.weight',
            'mask_head.adapter1.weight': 'mask_head.lateral16.weight',
            'mask_head.out_lay.pointwise.bias': 'mask_head.pointwise.bias'}.items():
        assert our_name(f'detr.{theirs}') == ours


def test_unknown_keys_are_reported():
    state = dict(official(), **{'detr.something_new': torch.empty(1, device='meta')})
    _, report = convert_state_dict(state, on_meta('ifc_r50_ytvis2019.py'))
    assert report.unexpected == ['something_new']
