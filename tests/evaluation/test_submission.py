"""The zip for the servers."""
import zipfile

import pytest

from mmvis.errors import InputError
from mmvis.evaluation.submission import check_submission, write_submission


def test_zip_holds_results_json_at_its_top_whatever_the_name(tmp_path):
    text = b'[' + b'1234567890, ' * 5000 + b'1]'
    (tmp_path / 'out.pkl.json').write_bytes(text)
    write_submission(tmp_path / 'out.pkl.json', tmp_path / 'new' / 'x.zip')
    with zipfile.ZipFile(tmp_path / 'new' / 'x.zip') as archive:
        assert archive.namelist() == ['results.json'] and archive.read('results.json') == text
        assert archive.infolist()[0].compress_type == zipfile.ZIP_DEFLATED
    check_submission(tmp_path / 'new' / 'x.zip')
    first = (tmp_path / 'new' / 'x.zip').read_bytes()
    write_submission(tmp_path / 'out.pkl.json', tmp_path / 'new' / 'x.zip')
    assert (tmp_path / 'new' / 'x.zip').read_bytes() == first and len(list((tmp_path / 'new').iterdir())) == 1


def test_an_interrupted_zip_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / 'r.json').write_text('[]')
    write_submission(tmp_path / 'r.json', tmp_path / 'x.zip')
    old = (tmp_path / 'x.zip').read_bytes()
    (tmp_path / 'r.json').write_text('[1]')
    monkeypatch.setattr('os.replace', lambda *a: (_ for _ in ()).throw(OSError('full')))
    with pytest.raises(OSError):
        write_submission(tmp_path / 'r.json', tmp_path / 'x.zip')
    assert (tmp_path / 'x.zip').read_bytes() == old and len(list(tmp_path.iterdir())) == 2


def test_zips_that_the_server_does_not_understand(tmp_path):
    path = tmp_path / 'x.zip'
    with pytest.raises(FileNotFoundError, match='no such file'):
        check_submission(path)
    path.write_text('[]')
    with pytest.raises(ValueError, match='not a zip'):
        check_submission(path)
    for name in ('result.json', 'folder/results.json'):
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr(name, '[]')
        with pytest.raises(ValueError, match=f'top level, but the zip holds {name}'):
            check_submission(path)


def test_the_results_are_not_written_over(tmp_path):
    (tmp_path / 'r.json').write_text('[]')
    (tmp_path / 'x.zip').symlink_to(tmp_path / 'r.json')
    for name in ('r.json', 'x.zip'):
        with pytest.raises(InputError, match=f'{name} is an input of this run'):
            write_submission(tmp_path / 'r.json', tmp_path / name)
    assert (tmp_path / 'r.json').read_text() == '[]'
