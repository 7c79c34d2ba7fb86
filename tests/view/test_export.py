"""The exported folder: opened as a file, as by a double click, and from a file server; what it refuses."""
import base64
import functools
import http.server
import re
import shutil
import threading

import numpy as np
import pytest
from helpers.page import COVERED, HOSTILE
from helpers.tiny_vis import make_tiny_dataset

from mmvis.errors import InputError
from mmvis.view import STATIC
from mmvis.view.export import export, joined_modules
from mmvis.view.session import Session


@pytest.fixture(scope='module')
def folder(data, tmp_path_factory):
    """The page of two of the three videos, under a name with a space."""
    folder = tmp_path_factory.mktemp('export') / 'the page'
    export(Session(data.annotations, [data.results, data.others], data.frames, ['10', 'video_2']), str(folder))
    return folder


def try_page(page, address):
    page.goto(address)
    page.locator('table.videos tbody tr').first.wait_for()
    assert page.locator('table.videos tbody th').all_inner_texts() == ['video_0', 'video_2']
    assert re.fullmatch(r'0\.\d{3}', page.locator('table.overall tbody td').first.inner_text())
    page.get_by_role('link', name='video_0').click()
    page.locator('#main[data-frame="0"]').wait_for()
    page.keyboard.press('n')
    page.locator('#main:not([data-frame="0"])').wait_for()
    bits = np.unpackbits(np.frombuffer(base64.b64decode(page.locator('canvas.masks').nth(0).evaluate(COVERED)), np.uint8))
    assert bits.sum() > 100
    assert page.locator('.note').first.is_hidden()
    page.get_by_role('link', name='Compare').click()
    page.locator('#count', has_text='2 videos compared.').wait_for()
    page.get_by_label('second', exact=True).select_option('results.json')
    assert page.get_by_label('first', exact=True).input_value() == '1'
    page.locator('table.videos tbody tr').nth(1).wait_for()
    assert page.locator('table.videos tbody th').first.inner_text() == 'video_0'
    assert page.evaluate('window.hacked') is None and page.locator('img[src=x]').count() == 0


def test_opened_as_a_file(page, folder):
    asked = []
    page.on('request', lambda request: asked.append(request.url))
    try_page(page, (folder / 'index.html').as_uri())
    assert asked and all(url.startswith(('file:', 'blob:')) for url in asked)


def test_from_a_file_server(page, folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *arguments: None
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try_page(page, f'http://127.0.0.1:{server.server_port}/')
    server.shutdown()
    server.server_close()


def test_a_missing_part_is_a_sentence(page, folder, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(folder, copy)
    (copy / 'data' / 'video-1.js').unlink()
    (copy / 'frames' / '0' / '2.jpg').unlink()
    page.goto((copy / 'index.html').as_uri() + '#/video/30')
    assert page.locator('.failure').inner_text() == 'data/video-1.js is missing from this folder.'
    page.goto((copy / 'index.html').as_uri() + '#/video/10?frame=2')
    page.locator('.note', has_text='frames/0/2.jpg is missing from this folder, or damaged.').first.wait_for()


def test_what_is_written(folder, data):
    assert sorted(path.name for path in folder.iterdir()) == ['data', 'frames', 'index.html', 'static', 'thumbs']
    assert len(list((folder / 'frames').rglob('*.jpg'))) == 12 and HOSTILE not in (folder / 'index.html').read_text()
    first = (folder / 'frames' / '0' / '0.jpg').read_bytes()
    assert first == (data.folder / 'valid' / 'JPEGImages' / 'video_0' / '00000.jpg').read_bytes()


def test_an_earlier_export_is_replaced(data, tmp_path):
    for _ in range(2):
        export(Session(data.annotations, [], data.frames, ['10']), str(tmp_path))
    assert (tmp_path / 'index.html').is_file() and not list((tmp_path / 'data').glob('compare*'))


def test_modules_become_one_script():
    text = joined_modules()
    assert not re.search(r'^(import|export)\b', text, re.MULTILINE) and "from './" not in text
    for path in STATIC.glob('*.js'):  # each once
        lines = [line for line in path.read_text().splitlines() if line.startswith('export ')]
        for line in lines:
            assert text.count('\n' + line.removeprefix('export ')) == 1, (path.name, line)
    names = re.findall(r'^(?:const|let|function|async function|class) (\w+)', text, re.MULTILINE)
    assert len(names) == len(set(names)) > 40


def test_what_it_refuses(data, tmp_path):
    (tmp_path / 'a' / 'index.html').parent.mkdir()
    (tmp_path / 'a' / 'index.html').write_text('mine')
    session = Session(data.annotations, [], data.frames)
    with pytest.raises(InputError, match='is not empty, and no page that was exported before'):
        export(session, str(tmp_path / 'a'))
    assert (tmp_path / 'a' / 'index.html').read_text() == 'mine'
    with pytest.raises(InputError, match='not a folder'):
        export(session, str(tmp_path / 'a' / 'index.html'))
    with pytest.raises(InputError, match='damaged.json: not valid JSON'):
        export(Session(data.annotations, [data.damaged], data.frames), str(tmp_path / 'b'))
    ann_file = make_tiny_dataset(tmp_path, split='train')
    (tmp_path / 'train' / 'JPEGImages' / 'video_1' / '00003.jpg').unlink()
    with pytest.raises(InputError, match='frame video_1/00003.jpg is missing'):
        export(Session(str(ann_file), [], str(tmp_path / 'train')), str(tmp_path / 'c'))
    assert not (tmp_path / 'c' / 'index.html').exists()
