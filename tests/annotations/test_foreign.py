"""An annotation of another tool, given to any tool of this project, is named with the command that converts it."""
import json
import sys
from pathlib import Path

import pytest

from mmvis.annotations import load_annotations, read_content
from mmvis.datasets import VISDataset
from mmvis.errors import InputError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'helpers'))
from foreign_sets import WRITERS  # noqa: E402

INNER = dict(labelme='street/000000.json', cvat='street.xml', coco='tracks.json')


@pytest.mark.parametrize('name', WRITERS)
def test_known_formats_are_named_with_the_command(name, tmp_path):
    source = WRITERS[name](tmp_path / 'set')
    paths = [tmp_path / 'set' / INNER[name]] if name in INNER else []
    paths += [] if name == 'coco' else [source]
    for path in paths:
        with pytest.raises(InputError, match=f'convert_annotations.py {name} .* --out FILE.json'):
            load_annotations(str(path))
        with pytest.raises(InputError, match=f'convert_annotations.py {name} '):
            VISDataset(ann_file=str(path), data_root=str(tmp_path), test_mode=True)


@pytest.mark.parametrize('data, words', [
    (dict(videos=[dict(id=1, name='a')], images=[dict(id=1)]), 'CocoVID.*convert_annotations.py coco'),
    ([dict(image_id=1, category_id=1)], 'list of results of COCO.*--to results'),
    ([dict(video_id=1, segmentations=[])], 'a results file, not an annotation file'),
    ([dict(data={}, annotations=[dict(result=[dict(type='videorectangle')])])], 'Label Studio and has boxes of videos'),
    ([dict(data={}, annotations=[dict(result=[dict(type='brushlabels')])])], 'Label Studio, which is not read'),
    (dict(_via_img_metadata={}), 'VGG Image Annotator'), (dict(items=[], categories={}), 'Datumaro')])
def test_what_is_known_and_not_read(data, words):
    with pytest.raises(InputError, match=words):
        read_content(data, 'x.json')


@pytest.mark.parametrize('text, words', [
    (b'<?xml version="1.0"?><annotations>', 'convert_annotations.py cvat'), (b'PK\x03\x04', 'ZIP file'),
    (b'1 1001 1 48 80 abc\n', 'convert_annotations.py mots'), (b'\x89PNG\r\n', 'davis'),
    (b'1,1,1,1,1,1,1,1,1\n', 'MOTChallenge')])
def test_files_that_are_no_json(tmp_path, text, words):
    (tmp_path / 'a').write_bytes(text)
    with pytest.raises(InputError, match=words):
        load_annotations(str(tmp_path / 'a'))


def test_images_of_coco_without_tracks_are_ours(tmp_path):
    data = dict(images=[dict(id=1, width=4, height=4, file_name='a.jpg', video_id=3)], categories=[dict(id=1, name='a')],
                annotations=[])
    (tmp_path / 'a.json').write_text(json.dumps(data))
    assert len(load_annotations(str(tmp_path / 'a.json'))) == 1
