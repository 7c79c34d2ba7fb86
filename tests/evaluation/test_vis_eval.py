"""The evaluator against numbers of the official code (tests/golden/eval), and its answers to bad input."""
import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvis.evaluation import evaluate_results
from mmvis.evaluation.matching import run_lengths

GOLDEN = Path(__file__).parents[1] / 'golden' / 'eval'
ROOT = Path(__file__).parents[2]


def load(name):
    return json.loads(gzip.decompress((GOLDEN / f'{name}.json.gz').read_bytes()))


EDGES = load('edges')


def evaluate(case, folder):
    (folder / 'gt.json').write_text(json.dumps(case['gt']))
    (folder / 'results.json').write_text(json.dumps(case['results']))
    return evaluate_results(folder / 'results.json', folder / 'gt.json')


@pytest.mark.parametrize('name', ['tiny', 'mid20'])
def test_official_numbers(name, tmp_path):
    expected = json.loads((GOLDEN / 'expected.json').read_text())[name]
    evaluation = evaluate(load(name), tmp_path)
    assert ' '.join(evaluation.stats) == 'AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl'
    np.testing.assert_allclose(list(evaluation.stats.values()), expected['stats'], rtol=0, atol=1e-12)
    per_category = [-1 if ap is None else ap for ap in expected['per_category_AP'].values()]
    np.testing.assert_allclose(list(evaluation.per_category.values()), per_category, rtol=0, atol=1e-12)


#: The official code counts a detection that takes the annotation with id 0 as wrong; here no id is special.
SAME_AS_OFFICIAL = [name for name, case in EDGES.items() if case['stats'] and name != 'gt_id_zero']


@pytest.mark.parametrize('name', SAME_AS_OFFICIAL)
def test_edge_cases_give_the_official_numbers(name, tmp_path):
    stats = evaluate(EDGES[name], tmp_path).stats
    np.testing.assert_allclose(list(stats.values()), EDGES[name]['stats'], rtol=0, atol=1e-12)


def test_annotation_with_id_zero_counts(tmp_path):
    case = EDGES['gt_id_zero']
    stats = evaluate(case, tmp_path).stats
    for annotation in case['gt']['annotations']:
        annotation['id'] += 1
    assert stats == evaluate(case, tmp_path).stats
    assert stats['AP'] > case['stats'][0]


def test_empty_results_have_ap_zero(tmp_path):
    stats = evaluate(EDGES['empty_list'], tmp_path).stats
    assert (stats['AP'], stats['AR100'], stats['APl']) == (0.0, 0.0, -1.0)


@pytest.mark.parametrize('name, words', [
    ('unknown_video', 'entry 4: video_id 99 is not in'),
    ('string_video', "video_id '1' is not in"),
    ('dict_results', 'a list of results is expected'),
    ('missing_score', 'score is missing'),
    ('string_score', "score must be a number, not '0.9'"),
    ('missing_category', 'category_id is missing'),
    ('missing_segm_second', 'segmentations is missing'),
    ('polygon_result', 'frame 0: segmentations must hold RLEs'),
    ('uncompressed_result', 'must be a compressed RLE string'),
    ('short_counts', 'cover 40 pixels, but size 8 x 10 has 80'),
    ('no_iscrowd', 'annotation 1: iscrowd is missing'),
])
def test_bad_input_is_named(name, words, tmp_path):
    assert EDGES[name]['stats'] is None
    with pytest.raises(ValueError, match=words):
        evaluate(EDGES[name], tmp_path)


def test_run_lengths_read_what_pycocotools_writes():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 1.0):
        mask = np.asfortranarray(rng.random((97, 211)) < share, np.uint8)
        mask[20:60, 50:150] = 1 - mask[20:60, 50:150]
        runs = run_lengths(coco_mask.encode(mask)['counts'])
        flat = np.repeat(np.arange(len(runs)) % 2, runs)
        np.testing.assert_array_equal(flat, mask.reshape(-1, order='F'))


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / 'gt.json').write_text('{"videos": [')
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        evaluate_results(tmp_path / 'nowhere.json', tmp_path / 'gt.json')
    with pytest.raises(ValueError, match='gt.json: not a JSON file'):
        evaluate_results([], tmp_path / 'gt.json')
    (tmp_path / 'gt.json').write_text('{"videos": [], "categories": []}')
    with pytest.raises(ValueError, match='no annotations'):
        evaluate_results([], tmp_path / 'gt.json')


def test_tool_prints_the_table_and_writes_json(tmp_path):
    evaluation = evaluate(load('tiny'), tmp_path)
    command = [sys.executable, str(ROOT / 'tools' / 'eval_results.py'), str(tmp_path / 'results.json')]
    run = subprocess.run([*command, str(tmp_path / 'gt.json'), '--json', str(tmp_path / 'stats.json')],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == evaluation.table()
    assert json.loads((tmp_path / 'stats.json').read_text())['stats'] == evaluation.stats
    run = subprocess.run([*command, str(tmp_path / 'none.json')], capture_output=True, text=True)
    assert run.returncode == 1 and 'Traceback' not in run.stderr and 'none.json' in run.stderr
