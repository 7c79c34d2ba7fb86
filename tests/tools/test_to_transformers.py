"""VidEoMT as a folder for transformers, by the tool; what has no form there is told."""
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from helpers.tiny_videomt import tiny_config, tiny_frames, tiny_model

from mmvis.converters import load_checkpoint
from mmvis.converters.safetensors_file import write_folder
from mmvis.converters.videomt import to_transformers, transformers_config
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


@torch.no_grad()
def test_the_folder_gives_the_same_numbers_in_transformers(tmp_path):
    """The network of pip's transformers on a square clip of the position table's size: a stream from its first frame."""
    transformers = pytest.importorskip('transformers', '5.24')
    model = tiny_model()
    write_folder(tmp_path / 'hub', to_transformers(model.state_dict()), transformers_config(model), [])
    theirs = transformers.VideomtForUniversalSegmentation.from_pretrained(tmp_path / 'hub').eval()
    assert not theirs.training and sum(p.numel() for p in theirs.parameters()) >= sum(
        p.numel() for p in model.parameters())
    frames = tiny_frames(3, (64, 64))
    layers, size = model.clip_layers(frames[None])
    logits, masks = model.predict(layers[-1], size)
    found = theirs(pixel_values_videos=frames[None])
    assert logits.std() > 0.5 and masks.std() > 0.5
    torch.testing.assert_close(found.class_queries_logits.view_as(logits), logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.masks_queries_logits.view_as(masks), masks, rtol=1e-3, atol=1e-4)
