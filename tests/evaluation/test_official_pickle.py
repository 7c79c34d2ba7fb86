"""Pickles of the original test tools that are damaged, hostile or of another thing: one sentence, nothing executes."""
import io
import os
import pickle
import random
import re
import resource

import numpy as np
import pytest

from mmvis.errors import InputError, InputFileError, InputMissingError
from mmvis.evaluation import official_pickle

VIDEOS = [(7, 2), (9, 1)]


def frames(score=0.5, dtype=np.float32):
    box = np.array([1, 2, 3, 4, score], dtype)
    rle = {'size': [2, 2], 'counts': b'04'}
    return [({1: {'bbox': box, 'label': np.int64(1)}, 4: {'bbox': box, 'label': 0}}, {1: rle, 4: dict(rle)}),
            ({}, [[], []]), ({2: {'bbox': box, 'label': 1}}, {2: rle})]


def refused(path, content):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    with pytest.raises(InputError) as caught:
        official_pickle.read(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('dtype', ['<f4', '>f4', '<f8', '<f2'])
@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4])
def test_arrays_and_scalars_are_read_as_numbers(tmp_path, dtype, protocol):
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps(frames(0.25, dtype), protocol=protocol))
    read = official_pickle.read(tmp_path / 'x.pkl')
    assert read[0][0] == {1: {'bbox': [1, 2, 3, 4, 0.25], 'label': 1}, 4: {'bbox': [1, 2, 3, 4, 0.25], 'label': 0}}
    assert read[0][1][1] == {'size': [2, 2], 'counts': b'04'} and read[1] == ({}, [[], []])
    entries = official_pickle.to_results(read, VIDEOS, [3, 5])
    assert [(entry['video_id'], entry['category_id'], entry['score']) for entry in entries] == [
        (7, 5, 0.25), (7, 3, 0.25), (9, 5, 0.25)]
    assert entries[0]['segmentations'] == [{'size': [2, 2], 'counts': '04'}, None]


def changed(change):
    content = frames()
    change(*content[0])
    return content


@pytest.mark.parametrize('content, said', [
    (changed(lambda boxes, segms: segms.pop(4)), 'track 4: the mask has no size'),
    (changed(lambda boxes, segms: boxes.update({None: boxes[1]})), 'the track None is no number'),
    (changed(lambda boxes, segms: boxes[1].update(bbox=boxes[1]['bbox'][:4])), 'track 1: bbox is not x1 y1 x2 y2 score'),
    (changed(lambda boxes, segms: boxes[1].update(bbox=boxes[1]['bbox'] * np.nan)), 'track 1: bbox is not'),
    (changed(lambda boxes, segms: boxes[1].update(label='car')), 'track 1: label is car, not a number'),
    (changed(lambda boxes, segms: boxes.update({1: 7})), 'track 1: bbox is not'),
    (changed(lambda boxes, segms: segms[1].update(size=[2.5, 2])), 'track 1: the mask has no size'),
    (changed(lambda boxes, segms: segms[1].update(counts=[0, 4])), 'track 1: the counts of the mask are no run lengths'),
    (changed(lambda boxes, segms: segms[1].update(counts=b'\xff')), 'track 1: the counts'),
    ([([], [])], 'the boxes are a list, not a dict'), ([({1: {}}, [])], 'the masks are a list, not a dict'),
    ([1, 2], 'a list of (boxes, masks), one per frame, is expected'), ({'a': 1}, 'a list of (boxes, masks)')])
def test_a_frame_that_no_tool_has_written_is_told(tmp_path, content, said):
    assert said in refused(tmp_path / 'x.pkl', content)


def test_a_label_without_a_class():
    content = frames()
    content[2][0][2]['label'] = 40
    with pytest.raises(InputError, match='has the label 40 .video 9, track 2., but the dataset has 2 classes'):
        official_pickle.to_results(content, VIDEOS, [3, 5])


def test_what_is_no_file(tmp_path):
    with pytest.raises(InputMissingError, match='x.pkl: there is no such file'):
        official_pickle.read(tmp_path / 'x.pkl')
    with pytest.raises(InputFileError, match='a pickle of results is needed, this is a folder'):
        official_pickle.read(tmp_path)


class Call:
    """Calls something when it is unpickled."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments, *([] if state is None else [state]))

    def __reduce__(self):
        return self.parts


def test_nothing_executes(tmp_path):
    made = str(tmp_path / 'made')
    for hostile in (Call(os.system, f'touch {made}'), Call(open, made, 'w'), Call(eval, f'open({made!r}, "w")'),
                    Call(getattr, 'text', 'upper'), Call(np.load, made), Call(np.dtype, 'O'), Call(io.FileIO, made, 'w')):
        assert 'is not a results pickle' in refused(tmp_path / 'x.pkl', [hostile])
        assert 'is not a results pickle' in refused(tmp_path / 'x.pkl', [({hostile: 1}, {})])
    assert not os.path.exists(made)


def test_a_few_bytes_do_not_take_the_memory_of_the_machine(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb in (b'\x80\x04Nr' + (2**27).to_bytes(4, 'little') + b'.',   # stored under a high number
                 b'\x80\x05\x96' + (2**31).to_bytes(8, 'little') + b'.',  # a bytearray of 2 GB
                 b'\x80\x04\x8e' + (2**62).to_bytes(8, 'little') + b'.'):  # bytes
        refused(tmp_path / 'x.pkl', bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_three_hundred_changed_files(tmp_path):
    """Each is refused in a sentence with the file's name, or gives entries that are of the right types."""
    rng = random.Random(0)
    path, outcomes = tmp_path / 'x.pkl', []
    for _ in range(300):
        content = bytearray(pickle.dumps(frames(), protocol=rng.choice([0, 2, 3, 4])))
        for _ in range(rng.choice([1, 1, 2, 4])):
            at = rng.randrange(len(content))
            if rng.random() < 0.7:
                content[at] = rng.choice([rng.randrange(256), *b'(.0NIR)}]tqhbcosrje'])
            elif rng.random() < 0.5:
                del content[at:at + rng.randrange(1, 9)]
            else:
                content[at:at] = content[at - rng.randrange(1, 30):at]
        path.write_bytes(content)
        try:
            read = official_pickle.read(path)
            entries = official_pickle.to_results(read, VIDEOS, [3, 5])
        except InputError as error:
            assert '\n' not in str(error) and re.search(f'{re.escape(str(path))}|[Tt]he pickle', str(error))
            outcomes.append('refused')
        else:
            assert all(type(entry['score']) is float and entry['category_id'] in (3, 5) for entry in entries)
            outcomes.append('read')
    assert outcomes.count('refused') > 100 and outcomes.count('read') > 10
