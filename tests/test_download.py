"""Fetching checkpoints from a server on this machine, and the table of them."""
import collections
import contextlib
import errno
import functools
import hashlib
import re
import shutil
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmvis import download as module
from mmvis import model_zoo
from mmvis.download import download, model_files
from mmvis.model_zoo import find_entry, find_model, read_models, read_table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tools'))

import download_checkpoint  # noqa: E402
import list_models  # noqa: E402

CONTENT = b'PK\x03\x04' + bytes(range(256)) * 20000  # 5 MB
PAGE = b'<!DOCTYPE html><html>Too many users have viewed or downloaded this file recently.</html>'


class Handler(BaseHTTPRequestHandler):
    """Gives ``server.content``; ``server.breaks`` lists after how many bytes its answers break off, ``server.lies`` turns
    what it says of their length and place."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        start = int(re.match(r'bytes=(\d+)-', self.headers.get('Range') or 'bytes=0-').group(1))
        server.starts.append(start)
        if server.redirect:
            self.send_response(302)
            self.send_header('Location', server.redirect)
            return self.end_headers()
        if self.path == '/gone.pth':
            return self.send_error(404)
        if start and start >= len(server.content):
            return self.send_error(416)
        start = start if server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            place = server.lies.get('place', start)
            self.send_header('Content-Range', f'bytes {place}-{len(server.content) - 1}/{len(server.content)}')
        length = server.lies.get('length', len(server.content) - start)
        if length is not None:
            self.send_header('Content-Length', str(length))
        self.end_headers()
        end = server.breaks.pop(0) if server.breaks else len(server.content)
        with contextlib.suppress(OSError):
            self.wfile.write(server.content[start:end])


@pytest.fixture
def server():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.content, server.breaks, server.starts, server.ranges = CONTENT, [], [], True
    server.redirect, server.lies = None, {}
    server.url = f'http://127.0.0.1:{server.server_port}/x.pth'
    threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def entry(url, **known):
    return dict(file='x.pth', system='S', what='a test', page='http://page', url=url, **known)


def test_a_file_is_fetched_and_checked_and_stays(server, tmp_path):
    known = entry(server.url, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()[:8],
                  md5=hashlib.md5(CONTENT).hexdigest()[:6])
    target = download(known, tmp_path / 'models')
    assert target.read_bytes() == CONTENT and [file.name for file in target.parent.iterdir()] == ['x.pth']
    assert download(known, tmp_path / 'models') == target
    assert server.starts == [0]


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.breaks = [1_000_000, 3_000_000]
    assert download(entry(server.url), tmp_path).read_bytes() == CONTENT
    assert server.starts == [0, 1_000_000, 3_000_000]


def test_a_stopped_download_goes_on_or_starts_again(server, tmp_path):
    (tmp_path / 'x.pth.part').write_bytes(CONTENT[:2_000_000])
    assert download(entry(server.url), tmp_path).read_bytes() == CONTENT
    assert server.starts == [2_000_000]
    server.ranges = False  # a server that gives whole files only
    (tmp_path / 'x.pth').rename(tmp_path / 'x.pth.part')
    (tmp_path / 'x.pth.part').write_bytes(b'something else')
    assert download(entry(server.url), tmp_path).read_bytes() == CONTENT
    (tmp_path / 'x.pth').rename(tmp_path / 'x.pth.part')  # whole, stopped before it got its name
    assert download(entry(server.url), tmp_path).read_bytes() == CONTENT


def test_a_server_that_gives_nothing_more_ends_it(server, tmp_path):
    server.breaks = [1000] * 50
    with pytest.raises(OSError, match=r'x\.pth could not be fetched: the connection breaks after 1000 of .* By hand'):
        download(entry(server.url), tmp_path)
    assert not (tmp_path / 'x.pth').exists() and (tmp_path / 'x.pth.part').stat().st_size == 1000


@pytest.mark.parametrize('content, known, sentence', [
    (PAGE, {}, 'A web page came instead of x.pth'),
    (b'{"error": 1}', {}, 'is no checkpoint of PyTorch'),
    (CONTENT, dict(size=5120005), 'has 5120004 bytes instead of 5120005'),
    (CONTENT, dict(sha256='00000000'), 'has the sha256 .* instead of 00000000'),
    (CONTENT, dict(md5='000000'), 'has the md5 .* instead of 000000')])
def test_what_is_not_the_file_is_thrown_away(server, tmp_path, content, known, sentence):
    server.content = content
    with pytest.raises(ValueError, match=f'{sentence}.* By hand: {server.url}, to be put at .*x.pth'):
        download(entry(server.url, **known), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('length', [len(CONTENT), None, 7 << 40])
def test_more_than_the_file_is_not_taken(server, tmp_path, length):
    """The table knows 1 MB: nothing beyond it comes to the disk, whatever the server says of the length."""
    server.lies['length'] = length
    with pytest.raises(OSError, match=r'(has \d+ bytes for it instead of|more than) 1048580.*By hand'):
        download(entry(server.url, size=(1 << 20) + 4), tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= (1 << 20) + 4


def test_a_length_that_is_too_short_gives_another_file(server, tmp_path):
    server.lies['length'] = 1000
    with pytest.raises(ValueError, match='has 1000 bytes instead of 5120004'):
        download(entry(server.url, size=len(CONTENT)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_rest_of_another_place_is_not_joined(server, tmp_path):
    (tmp_path / 'x.pth.part').write_bytes(CONTENT[:2_000_000])
    server.lies['place'] = 7
    assert download(entry(server.url), tmp_path).read_bytes() == CONTENT
    assert server.starts == [2_000_000, 0]


def test_a_part_that_is_longer_than_the_file_is_begun_again(server, tmp_path):
    (tmp_path / 'x.pth.part').write_bytes(bytes(len(CONTENT) + 1))
    assert download(entry(server.url, size=len(CONTENT)), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize('target', ['ftp://127.0.0.1/x.pth', 'http://127.0.0.1:1/x.pth'])
def test_a_redirect_leaves_https_for_nothing_else(server, tmp_path, monkeypatch, target):
    server.redirect = target
    monkeypatch.setattr(module.urllib.parse, 'urlsplit', functools.partial(as_https, server.url, module.urllib.parse.urlsplit))
    with pytest.raises(OSError, match=f'points to an address that is not https .{target}.. By hand'):
        download(entry(server.url), tmp_path)
    assert not list(tmp_path.iterdir())


def as_https(address, split, url, *args):
    """urlsplit to which one address is an https one: the server has no certificate."""
    parts = split(url, *args)
    return parts._replace(scheme='https') if url == address else parts


def test_two_downloads_of_one_file(server, tmp_path):
    with module._alone(tmp_path / 'x.pth.part'), pytest.raises(OSError, match='another process is fetching it'):
        download(entry(server.url), tmp_path)
    assert download(entry(server.url), tmp_path).read_bytes() == CONTENT


def test_refusals_are_told(server, tmp_path, monkeypatch):
    with pytest.raises(OSError, match='the server answers 404 Not Found. By hand'):
        download(entry(server.url.replace('x.pth', 'gone.pth')), tmp_path)
    with pytest.raises(OSError, match='the network refuses .*[Rr]efused.* By hand'):
        download(entry('http://127.0.0.1:9/x.pth'), tmp_path)
    with pytest.raises(ValueError, match=r'x.pth has no address .* \(a test\)\. By hand: http://page, to be put at .*x\.pth\.$'):
        download(entry(None), tmp_path)
    usage = collections.namedtuple('usage', 'total used free')(9e9, 9e9, 1e6)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(OSError, match='has 1 MB left and 5 MB are to come'):
        download(entry(server.url), tmp_path)


def refuse(error, **arguments):
    raise error


def drive(monkeypatch, **functions):
    monkeypatch.setitem(sys.modules, 'gdown', types.SimpleNamespace(**functions))


def test_google_drive_goes_through_gdown(tmp_path, monkeypatch):
    url = 'https://drive.google.com/file/d/abc'
    calls = []

    def give(id, output, resume):
        calls.append(id)
        Path(output).write_bytes(content)
        return output

    drive(monkeypatch, download=give)
    content = PAGE
    with pytest.raises(ValueError, match='A web page came'):
        download(entry(url), tmp_path)
    content = CONTENT
    assert download(entry(url), tmp_path).read_bytes() == CONTENT and calls == ['abc', 'abc']

    for error, sentence in [
            (RuntimeError('Cannot retrieve the public link.\nToo many accesses.'),
             r'Google Drive does not give it: Cannot retrieve the public link\. Too many accesses\. By hand'),
            (ConnectionError('HTTPSConnectionPool(host=...'), r'the network refuses \(ConnectionError\)\. By hand'),
            (OSError(errno.ENOSPC, 'No space left on device'), r'No space left on device\. By hand')]:
        drive(monkeypatch, download=functools.partial(refuse, error))
        with pytest.raises(OSError, match=sentence):
            download(entry(url), tmp_path / 'other')
    monkeypatch.setitem(sys.modules, 'gdown', None)
    with pytest.raises(OSError, match=r'gdown is not installed \(pip install gdown\)\. By hand: ' + url):
        download(entry(url), tmp_path / 'other')


def test_a_folder_of_google_drive(tmp_path, monkeypatch):
    def give(url, output):
        Path(output).mkdir()
        (Path(output) / 'a.pth').write_bytes(CONTENT)
        return [f'{output}/a.pth']

    drive(monkeypatch, download_folder=give)
    folder = download(dict(entry('https://drive.google.com/drive/folders/abc'), file='zoo'), tmp_path)
    assert (folder / 'a.pth').is_file()


def test_the_licence_is_said(tmp_path, capsys, monkeypatch):
    """Before anything is fetched, also where it cannot be."""
    with pytest.raises(ValueError, match='has no address'):
        download(find_entry('dinov3-vitl16-pretrain-lvd1689m'), tmp_path)
    assert capsys.readouterr().out.startswith("dinov3-vitl16-pretrain-lvd1689m: licence: Meta's own DINOv3 licence")
    monkeypatch.setattr(sys, 'argv', ['download_checkpoint.py', '--list'])
    download_checkpoint.main()
    assert "licence: Meta's own DINOv3 licence" in capsys.readouterr().out


def test_names():
    assert find_entry('iai_condinst_r50') is not None
    assert find_entry('models/iai_condinst_r50.pth') == find_entry('iai_condinst_r50')
    with pytest.raises(ValueError, match="no checkpoint 'iai_condinst_r5'; did you mean iai_condinst_r50"):
        find_entry('iai_condinst_r5')
    with pytest.raises(ValueError, match='mmvis download --list shows the names'):
        find_entry('???')


def test_the_table_is_sound_and_the_page_shows_it():
    table = read_table()
    for names in ([row['file'] for row in table], [row['url'] for row in table if row['url']]):
        assert len(names) == len(set(names))
    for row in table:
        known = {'size', 'sha256', 'md5', 'licence', 'config', 'data', 'ap', 'shipped'}
        assert set(row) - known == {'file', 'system', 'what', 'url', 'page'}
        assert row['file'].endswith('.pth') or row['url'] is None or '/folders/' in row['url']
        assert 'dinov3' not in row['file'] or 'DINOv3 licence' in row['licence']
        assert all(re.fullmatch('[0-9a-f]{6,64}', row[kind]) for kind in ('sha256', 'md5') if kind in row)
    assert download_checkpoint.markdown() in (ROOT / 'models/README.md').read_text(encoding='utf-8')


def test_configs_start_from_files_of_the_table():
    starts = {match for file in (ROOT / 'configs').rglob('*.py')
              for match in re.findall(r"'models/([^']+)'", file.read_text(encoding='utf-8'))}
    table = {entry['file'] for entry in read_table()}
    folders = {name for name in table if '.' not in name}
    assert {entry['file'] for entry in read_table() if 'shipped' in entry} == {
        path.name for path in (ROOT / 'models').glob('*_sample.pth')}
    assert starts and all(start in table or start.split('/')[0] in folders for start in starts), starts - table


def test_the_scripts_name_files_of_the_table_and_configs():
    for script in ('run_r50.sh', 'run_r101.sh'):
        text = (ROOT / script).read_text()
        assert find_entry(*re.findall(r'^WEIGHTS=(\w+)$', text, re.M))
        assert (ROOT / re.search('^CONFIG=(.*)$', text, re.M).group(1)).is_file()
    for file in re.findall(r'(?:configs|models)/[\w/]+\.\w+', (ROOT / 'tools/run_iai.sh').read_text()):
        assert (ROOT / file).is_file(), file


def test_a_model_is_its_config_and_its_checkpoint(server, tmp_path, monkeypatch):
    """Looked up here and in the package, else fetched; the sentence has address and place where it cannot be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, 'models_folder', lambda: tmp_path / 'models')
    assert model_files('videomt_sample') == ('videomt_vit_tiny_sample.py', str(ROOT / 'models/videomt_sample.pth'))
    rows = [dict(entry(server.url), config='x.py', data='a set'),
            dict(entry(None), file='y.pth', config='y.py', data='a set'), dict(entry(server.url), file='start.pth')]
    monkeypatch.setattr(model_zoo, 'read_table', lambda: rows)
    target = tmp_path / 'models' / 'x.pth'
    assert model_files('x') == ('x.py', str(target)) and target.read_bytes() == CONTENT
    assert model_files('x.pth') == ('x.py', str(target)) and len(server.starts) == 1
    with pytest.raises(ValueError, match=f'By hand: http://page, to be put at {target.with_name("y.pth")}'):
        model_files('y')
    with pytest.raises(ValueError, match="'start' is no model but a checkpoint to start from"):
        model_files('start')
    target.unlink()
    rows[0]['url'] = 'http://127.0.0.1:9/x.pth'
    with pytest.raises(OSError, match=f'the network refuses .* By hand: http://127.0.0.1:9/x.pth, to be put at {target}'):
        model_files('x')


