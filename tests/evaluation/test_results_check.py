"""Results files that a server would reject, hang on, or count as nothing; and what --fix makes of them."""
import copy
import dataclasses
import errno
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvis.errors import InputError, InputFileError
from mmvis.evaluation.results_check import Target, TargetVideo, check_results, load_target
from mmvis.structures import decode_rle, encode_mask

EDGES = json.loads(gzip.decompress((Path(__file__).parents[1] / 'golden' / 'eval' / 'edges.json.gz').read_bytes()))
SIZE = (6, 9)
TARGET = Target({3: TargetVideo(*SIZE, 3), 5: TargetVideo(*SIZE, 2)}, {1: 'a', 2: 'b'}, 'valid.json')

#: The cases that the official code rejects or hangs on, or whose entries it leaves out: kind of the one finding.
FAULTY_EDGES = {
    'unknown_video': 'unknown video', 'string_video': 'video_id no integer', 'empty_list': 'empty list',
    'dict_results': 'not a JSON list', 'short_pred': 'wrong length', 'long_pred': 'wrong length',
    'size_swapped': 'wrong size', 'size_swapped_one': 'wrong size', 'size_half': 'wrong size',
    'unknown_category': 'unknown category', 'zero_based_category': 'unknown category',
    'string_category': 'category_id no integer', 'missing_score': 'score missing', 'string_score': 'score a string',
    'nan_score': 'score not finite', 'missing_category': 'category_id missing',
    'missing_segm_first': 'segmentations missing', 'missing_segm_second': 'segmentations missing',
    'polygon_result': 'other spelling of an RLE', 'uncompressed_result': 'other spelling of an RLE',
    'short_counts': 'counts do not fill', 'ovis_short': 'wrong length'}


def make_mask(fill=1):
    mask = np.zeros(SIZE, np.uint8)
    mask[1:4, 2:7] = fill
    return mask


def make_results():
    rle = encode_mask(make_mask())
    return [{'video_id': 3, 'score': 0.5, 'category_id': 1, 'segmentations': [rle, None, dict(rle)]},
            {'video_id': 5, 'score': 0.25, 'category_id': 2, 'segmentations': [None, dict(rle)]}]


def check(tmp_path, results, target=TARGET, fix=False, **kwargs):
    path = tmp_path / 'results.json'
    path.write_text(results if isinstance(results, str) else json.dumps(results))
    return check_results(path, target, tmp_path / 'fixed.json' if fix else None, **kwargs)


def kinds(report):
    return sorted({finding.kind for finding in report.findings if finding.is_fault})


@pytest.mark.parametrize('name', EDGES)
def test_edge_cases_of_the_official_code(tmp_path, name):
    (tmp_path / 'gt.json').write_text(json.dumps(EDGES[name]['gt']))
    report = check(tmp_path, EDGES[name]['results'], load_target(tmp_path / 'gt.json'))
    assert kinds(report) == ([FAULTY_EDGES[name]] if name in FAULTY_EDGES else [])


def test_a_good_file_has_no_finding_and_fix_changes_nothing(tmp_path):
    assert not check(tmp_path, make_results()).findings
    report = check(tmp_path, make_results(), fix=True)
    assert (report.num_entries, report.num_masks, report.num_mended) == (2, 3, 0)
    assert json.loads((tmp_path / 'fixed.json').read_text()) == make_results()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['fixed.json', 'results.json']


def spoil(change):
    results = make_results()
    change(results)
    return results


RUNS = [13, 3] + [3, 3] * 4 + [14]  # of make_mask, column by column
MENDABLE = {
    'video "3"': lambda r: r[0].update(video_id='3'),
    'video 3.0': lambda r: r[0].update(video_id=3.0),
    'category "1"': lambda r: r[0].update(category_id='1'),
    'category 1.0': lambda r: r[0].update(category_id=1.0),
    'score "0.5"': lambda r: r[0].update(score='0.5'),
    'list of runs': lambda r: r[0]['segmentations'][0].update(counts=RUNS),
    'bytes': lambda r: r[0]['segmentations'][0].update(counts=str(r[0]['segmentations'][0]['counts'].encode())),
    'float size': lambda r: r[0]['segmentations'][0].update(size=[6.0, 9]),
    'polygon': lambda r: r[0]['segmentations'].__setitem__(0, [[2, 1, 7, 1, 7, 4, 2, 4]]),
    'empty object': lambda r: r[0]['segmentations'].__setitem__(1, {}),
    'empty mask': lambda r: r[0]['segmentations'].__setitem__(1, encode_mask(make_mask(0))),
    'null behind the end': lambda r: r[0]['segmentations'].extend([None, encode_mask(make_mask(0))])}


