"""What an input must be before it is opened."""
import os

import pytest

from mmvis.annotations import read_json
from mmvis.errors import InputFileError, InputMissingError
from mmvis.evaluation import official_pickle
from mmvis.evaluation.results_reader import iterate_results
from mmvis.structures.input_file import check_regular_file


def read_results(path):
    return list(iterate_results(path))


@pytest.mark.parametrize('read', [read_json, read_results, official_pickle.read])
def test_pipes_devices_and_folders_are_refused_before_they_are_opened(tmp_path, read):
    os.mkfifo(tmp_path / 'pipe')
    for path, kind in ((tmp_path / 'pipe', 'no regular file'), ('/dev/zero', 'no regular file'), (tmp_path, 'a folder')):
        with pytest.raises(InputFileError, match=f'{path}: .* is needed, this is {kind}'):
            read(path)
    with pytest.raises(InputMissingError, match='x.json: there is no such file'):
        read(tmp_path / 'x.json')
    with pytest.raises(InputFileError, match='File name too long'):
        read(tmp_path / ('a' * 5000))


def test_a_link_to_a_file_is_one(tmp_path):
    (tmp_path / 'file').write_text('[]')
    (tmp_path / 'link').symlink_to('file')
    check_regular_file(tmp_path / 'link', 'a JSON file')
    assert read_json(tmp_path / 'link') == read_results(tmp_path / 'link') == []