def test_models_have_configs_and_what_is_said_of_them():
    for row in read_models():
        assert len(list((ROOT / 'configs').rglob(row['config']))) == 1, row
        assert row['system'] and row['data'] and 0 < row.get('ap', 1) < 100
        page = next((ROOT / 'configs').rglob(row['config'])).parent / 'README.md'
        assert 'ap' not in row or f'{row["ap"]:.1f}' in page.read_text(encoding='utf-8'), row
        assert 'shipped' not in row or (ROOT / 'models' / row['file']).stat().st_size == row['size']
    with pytest.raises(ValueError, match="There is no model 'minvis_r50_ytvis2018'; did you mean .*minvis_r50_ytvis2019"):
        find_model('minvis_r50_ytvis2018')


def test_the_table_of_models(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / 'minvis_r50_ovis.pth').write_bytes(bytes(3_400_000))
    monkeypatch.setattr(sys, 'argv', ['list_models.py'])
    list_models.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ['name', 'system'] and len(lines) == 2 + len(read_models())
    row = next(line for line in lines if line.startswith('minvis_r50_ovis '))
    assert row.split()[1:6] == ['MinVIS', 'OVIS', '26.7', '3', 'models/minvis_r50_ovis.pth'] and row.endswith('CC BY-NC-SA 4.0')
    assert re.search('condinst_iai_sample .* with mmvis +Apache-2.0', '\n'.join(lines))
    monkeypatch.setattr(sys, 'argv', ['list_models.py', 'Swin', 'ovis'])
    list_models.main()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:-1]] == ['minvis_swin_large_ovis']
    monkeypatch.setattr(sys, 'argv', ['list_models.py', 'xyzzy'])
    with pytest.raises(ValueError, match='No model has xyzzy'):
        list_models.main()
