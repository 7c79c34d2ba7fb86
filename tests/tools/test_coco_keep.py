"""tools/coco_keep_for_*.py as a user types them."""
import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_tool(name, folder, monkeypatch):
    """The command, in a folder, for its file in.json."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    monkeypatch.setattr(sys, 'argv', ['coco_keep', 'in.json'])
    runpy.run_path(str(ROOT / f'tools/coco_keep_for_{name}.py'), run_name='__main__')


@pytest.mark.parametrize('name, kept', [('ovis', {1, 9}), ('ytvis21', {1, 3, 9}), ('ytvis19', {1, 3, 9})])
def test_keeps_the_categories_with_a_counterpart(name, kept, tmp_path, monkeypatch):
    ids = [1, 3, 9, 44]                                                # person, car, boat, bottle
    content = dict(info={}, licenses=[], categories=[dict(id=i, name=str(i)) for i in ids],
                   images=[dict(id=10 * i, file_name=f'{i}.jpg', height=4, width=4) for i in ids],
                   annotations=[dict(id=i, image_id=10 * i, category_id=i, bbox=[0, 0, 1, 1], area=1, iscrowd=0,
                                     segmentation=[[0, 0, 1, 0, 1, 1]]) for i in ids])
    (tmp_path / 'in.json').write_text(json.dumps(content))
    run_tool(name, tmp_path, monkeypatch)
    out = json.loads((tmp_path / f'coco_keepfor_{name}.json').read_text())
    assert {x['category_id'] for x in out['annotations']} == kept
    assert {x['id'] for x in out['images']} == {10 * i for i in kept}
    assert out['categories'] == content['categories'] and out.keys() == content.keys()


@pytest.mark.parametrize('content, words', [
    (b'{"videos": []}', "the list 'videos' is empty"), (b'[1, 2]', 'is a JSON object'), (b'{"images": [', 'JSON file'),
    (b'\xff\xfe', 'not a JSON file'),
    (b'{"images": [{"id": 1, "width": 8, "height": 8, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "a"}]}',
     'it has no annotations')])
def test_a_foreign_file_is_named(tmp_path, content, words, monkeypatch, capsys):
    (tmp_path / 'in.json').write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        run_tool('ovis', tmp_path, monkeypatch)
    said = capsys.readouterr().err
    assert stop.value.code == 1 and 'in.json' in said and words in said and said.count('\n') == 1
    assert not (tmp_path / 'coco_keepfor_ovis.json').exists()
