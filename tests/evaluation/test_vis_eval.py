"""The evaluator against numbers of the official codes (tests/golden/eval), and its answers to bad input."""
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mmvis.errors import InputError
from mmvis.evaluation import Evaluator, Rules, evaluate_results
from mmvis.evaluation.masks import read_masks, track_overlap
from mmvis.evaluation.matching import select
from mmvis.evaluation.subsets import evaluate_short_long, find_long

GOLDEN = Path(__file__).parents[1] / 'golden' / 'eval'
EDGES = json.loads(gzip.decompress((GOLDEN / 'edges.json.gz').read_bytes()))
SMALL = ['tiny', 'mid20', 'ovis_small', 'longshort']
MIDDLE = ['big60', 'ovis12', 'dense']
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ('val21', 'ovis140')]
NAMES = 'AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl'.split()
OVIS_NAMES = ('AP AP50 AP75 APs APm APl AP_so AP_mo AP_ho AR1 AR10 AR100 ARs ARm ARl AR_so AR_mo AR_ho').split()


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, '<f8').tobytes()).hexdigest()


def check(evaluation, expected):
    np.testing.assert_allclose(list(evaluation.stats.values()), expected['stats'], rtol=0, atol=1e-12)
    per_category = [-1 if ap is None else ap for ap in expected['per_category'].values()]
    np.testing.assert_allclose(list(evaluation.per_category.values()), per_category, rtol=0, atol=1e-12)
    assert list(evaluation.precision.shape) == expected['shape']
    for name, wanted in expected['rounded'].items():
        assert digest(np.round(getattr(evaluation, name), 10) + 0.0) == wanted, name
    for name, wanted in expected.get('exact', {}).items():
        assert digest(getattr(evaluation, name)) == wanted, f'{name} differs in its last bits'


@pytest.mark.parametrize('name', SMALL + MIDDLE)
def test_official_numbers(name, eval_set, expected_numbers, backend):
    gt, results = eval_set(name)
    evaluation = evaluate_results(results, gt)
    assert list(evaluation.stats) == NAMES
    check(evaluation, expected_numbers[name])


@pytest.mark.parametrize('name', ['ovis_small', 'ovis12'])
def test_official_numbers_of_ovis(name, eval_set, expected_numbers, backend):
    gt, results = eval_set(name)
    evaluation = evaluate_results(results, gt, Rules('ovis'))
    assert list(evaluation.stats) == OVIS_NAMES
    check(evaluation, expected_numbers[name]['ovis'])


@pytest.mark.parametrize('name', LARGE)
def test_official_numbers_of_large_sets(name, eval_set, expected_numbers):
    gt, results = eval_set(name)
    check(evaluate_results(results, gt), expected_numbers[name])
    if name == 'ovis140':
        check(evaluate_results(results, gt, Rules('ovis')), expected_numbers[name]['ovis'])


@pytest.mark.parametrize('name', ['tiny', 'mid20', 'dense'])
def test_ious_have_the_official_bits(name, eval_set, expected_numbers, backend):
    evaluator = Evaluator(*reversed(eval_set(name)))
    for cell, (shape, wanted) in expected_numbers[name]['ious'].items():
        video_id, category_id = map(int, cell.split('_'))
        video, entries = evaluator.truth.videos[video_id], evaluator.entries[video_id]
        k = evaluator.truth.category_ids.index(category_id)
        order, categories, _, _ = select(evaluator.truth, entries, 100)
        own = order[categories == k]
        masks = read_masks([entries[i]['segmentations'] for i in own], [''] * len(own))
        annotated = video.tracks[video.categories == k]
        pairs = np.stack([np.repeat(np.arange(len(own)), len(annotated)), np.tile(annotated, len(own))], 1)
        inter, union = (array.sum(1) for array in track_overlap(masks, evaluator.truth.masks, pairs))
        ious = np.where(union > 0, inter / np.maximum(union, 1), 0.0).reshape(len(own), len(annotated))
        assert list(ious.shape) == shape and digest(ious) == wanted, cell


def test_numbers_do_not_hang_on_the_number_of_processes(eval_set):
    gt, results = eval_set('mid20')
    one, three = (Evaluator(results, gt, workers=workers) for workers in (1, 3))
    assert one.evaluate(per_video=True).per_video == three.evaluate(per_video=True).per_video
    np.testing.assert_array_equal(one.evaluate().precision, three.evaluate().precision)
    assert one.tracking().class_averaged == three.tracking().class_averaged
    assert one.errors().counts == three.errors().counts


def test_per_video_ap_is_that_of_the_video_alone(eval_set):
    gt, results = eval_set('mid20')
    evaluator = Evaluator(results, gt)
    per_video = evaluator.evaluate(per_video=True).per_video
    assert per_video[5] == pytest.approx(evaluator.evaluate([5]).stats['AP'], abs=1e-12)
    assert per_video[18] == -1  # no annotation
    assert len(per_video) == 20