@pytest.mark.parametrize('name', MENDABLE)
def test_fix_mends_what_has_one_reading(tmp_path, name):
    spoilt = spoil(MENDABLE[name])
    before = check(tmp_path, spoilt)
    assert before.num_mendable == 1 and before.findings[0].is_mendable and '--fix mends it' in next(before.lines())
    assert before.findings[0].sentence.startswith('entry 0: ')
    report = check(tmp_path, spoilt, fix=True)
    assert report.num_mended == 1 and report.num_emptied == (name == 'empty mask') and report.is_written
    assert [finding.kind for finding in report.findings] == ['empty masks'] * report.num_emptied
    mended = json.loads((tmp_path / 'fixed.json').read_text())
    np.testing.assert_array_equal(decode_rle(mended[0]['segmentations'][0]), make_mask())
    mended[0]['segmentations'][0] = make_results()[0]['segmentations'][0]
    assert mended == make_results() and type(mended[0]['video_id']) is type(mended[0]['category_id']) is int


def test_integer_scores_become_floats(tmp_path):
    report = check(tmp_path, spoil(lambda r: r[0].update(score=1)), fix=True)
    assert report.num_mended == 1 and '"score": 1.0' in (tmp_path / 'fixed.json').read_text()


def replace_counts(counts):
    return lambda r: r[0]['segmentations'][0].update(counts=counts)


def wrap_counts(text):
    return coco_mask.frPyObjects({'size': [sum(text), 1], 'counts': text}, sum(text), 1)['counts'].decode()


UNMENDABLE = {
    'no object': lambda r: r.__setitem__(0, 7),
    'video_id missing': lambda r: r[0].pop('video_id'),
    'unknown video': lambda r: r[0].update(video_id=True),
    'unknown category': lambda r: r[0].update(category_id=None),
    'score no number': lambda r: r[0].update(score=None),
    'score not finite': lambda r: r[0].update(score=float('inf')),
    'bboxes': lambda r: r[0].update(bboxes=None),
    'segmentations no list': lambda r: r[0].update(segmentations=None),
    'wrong length': lambda r: r[0]['segmentations'].pop(),
    'wrong size': lambda r: r[0].update(segmentations=[encode_mask(make_mask().T), None, None]),
    'no RLE': lambda r: r[0]['segmentations'].__setitem__(0, 'mask.png'),
    'counts no RLE': replace_counts('\x7f\x7f'),
    'counts do not fill': replace_counts(wrap_counts([10, 10]))}


@pytest.mark.parametrize('kind', UNMENDABLE)
def test_what_would_be_a_guess_is_told_and_left(tmp_path, kind):
    spoilt = spoil(UNMENDABLE[kind])
    for fix in (False, True):
        report = check(tmp_path, copy.deepcopy(spoilt), fix=fix)
        assert kinds(report) == [kind] and report.num_faults == 1 and report.num_mended == report.num_mendable == 0
        assert report.findings[0].sentence.startswith('entry 0: ')
    assert json.loads((tmp_path / 'fixed.json').read_text()) == spoilt


@pytest.mark.parametrize('frame, sentence', [
    ({'size': [6, 9]}, r'segmentations\[0\] has no counts'), ({'counts': 'a'}, 'has no size'),
    ({'size': [6], 'counts': 'a'}, 'size is'), ({'size': [0, 9], 'counts': 'a'}, 'size is'),
    ({'size': ['6', '9'], 'counts': 'a'}, 'size is'), ({'size': [6, 10 ** 9], 'counts': 'a'}, 'size is'),
    ({'size': [6, 9], 'counts': [5, 5]}, 'do not fill'), ({'size': [6, 9], 'counts': [60, -6]}, 'do not fill'),
    ({'size': [6, 9], 'counts': 7}, 'counts is 7'), ({'size': [6, 9], 'counts': "b'x"}, 'counts is'),
    ([[1, 2, 3]], 'polygons'), ([[0, 0, 1e9, 0, 1e9, 1e9]], 'polygons'), ([1, 2], 'is'), (5, 'is 5')])
def test_frames_that_are_no_rle(tmp_path, frame, sentence):
    report = check(tmp_path, spoil(lambda r: r[0]['segmentations'].__setitem__(0, frame)), fix=True)
    assert kinds(report) == ['no RLE']
    assert re.search(sentence, report.findings[0].sentence)


def test_keys_given_twice_are_told(tmp_path):
    text = json.dumps(make_results()).replace('"score": 0.5', '"score": 0.9, "score": 0.5')
    report = check(tmp_path, text)
    assert kinds(report) == ['key given twice'] and 'score is given twice' in report.findings[0].sentence


