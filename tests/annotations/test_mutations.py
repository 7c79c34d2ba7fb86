"""Thousands of spoilt annotation files: each is read as a plain reader reads it, or refused in a sentence that names
what was spoilt."""
import copy
import json
import random
import re
import string

import numpy as np
import pytest
from helpers.plain_annotations import Malformed, read_plainly
from pycocotools import mask as coco_mask

from mmvis.annotations import parse_json, read_content
from mmvis.annotations.index import AnnotationIndex, _as_arrays
from mmvis.errors import InputError
from mmvis.evaluation import ground_truth

PATH = 'some/where.json'
NUM_FILES = 3000
WEIRD = [None, True, False, 0, -1, 1, 7.0, 0.5, 2**31, 2**32, 2**63, 2**70, 10**30, 10**400, 1e308, -1e308, 1e-320,
         float('nan'), float('inf'), -float('inf'), '', '0', '7', 'abc', "b'abc'", '\ud800', '\udce9', 'é', '\x00',
         '\x1b[31m', 'a' * 5000, '../../etc/passwd', '/etc/passwd', 'PPPPPPPP', 'oooooooooooo', [], {}, [[]], [None],
         [[[]]], [1, 2], {'a': 1}, [0], [-1, 97], [96], [10**9, 10**9], [2**62] * 4, [[1e8, 3, -1e8, 9, 5, 1e8]],
         [[1, 1, 7, 1, 7, 7]], [[1, 1, 7, 1, 7]], [[float('nan')] * 8], {'size': [8, 12], 'counts': [0, 96]},
         {'size': [8, 12], 'counts': ''}, {'size': None, 'counts': None}, 'severe_occlusion', 10**10]


def make_file():
    """Two videos of 8 x 12, four objects: runs as a string and as a list, polygons, frames without a mask."""
    def rle(x, y, w, h, as_text):
        mask = np.zeros((8, 12), np.uint8, order='F')
        mask[y:y + h, x:x + w] = 1
        if as_text:
            return dict(size=[8, 12], counts=coco_mask.encode(mask)['counts'].decode())
        flat = mask.reshape(-1, order='F')
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
        return dict(size=[8, 12], counts=np.diff(np.concatenate([[0], edges, [96]])).tolist())

    def track(number, video_id, category_id, kind, frames, **more):
        boxes = [None if t == 1 else [1 + t, 2, 5, 4] for t in range(frames)]
        masks = [box and ([[x, 2, x + 5, 2, x + 5, 6, x, 6]] if kind == 'polygon' else rle(*box, kind == 'text'))
                 for box in boxes for x in [box[0] if box else 0]]
        return dict(id=number, video_id=video_id, category_id=category_id, iscrowd=0, segmentations=masks, bboxes=boxes,
                    areas=[box and 20 for box in boxes], **more)

    videos = [dict(id=10 * (v + 1), height=8, width=12, length=3 - v, file_names=[f'v{v}/{t}.jpg' for t in range(3 - v)])
              for v in range(2)]
    del videos[1]['length']
    objects = [track(101, 10, 3, 'text', 3, occlusion=['no_occlusion', None, 'severe_occlusion']),
               track(102, 10, 7, 'list', 3, height=8), track(103, 20, 3, 'polygon', 2), track(104, 20, 9, 'text', 2)]
    objects[3]['iscrowd'] = 1
    return dict(info=dict(year=2026), videos=videos, annotations=objects,
                categories=[dict(id=3, name='cat', supercategory='x'), dict(id=7, name='dog'), dict(id=9, name='cow')])


def choose_path(data, rng):
    path, value = [], data
    while isinstance(value, (dict, list)) and value and (not path or rng.random() > 0.12):
        path.append(rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value)))
        value = value[path[-1]]
    return path