def test_short_and_long_videos(eval_set, expected_numbers, tmp_path):
    gt, results = eval_set('longshort')
    expected = expected_numbers['longshort']['short_long']
    evaluator = Evaluator(results, gt)
    long_ids = find_long(evaluator.truth, frames=expected['more_frames_than'])
    parts = evaluate_short_long(evaluator, long_ids)
    for part, stats in (('short', parts.short.stats), ('long', parts.long.stats), ('mean', parts.mean)):
        np.testing.assert_allclose(list(stats.values()), expected[part], rtol=0, atol=1e-12)
    assert parts.union.stats == evaluator.evaluate().stats
    assert parts.mean['AP'] != pytest.approx(parts.union.stats['AP'], abs=1e-3)
    videos = [video for video in json.loads(gt.read_text())['videos'] if video['length'] > 25]
    (tmp_path / 'official.json').write_text(json.dumps(dict(videos=videos)))
    (tmp_path / 'ids.json').write_text(json.dumps(long_ids))
    (tmp_path / 'ids.txt').write_text('\n'.join(map(str, long_ids)))
    (tmp_path / 'floats.json').write_text(json.dumps(list(map(float, long_ids))))
    for file in ('official.json', 'ids.json', 'ids.txt', 'floats.json'):
        assert find_long(evaluator.truth, tmp_path / file) == long_ids
    (tmp_path / 'ids.txt').write_text('1\n99')
    with pytest.raises(ValueError, match="ids.txt: video 99 is not in|ids.txt: video '99' is not in"):
        find_long(evaluator.truth, tmp_path / 'ids.txt')
    for text, sentence in (('[["1"]]', r"video \['1'\] is not in"), ('{"ids": [1]}', 'a list of videos is needed'),
                           ('[' * 100000, 'nested too deeply'), ('[1, ', 'not a JSON file')):
        (tmp_path / 'ids.txt').write_text(text)
        with pytest.raises(InputError, match=f'ids.txt: .*{sentence}'):
            find_long(evaluator.truth, tmp_path / 'ids.txt')
    with pytest.raises(ValueError, match='all 16 videos are short'):
        evaluate_short_long(evaluator, [])


# Edge cases

def write(case, folder):
    files = folder / 'results.json', folder / 'gt.json'
    for file, content in zip(files, (case['results'], case['gt'])):
        file.write_text(json.dumps(content))
    return files


def test_all_edge_cases_are_here():
    assert len(EDGES) == 60


@pytest.mark.parametrize('name', [name for name, case in EDGES.items() if case['stats']])
def test_edge_cases_give_the_official_numbers(name, tmp_path, backend):
    stats = evaluate_results(*write(EDGES[name], tmp_path), Rules(strict=True)).stats
    np.testing.assert_allclose(list(stats.values()), EDGES[name]['stats'], rtol=0, atol=1e-12)
    if name != 'gt_id_zero':
        assert evaluate_results(*write(EDGES[name], tmp_path)).stats == stats


def test_annotation_with_id_zero_counts_unless_strict(tmp_path):
    case = EDGES['gt_id_zero']
    stats = evaluate_results(*write(case, tmp_path)).stats
    assert stats['AP'] > case['stats'][0]
    for annotation in case['gt']['annotations']:
        annotation['id'] += 1
    assert stats == evaluate_results(*write(case, tmp_path)).stats


def test_empty_results_have_ap_zero_unless_strict(tmp_path):
    files = write(EDGES['empty_list'], tmp_path)
    stats = evaluate_results(*files).stats
    assert (stats['AP'], stats['AR100'], stats['APl']) == (0.0, 0.0, -1.0)
    with pytest.raises(ValueError, match='results.json: the list of results is empty'):
        evaluate_results(*files, Rules(strict=True))


BAD = {
    'unknown_video': 'entry 4: video_id 99 is not in',
    'string_video': "video_id '1' is not in",
    'dict_results': 'a list of results is expected',
    'missing_score': 'entry 0: score is missing',
    'string_score': "entry 0: score must be a number, not '0.9'",
    'missing_category': 'entry 1: category_id is missing',
    'missing_segm_first': 'entry 0: segmentations is missing',
    'missing_segm_second': 'entry 1: segmentations is missing',
    'polygon_result': 'frame 0: segmentations must hold RLEs',
    'uncompressed_result': 'must be a compressed RLE string',
    'short_counts': 'cover 40 pixels, but size 8 x 10 has 80',
    'no_iscrowd': 'annotation 1: iscrowd is missing',
    'no_iscrowd_zero': 'annotation 1: iscrowd is missing'
}


@pytest.mark.parametrize('change, note', [
    (lambda ids, i: ids[i], None),
    (lambda ids, i: ids[i] if i else 77, r'1 of \d+ entries count as nothing: category_id 77 is not in .*gt.json '
                                         r'\(.*\); are these the results of another data set'),
    (lambda ids, i: min(ids) - 1 if ids[i] == min(ids) else ids[i] - 1, 'category_id 0 .*are the ids zero-based'),
    (lambda ids, i: 1000 + ids[i], r'all \d+ entries count as nothing: .*of another data set'),
    (lambda ids, i: str(ids[i]), 'all .* they are texts, the ids of the file are numbers'),
    (lambda ids, i: None if i == 2 else ids[i], '1 of .* category_id None')])
