"""VidEoMT as a folder for transformers, by the tool; what has no form there is told."""
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from helpers.tiny_videomt import tiny_config, tiny_model
from mmvis.converters import load_checkpoint
from mmvis.errors import InputError

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'to_transformers.py'


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='tool')['main']()


def write_config(path, **changes):
    path.write_text(f'model = {tiny_config(**changes)!r}\n')
    return path


def test_there_and_back(tmp_path, monkeypatch):
    model = tiny_model()
    meta = dict(dataset_meta=dict(classes=list('abcde'), category_ids=[1, 2, 3, 4, 5]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'x.pth')
    config = write_config(tmp_path / 'c.py')
    run(monkeypatch, config, tmp_path / 'x.pth', tmp_path / 'hub')
    told = json.loads((tmp_path / 'hub' / 'config.json').read_text())
    assert (told['hidden_size'], told['num_hidden_layers'], told['num_blocks'], told['image_size']) == (24, 4, 2, 64)
    assert (told['num_queries'], told['num_register_tokens'], told['layer_norm_eps']) == (8, 4, 1e-6)
    assert told['id2label'] == dict(zip('01234', 'abcde'))
    other = tiny_model(seed=1)
    load_checkpoint(other, tmp_path / 'hub', strict=True, logger='silent')
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))
    with pytest.raises(InputError, match='is an input of this run'):       # of itself
        run(monkeypatch, config, tmp_path / 'hub', tmp_path / 'hub')


def test_what_transformers_lacks(tmp_path, monkeypatch):
    vit = dict(type='ViT', embed_dims=24, depth=4, num_heads=3, position='rotary')
    for changes, said in ((dict(kind='EoMT'), 'VidEoMT alone has a form in transformers'),
                          (dict(backbone=vit), 'VidEoMT on DINOv2 alone'), (dict(norm_queries=True), 'without norm_queries')):
        with pytest.raises(InputError, match=said):
            run(monkeypatch, write_config(tmp_path / f'{len(said)}.py', **changes), 'none.pth', tmp_path / 'hub')
    assert not (tmp_path / 'hub').exists()