def spoil(data, rng):
    """Change one thing of a file in place; returns its path."""
    while True:
        path = choose_path(data, rng)
        parent = data
        for step in path[:-1]:
            parent = parent[step]
        key, value = path[-1], parent[path[-1]]
        kind = rng.choice(['weird'] * 4 + ['delete', 'twice', 'swap', 'number', 'text', 'wrap', 'nest', 'rename', 'add'])
        is_number = type(value) in (int, float)
        if kind == 'weird':
            parent[key] = copy.deepcopy(rng.choice(WEIRD))
        elif kind == 'delete':
            del parent[key]
        elif kind == 'twice' and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(value))
        elif kind == 'swap' and isinstance(parent, list):
            other = rng.randrange(len(parent))
            parent[key], parent[other] = parent[other], parent[key]
        elif kind == 'number' and is_number:
            parent[key] = rng.choice([value + 1, value - 1, -value, 2 * value, float(value), value + 0.5, str(value)])
        elif kind == 'text' and isinstance(value, str) and value:
            place = rng.randrange(len(value))
            parent[key] = value[:place] + rng.choice(['', *string.printable, '\x00', 'é', '\ud800']) + value[place + 1:]
        elif kind == 'wrap':
            parent[key] = rng.choice([[value], {'x': value}, str(value), bool(value)])
        elif kind == 'nest':
            for _ in range(rng.choice([3, 50, 400])):
                parent[key] = [parent[key]]
        elif kind == 'rename' and isinstance(parent, dict):
            parent[str(key) + 'x'] = parent.pop(key)
        elif kind == 'add' and isinstance(value, (dict, list)):
            if isinstance(value, list):
                path.append(rng.randrange(len(value) + 1))
                value.insert(path[-1], copy.deepcopy(rng.choice(WEIRD)))
            else:
                path.append(rng.choice(['id', 'size', 'counts', 'x', 'bboxes', 'iscrowd']))
                value[path[-1]] = copy.deepcopy(rng.choice(WEIRD))
        else:
            continue
        return path


def read_for_training(data):
    """As ``read_plainly``, with the reader of the project."""
    meta, arrays = _as_arrays(read_content(data, PATH))
    index = AnnotationIndex(dict(meta, ann_file=PATH), **arrays)
    ids = [record['id'] for record in data.get('annotations') or []]
    found = {}
    for v, video_id in enumerate(meta['video_ids']):
        for t, name in enumerate(index.video(v).file_names):
            entries = index.entries(v, t)
            found[video_id, t] = [name]
            for entry, mask in zip(entries, index.masks(v, entries)):
                owner = index.entry_objects[entry]
                found[video_id, t].append(
                    (ids[owner], meta['categories'][index.object_categories[owner]][0],
                     bool(index.object_crowd[owner]), tuple(index.entry_boxes[entry]), mask.tobytes()))
                assert np.isfinite(index.entry_boxes[entry]).all()
    return found


def read_for_evaluation(data):
    content = read_content(data, PATH, for_evaluation=True)
    truth = ground_truth._from_arrays(PATH, *ground_truth._as_arrays(content))
    found = {(video_id, t): [None] for video_id, video in truth.videos.items() for t in range(min(video.num_frames, 100))}
    masks, ids = truth.masks, [record['id'] for record in data['annotations']]
    for video_id, video in truth.videos.items():
        for g in np.argsort([ids.index(track_id) for track_id in video.track_ids]):
            first, last = masks.frames[video.tracks[g]:video.tracks[g] + 2]
            for t, m in enumerate(range(first, last)):
                if masks.heights[m] < 0:
                    assert masks.pixels[m] == 0
                    continue
                flat = np.zeros(masks.heights[m] * masks.widths[m], np.uint8)
                for start, end in masks.spans[masks.starts[m]:masks.starts[m + 1]]:
                    flat[start:end] = 1
                assert flat.sum() == masks.pixels[m] > 0
                area = content.areas[m]
                found[video_id, t].append(
                    (video.track_ids[g], truth.category_ids[video.categories[g]], bool(video.crowd[g]),
                     0 if np.isnan(area) else area,
                     flat.reshape(masks.widths[m], masks.heights[m]).T.tobytes()))
    return found


def is_far(value):
    """Whether a polygon leaves the frame so far that ``read_plainly`` does not draw it."""
    if isinstance(value, dict):
        return any(map(is_far, value.values()))
    return isinstance(value, list) and any(is_far(x) or (type(x) in (int, float) and abs(x) > 1000) for x in value)


