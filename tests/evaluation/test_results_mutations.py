"""Hundreds of spoilt results files: checked, mended, evaluated, and never a traceback."""
import copy
import json
import random

import numpy as np
import pytest

from mmvis.errors import InputError
from mmvis.evaluation import Evaluator
from mmvis.evaluation.results_check import check_results, load_target
from mmvis.structures import encode_mask

NUM_FILES = 250
WEIRD = [None, True, False, 0, -1, 1, 2 ** 31, 2 ** 32, 2 ** 64, 10 ** 30, 10 ** 400, -2 ** 63, 1e308, -1e308, 1e-320,
         7.0, 0.5, float('nan'), float('inf'), -float('inf'), '', '0', '3', '0.9', 'abc', '\ud800', '\x00', '\x1b[2J',
         'a' * 5000, [], {}, [[]], [None], [[[]]], {'a': 1}, [[1e9] * 8], [[float('nan')] * 8], [[10 ** 400] * 6],
         {'size': [1, 1], 'counts': '0'}, {'size': None, 'counts': None},
         {'size': [65536, 65536], 'counts': [0, 2 ** 32]}, {'size': [65535, 65535], 'counts': [0, 65535 ** 2]},
         {'size': [6, 9], 'counts': [54]}, "b'abc'", 'PPPPPP', 'oooooo',
         {'size': [6, 9], 'counts': '\u20ac'}, [0], [-1, 5]]
SIZE = (6, 9)


def make_files(folder):
    def track(fill):
        mask = np.zeros(SIZE, np.uint8)
        mask[1:4, 2:7] = fill
        return [encode_mask(mask), None, encode_mask(mask.T[:6, :].repeat(2, 1)[:, :9])]

    videos = [dict(id=v, height=SIZE[0], width=SIZE[1], length=3, file_names=[f'{v}/{t}.jpg' for t in range(3)])
              for v in (3, 5)]
    annotations = [dict(id=i + 1, video_id=v, category_id=i + 1, iscrowd=0, areas=[15, None, 12], bboxes=[None] * 3,
                        segmentations=track(1)) for i, v in enumerate((3, 5))]
    for annotation in annotations:
        annotation['bboxes'] = [None if rle is None else [2, 1, 5, 3] for rle in annotation['segmentations']]
    (folder / 'gt.json').write_text(json.dumps(dict(
        videos=videos, annotations=annotations, categories=[dict(id=1, name='a'), dict(id=2, name='b')])))
    return [dict(video_id=v, score=0.5 + 0.1 * i, category_id=1 + i % 2, segmentations=track(i < 3))
            for i, v in enumerate((3, 3, 5, 5))]


def spoil(data, rng):
    """Change one place anywhere in a document."""
    parent, key = None, None
    value = data
    while isinstance(value, (dict, list)) and value and (parent is None or rng.random() > 0.12):
        parent, key = value, rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        value = parent[key]
    kind = rng.choice(['weird'] * 4 + ['remove', 'repeat', 'number', 'text', 'wrap', 'nest', 'rename'])
    if kind == 'weird':
        parent[key] = copy.deepcopy(rng.choice(WEIRD))
    elif kind == 'remove':
        del parent[key]
    elif kind == 'repeat' and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(value))
    elif kind == 'number' and type(value) in (int, float):
        parent[key] = rng.choice([value + 1, -value, value * 10 ** 6, float(value), str(value), value + 0.5])
    elif kind == 'text' and isinstance(value, str) and value:
        at = rng.randrange(len(value))
        odd = chr(rng.choice([0, 10, 48, 79, 95, 111, 127, 200, 0x20ac]))
        parent[key] = rng.choice([value[:at], value[at:], value * 2, value[:at] + odd + value[at + 1:]])
    elif kind == 'wrap':
        parent[key] = rng.choice([[value], {'x': value}, str(value), bool(value)])
    elif kind == 'nest':
        for _ in range(rng.choice([3, 60, 900, 100000])):
            value = [value]
        parent[key] = value
    elif kind == 'rename' and isinstance(parent, dict):
        parent[key + 'x'] = parent.pop(key)


def as_text(data, rng):
    try:
        text = json.dumps(data)
    except RecursionError:
        text = '[' * 100000 + ']' * 100000
    chance = rng.random()
    if chance < 0.04:
        text = text[:rng.randrange(len(text))]
    elif chance < 0.08:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice('{}[]",:0e-\\\x00') + text[at + 1:]
    elif chance < 0.09:
        text = text + text
    return ('\ufeff' if chance > 0.99 else '') + text


@pytest.fixture
def quick_writing(monkeypatch):
    """None of the files need reach the disk."""
    monkeypatch.setattr('os.fsync', lambda file: None)


def test_no_spoilt_results_file_ends_in_a_traceback(tmp_path, quick_writing):
    """A sentence names the file; what is mended is not found again; what has no fault is evaluated."""
    results, path, fixed = make_files(tmp_path), tmp_path / 'results.json', tmp_path / 'fixed.json'
    target = load_target(tmp_path / 'gt.json')
    seen = dict.fromkeys(['good', 'fault', 'mended', 'refused', 'evaluated'], 0)
    for seed in range(NUM_FILES):
        rng = random.Random(seed)
        data = copy.deepcopy(results)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            if data:
                spoil(data, rng)
        path.write_bytes(as_text(data, rng).encode('utf-8', 'surrogatepass'))
        try:
            report = check_results(path, target, limit=None)
            for line in report.lines():
                line.encode('utf-8')
            seen['fault' if report.num_faults else 'good'] += 1
            if report.num_mendable:
                mended = check_results(path, target, fixed, limit=None)
                assert mended.num_mended > 0
                assert mended.is_written == ('not a JSON list' not in mended.counts)
                if mended.is_written:
                    again = check_results(fixed, target, limit=None)
                    assert again.num_mendable == 0 and again.num_faults == mended.num_faults
                    seen['mended'] += 1
        except Exception as error:
            raise AssertionError(f'seed {seed}: {path.read_bytes()[:300]}') from error
        try:
            evaluator = Evaluator(path, tmp_path / 'gt.json')
            for scores in evaluator.evaluate(per_video=True), evaluator.tracking(), evaluator.errors():
                assert scores.table()
            seen['evaluated'] += 1
        except InputError as error:
            assert report.num_faults or report.num_mendable, (seed, error)
            assert str(error) and '\n' not in str(error)
            seen['refused'] += 1
        except Exception as error:
            raise AssertionError(f'seed {seed}: {path.read_bytes()[:300]}') from error
    assert min(seen.values()) > 25, seen