def test_notes_are_no_faults(tmp_path):
    results = make_results()
    results += [copy.deepcopy(results[0])]
    results += [dict(results[0], score=0.1 + i, segmentations=[None] * 3) for i in range(100)]
    report = check(tmp_path, results[:1] + results[2:])
    assert report.num_faults == 0
    assert set(report.counts) == {'repeated', 'no mask', 'more than 100', 'missing videos'}
    assert report.counts['no mask'] == 100 and sum(f.kind == 'no mask' for f in report.findings) == 2
    assert any('98 more' in line for line in report.lines())


def test_without_videos_the_rest_is_checked(tmp_path):
    target = Target(None, TARGET.categories, 'OVIS')
    assert not check(tmp_path, make_results(), target).findings
    report = check(tmp_path, spoil(lambda r: r[0].update(video_id='x', category_id=0)), target)
    assert kinds(report) == ['unknown category', 'unknown video'] and 'zero-based' in report.findings[1].sentence


@pytest.mark.parametrize('broken', [None, 700])
def test_large_files_take_the_compiled_way_and_find_the_same(tmp_path, broken):
    """Enough characters for several batches and for the compiled decoder."""
    rng = np.random.default_rng(0)
    rle = encode_mask((rng.random((200, 300)) < 0.5).astype(np.uint8))
    target = Target({1: TargetVideo(200, 300, 10)}, {1: 'a'}, 'valid.json')
    results = [{'video_id': 1, 'score': i / 1000, 'category_id': 1, 'segmentations': [rle] * 10} for i in range(30)]
    results[7] = copy.deepcopy(results[7])
    results[7]['segmentations'][4] = encode_mask(np.zeros((200, 300), np.uint8))
    if broken:
        results[9] = json.loads(json.dumps(results[9]))
        results[9]['segmentations'][2]['counts'] = rle['counts'][:broken]
    report = check(tmp_path, results, target, fix=True)
    assert (tmp_path / 'results.json').stat().st_size > 5e6
    assert report.num_masks == 300 and report.num_mended == 1
    assert [finding.entry for finding in report.findings] == ([9, None] if broken else [None])
    assert report.findings[-1].sentence.startswith('1 masks without a pixel have become null: AP is the same, but HOTA')
    assert json.loads((tmp_path / 'fixed.json').read_text())[7]['segmentations'][4] is None


def test_a_broken_file_leaves_no_fixed_file(tmp_path):
    report = check(tmp_path, json.dumps(make_results())[:-1], fix=True)
    assert kinds(report) == ['not a JSON list'] and [path.name for path in tmp_path.iterdir()] == ['results.json']


@pytest.mark.parametrize('content, sentence', [
    ('{', 'not a JSON file'), ('[]', r'an annotation file of YouTube-VIS is .* this is \[\]'),
    ('{"videos": [{"id": 1}], "categories": []}', "'height'")])
def test_target_files_that_are_none(tmp_path, content, sentence):
    (tmp_path / 'gt.json').write_text(content)
    with pytest.raises(ValueError, match=sentence):
        load_target(tmp_path / 'gt.json')
    with pytest.raises(FileNotFoundError, match='no such file'):
        load_target(tmp_path / 'none.json')


def test_ids_are_named_from_the_smallest_to_the_largest(tmp_path):
    target = Target(TARGET.videos, dict.fromkeys(range(1, 41), 'x'), 'valid.json')
    report = check(tmp_path, spoil(lambda r: r[0].update(category_id=99)), target)
    assert 'category_id 99 is not one of the 40 ids 1 to 40 of valid.json' in report.findings[0].sentence


@pytest.mark.parametrize('name', ['results.json', 'link.json', 'gt.json'])
def test_a_mended_file_does_not_go_over_an_input(tmp_path, name):
    (tmp_path / 'link.json').symlink_to('results.json')
    (tmp_path / 'gt.json').write_text('{}')
    (tmp_path / 'results.json').write_text(json.dumps(make_results()))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f'{name} is an input of this run'):
        check_results(tmp_path / 'results.json', dataclasses.replace(TARGET, source=str(tmp_path / 'gt.json')),
                      tmp_path / name)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_disk_that_is_full_is_no_fault_of_the_results(tmp_path, monkeypatch):
    def no_space(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    (tmp_path / 'fixed.json').write_text('old')
    monkeypatch.setattr('mmvis.evaluation.results_check._write_list', no_space)
    with pytest.raises(InputFileError, match='fixed.json cannot be written: No space left on device'):
        check(tmp_path, make_results(), fix=True)
    assert (tmp_path / 'fixed.json').read_text() == 'old' and not list(tmp_path.glob('*.tmp'))
