"""Reading results files of any size."""
import json
import tracemalloc

import pytest

from mmvis.errors import InputFileError
from mmvis.evaluation.results_reader import BrokenResults, iterate_results

ODD = [{'a': '\\"]}[{,', 'b': [None, True, -1.5e-3, {}]}, [], 12, -0.25, 'x\u00e9\u4e2d"', None, 1234567,
       {'c': 'z' * 300}]


@pytest.mark.parametrize('chunk', [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize('indent', [None, 1])
def test_gives_what_json_load_gives_wherever_the_chunks_end(tmp_path, chunk, indent):
    path = tmp_path / 'r.json'
    path.write_text(json.dumps(ODD, ensure_ascii=False, indent=indent), encoding='utf-8')
    assert list(iterate_results(path, chunk_bytes=chunk)) == ODD
    path.write_text('  [ ]\n')
    assert list(iterate_results(path, chunk_bytes=chunk)) == []


@pytest.mark.parametrize('chunk', [1, 1 << 20])
@pytest.mark.parametrize('text, sentence', [
    ('', 'is empty'), ('{"a": 1}', "starts with '{'"), ('[{"a": 1}', 'comma or the end.*cut short'),
    ('[{"a": 1}, {"b', 'entry 1.*cut short'), ('[{"a": 1},]', 'comma behind the last'), ('[1 2]', 'behind entry 0'),
    ('[{"a" 1}]', 'entry 0'), ('[1] x', 'more behind the end'), ('\ufeff[]', 'byte order mark'), ('[nul]', 'entry 0')])
def test_broken_files_cost_one_sentence(tmp_path, text, sentence, chunk):
    path = tmp_path / 'r.json'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=sentence) as error:
        list(iterate_results(path, chunk_bytes=chunk))
    assert str(path) in str(error.value)


def test_a_number_of_too_many_digits(tmp_path):
    (tmp_path / 'r.json').write_text('[1, ' + '7' * 5000 + ']')
    with pytest.raises(BrokenResults, match='entry 1: Exceeds the limit'):
        list(iterate_results(tmp_path / 'r.json'))


def test_no_file_and_no_utf8(tmp_path):
    with pytest.raises(InputFileError, match='this is a folder'):
        list(iterate_results(tmp_path))
    with pytest.raises(FileNotFoundError, match='no such file'):
        list(iterate_results(tmp_path / 'none.json'))
    (tmp_path / 'r.json').write_bytes(b'["\xff"]')
    with pytest.raises(ValueError, match='not UTF-8'):
        list(iterate_results(tmp_path / 'r.json'))


def test_memory_is_that_of_one_entry_and_a_broken_start_is_found_at_once(tmp_path):
    path = tmp_path / 'r.json'
    entry = json.dumps({'video_id': 1, 'segmentations': [{'size': [720, 1280], 'counts': 'Xab\\0' * 500}] * 40})
    with open(path, 'w') as file:  # 40 MB
        file.write('[' + ', '.join([entry] * 480) + ']')
    assert path.stat().st_size > 40e6
    tracemalloc.start()
    assert sum(1 for _ in iterate_results(path)) == 480
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
    with open(path, 'r+b') as file:
        file.write(b'[x')
    tracemalloc.start()
    with pytest.raises(ValueError, match='entry 0'):
        list(iterate_results(path))
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()
