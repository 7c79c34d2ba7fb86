"""Numbers of a set that were counted by hand."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.foreign_sets import WRITERS

from mmvis.annotations import load_annotations
from mmvis.annotations.statistics import MEDIUM, SMALL, as_table, box_overlap, dataset_statistics
from mmvis.errors import InputError
from mmvis.evaluation.rules import AREA_RANGES
from mmvis.formats import FORMATS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
from dataset_statistics import main  # noqa: E402


@pytest.fixture()
def file(tmp_path):
    FORMATS['ytvis'].write(FORMATS['coco'].read(WRITERS['coco'](tmp_path / 'set'), None), tmp_path / 'a.json')
    return tmp_path / 'a.json'


def test_what_is_counted(file):
    found = dataset_statistics(load_annotations(str(file)))
    totals = found['totals']
    assert (totals['videos'], totals['frames'], totals['tracks'], totals['masks']) == (2, 10, 3, 14)
    assert totals['sizes'] == {'80 x 48': 2} and totals['tiny_masks'] == 14 and totals['empty_frames'] == 0
    assert (totals['enter'], totals['leave'], totals['come_back']) == (0, 0, 1)  # the person, away in frame 2
    car, person = found['classes']
    assert (car['tracks'], car['videos'], car['masks'], car['mean_area'], car['small']) == (2, 2, 10, 210, 2)
    assert (person['masks'], person['frames_seen'], person['mean_area']) == (4, 0.8, 160)
    assert [row['masks'] for row in found['videos']] == [9, 5]
    assert (SMALL, MEDIUM) == (AREA_RANGES['small'][1], AREA_RANGES['medium'][1])


def test_overlap_of_boxes():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]], float)
    assert box_overlap(boxes) == pytest.approx(50 / (150 + 25)) and box_overlap(boxes[:1]) == 0
    assert box_overlap(boxes[[0, 0, 0]]) == pytest.approx(3.)


def test_no_annotations(file, tmp_path):
    data = json.loads(file.read_text())
    del data['annotations']
    (tmp_path / 'b.json').write_text(json.dumps(data))
    found = dataset_statistics(load_annotations(str(tmp_path / 'b.json')))
    assert found['totals']['tracks'] == 0 and found['totals']['empty_frames'] == 10
    assert '2 classes without an object' in as_table(found)


def test_table_json_and_picture(file, tmp_path, capsys):
    main([str(file), '--json', str(tmp_path / 's.json'), '--plot', str(tmp_path / 's.png'), '--rows', '1'])
    printed = capsys.readouterr().out
    assert '2 videos, 10 frames: 5 to 5 a video' in printed and '... and 1 classes more' in printed
    assert json.loads((tmp_path / 's.json').read_text())['totals']['masks'] == 14
    assert (tmp_path / 's.png').read_bytes().startswith(b'\x89PNG')
    with pytest.raises(InputError, match='input of this run'):
        main([str(file), '--json', str(file)])
    with pytest.raises(InputError, match='no picture is made as .xyz'):
        main([str(file), '--plot', str(tmp_path / 's.xyz')])