def test_entries_that_cannot_count_are_told(change, note, tmp_path):
    case = json.loads(json.dumps(EDGES['base']))
    for number, entry in enumerate(case['results']):
        entry['category_id'] = change([entry['category_id'] for entry in EDGES['base']['results']], number)
    evaluation = evaluate_results(*write(case, tmp_path))
    if note is None:
        assert evaluation.notes == [] and 'note' not in evaluation.table()
    else:
        assert len(evaluation.notes) == 1 and re.search(note, evaluation.notes[0])
        assert evaluation.table().endswith(f'note: {evaluation.notes[0]}')


def test_entries_beyond_the_cap_are_told(tmp_path):
    evaluation = evaluate_results(*write(EDGES['rank101'], tmp_path))
    assert len(evaluation.notes) == 1
    assert re.fullmatch(r'\d+ of \d+ entries are beyond the best 100 of their video and category and do not count for '
                        'AP.', evaluation.notes[0])


def test_videos_of_another_set_are_told(tmp_path):
    case = json.loads(json.dumps(EDGES['base']))
    for entry in case['results']:
        entry['video_id'] += 1000
    with pytest.raises(InputError, match='entry 0: video_id 10.* so it is with all .* of another set or split'):
        evaluate_results(*write(case, tmp_path))
    case['results'][0]['video_id'] -= 1000
    num = len(case['results'])
    with pytest.raises(InputError, match=rf'entry 1: .*with {num - 1} of {num} entries'):
        evaluate_results(*write(case, tmp_path))


@pytest.mark.parametrize('change, words', [
    (dict(category_id=[1]), r'entry 1: category_id must be a number or a text, not \[1\]'),
    (dict(score=10 ** 400), 'entry 1: score 1000.*is too large')])
def test_values_that_no_number_can_be_are_named(change, words, tmp_path):
    case = json.loads(json.dumps(EDGES['base']))
    case['results'][1].update(change)
    with pytest.raises(InputError, match=words):
        evaluate_results(*write(case, tmp_path))


def test_every_edge_case_that_fails_officially_is_tested():
    assert set(BAD) | {'empty_list'} == {name for name, case in EDGES.items() if case['stats'] is None}


@pytest.mark.parametrize('name', BAD)
def test_bad_input_is_named(name, tmp_path, backend):
    with pytest.raises(ValueError, match=BAD[name]):
        evaluate_results(*write(EDGES[name], tmp_path))


@pytest.mark.parametrize('name', [name for name, case in EDGES.items() if case.get('ovis')])
def test_edge_cases_of_ovis(name, tmp_path):
    expected, files = EDGES[name]['ovis'], write(EDGES[name], tmp_path)
    if expected['stats']:
        np.testing.assert_allclose(list(evaluate_results(*files, Rules('ovis')).stats.values()), expected['stats'],
                                   rtol=0, atol=1e-12)
    else:
        words = {
            'ovis_null_levels': 'annotation 6: occlusion must be',
            'ovis_no_key': 'annotation 1: occlusion must be',
            'ovis_short': 'has 3 frames and the annotation 4'
        }
        with pytest.raises(ValueError, match=words[name]):
            evaluate_results(*files, Rules('ovis'))


@pytest.mark.parametrize('change, words', [
    (dict(size=[8]), r'size of segmentations must be \[height, width\], not \[8\]'),
    (dict(size=['8', 10]), 'size of segmentations must be'), (dict(counts='ä'), 'are no compressed RLE'),
    (dict(counts='~'), 'are not a compressed RLE string'), (dict(counts=''), 'cover 0 pixels'),
    (dict(counts='5N`2'), 'hold a run of negative length')])
def test_damaged_rles_are_named(change, words, tmp_path, backend):
    case = json.loads(json.dumps(EDGES['base']))
    case['results'][0]['segmentations'][1].update(change)
    with pytest.raises(ValueError, match=f'video 1, category 1, frame 1: .*{words}'):
        evaluate_results(*write(case, tmp_path))


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / 'gt.json').write_text('{"videos": [')
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        evaluate_results(tmp_path / 'nowhere.json', tmp_path / 'gt.json')
    with pytest.raises(ValueError, match='gt.json: not a JSON file'):
        evaluate_results([], tmp_path / 'gt.json')
    (tmp_path / 'gt.json').write_text(json.dumps(dict(EDGES['base']['gt'], annotations=[])))
    with pytest.raises(ValueError, match='no annotations'):
        evaluate_results([], tmp_path / 'gt.json')
    with pytest.raises(ValueError, match="benchmark is 'coco'"):
        Rules('coco')