def names_of(path, before, after):
    """Which words a sentence may name a spoilt record and its field by: sets, of each of which one must be there."""
    words = [{PATH}]
    if len(path) == 1:
        return words + [{str(path[0])}]
    kind = {'videos': 'video', 'annotations': 'annotation', 'categories': 'categor'}[path[0]]
    ids = {repr(found[path[0]][path[1]].get('id')) for found in (before, after)
           if path[1] < len(found[path[0]]) and isinstance(found[path[0]][path[1]], dict)}
    own = {f'{word} {path[1] + further}' for word in ('number', 'and') for further in (0, 1)}
    own |= {f'{kind} {value}' for value in ids} | {f'{kind}y {value}' for value in ids}
    if path[0] != 'annotations':
        # An object that refers to it, or a second of the same id.
        own |= {f'{kind}y_id {value} is not' for value in ids} | {f'{kind}_id {value} is not' for value in ids}
        own |= {f'same id, {value}' for value in ids} | {path[0]}
    fields = [step for step in path[2:] if isinstance(step, str)]
    if fields == ['video_id']:
        fields.append('but the video has')    # another video, which is as long as it is
    # Where a whole record has changed, it is named by its kind.
    return words + [own, {*fields, 'the ids of'} if fields else {path[0], kind, f'{kind}y'}]


def check(read, path, before, after, for_evaluation):
    try:
        expected = read_plainly(after, for_evaluation)
    except Malformed:
        expected = None
    try:
        found = read(after)
    except InputError as error:
        sentence = str(error)
        assert expected is None, f'refused without a reason: {sentence}'
        assert '\n' not in sentence and len(sentence) < 700 and sentence.isprintable()
        for words in names_of(path, before, after):
            assert any(word in sentence for word in words), (words, sentence)
        return False
    assert expected is not None, 'accepted'
    assert found.keys() == expected.keys()
    if not is_far([record.get('segmentations') for record in after.get('annotations') or []]):
        for key in found:
            assert len(found[key]) == len(expected[key])
            for own, plain in zip(found[key], expected[key]):
                assert own == plain or (own[3] is not None and plain[3] is None and own[:3] == plain[:3])
    return True


@pytest.mark.parametrize('seed', range(6))
def test_spoilt_files_are_read_plainly_or_refused_with_reason(seed):
    rng, whole = random.Random(seed), make_file()
    accepted = 0
    for number in range(NUM_FILES // 6):
        data = copy.deepcopy(whole)
        path = spoil(data, rng)
        try:
            data = parse_json(json.dumps(data).encode(), PATH)
            accepted += check(read_for_training, path, whole, data, False)
            check(read_for_evaluation, path, whole, data, True)
        except Exception as error:
            raise AssertionError(f'file {number} of seed {seed}, {path}: {error!r}') from error
    assert 0.1 < accepted / (NUM_FILES // 6) < 0.6, 'both kinds must be there'


def test_the_whole_file_is_accepted():
    whole = make_file()
    for read, for_evaluation in ((read_for_training, False), (read_for_evaluation, True)):
        assert check(read, ['info'], whole, whole, for_evaluation)
        assert sum(len(objects) - 1 for objects in read(whole).values()) == 6


@pytest.mark.parametrize('seed', range(3))
def test_spoilt_bytes_are_refused_or_leave_the_objects_as_they_are(seed):
    rng = random.Random(seed)
    text = json.dumps(make_file()).encode()
    for _ in range(150):
        place = rng.randrange(len(text))
        data = rng.choice([text[:place], b'\xef\xbb\xbf' + text, text + text, text[:place] + b'\xff' + text[place:],
                           text[:place] + rng.choice(b'{}[]",:0e-\\\x00').to_bytes(1, 'big') + text[place + 1:]])
        try:
            content = read_content(parse_json(data, PATH), PATH)
        except InputError as error:
            assert str(error).startswith(PATH) and '\n' not in str(error)
            continue
        assert len(content.object_ids) in (0, 4) and re.match(b'\xef\xbb\xbf|{', data)


@pytest.mark.parametrize('text', [b'[' * 100000, b'{"videos": ' + b'[' * 100000 + b']' * 100000 + b'}'])
def test_a_file_nested_without_end(text):
    with pytest.raises(InputError, match=f'{PATH}: not a JSON file that can be read: it is nested too deeply'):
        parse_json(text, PATH)
