"""The server without a browser: who may ask, which files are given out, what the process behind it computes."""
import http.client
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.tiny_vis import edit_json, make_tiny_dataset
from PIL import Image

from mmvis.errors import InputError
from mmvis.evaluation import Evaluator
from mmvis.structures import encode_mask
from mmvis.view import worker
from mmvis.view.session import Session, file_titles

ROOT = Path(__file__).resolve().parents[2]


def get(address, path, **headers):
    """Status, headers and body."""
    host = address.split('/')[2]
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request('GET', path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


@pytest.fixture
def make(tmp_path):
    """make(change) -> a session of two videos whose annotation file was changed, without results."""
    def session(change=lambda content: None):
        ann_file = make_tiny_dataset(tmp_path, size=(48, 80), split='valid')
        edit_json(ann_file, change)
        return Session(str(ann_file), [], str(tmp_path / 'valid'))
    return session


# -- who may ask

def test_another_name_for_this_machine_is_refused(make, serve):
    address = serve(make())
    port = address.split(':')[-1].strip('/')
    for host in (f'127.0.0.1:{port}', f'localhost:{port}', f'[::1]:{port}', 'LOCALHOST'):
        assert get(address, '/', Host=host)[0] == 200
    for host in (f'evil.example:{port}', f'127.0.0.1.evil.example:{port}', '', 'evil.example'):
        for path in ('/', '/api/list', '/api/frame/0/0', '/nothing'):
            status, headers, body = get(address, path, Host=host)
            assert status == 403 and b'video' not in body and "default-src 'none'" in headers['content-security-policy']


def test_another_address_asks_for_the_token(make, serve):
    address = serve(make(), host='0.0.0.0', token='secret token')
    for path in ('/', '/api/list', '/static/app.js', '/?token=wrong', '/?token='):
        assert get(address, path)[0] == 401
    assert get(address, '/api/list', Cookie='mmvis-view-1=secret token')[0] == 401
    status, headers, _ = get(address, '/?token=secret%20token')
    assert status == 200 and 'HttpOnly' in headers['set-cookie'] and 'SameSite=Strict' in headers['set-cookie']
    port = address.split(':')[-1].strip('/')
    assert get(address, '/api/list', Cookie=f'mmvis-view-{port}="secret token"', Host='any.example')[0] == 200


def test_only_questions_are_answered(make, serve):
    address = serve(make())
    host = address.split('/')[2]
    for method in ('POST', 'PUT', 'DELETE'):
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request(method, '/api/list')
        assert connection.getresponse().status == 405
        connection.close()
    for path in ('/static/../server.py', '/static/..%2fserver.py', '/static/', '/api/video/2', '/api/frame/0/6', '/api/thumb/9'):
        assert get(address, path)[0] == 404


# -- frames

@pytest.mark.parametrize('name', ['../secret.jpg', '/etc/hostname', 'video_0/../../../secret.jpg', '..', 'link.jpg',
                                  'folder/a.jpg'])
def test_frames_do_not_leave_their_folder(make, serve, tmp_path, name):
    cv2.imwrite(str(tmp_path / 'secret.jpg'), np.full((48, 80, 3), 255, np.uint8))
    (tmp_path / 'elsewhere').mkdir()
    cv2.imwrite(str(tmp_path / 'elsewhere' / 'a.jpg'), np.full((48, 80, 3), 255, np.uint8))
    session = make(lambda content: content['videos'][0]['file_names'].__setitem__(3, name))
    frames = tmp_path / 'valid' / 'JPEGImages'
    (frames / 'link.jpg').symlink_to(tmp_path / 'secret.jpg')
    (frames / 'folder').symlink_to(tmp_path / 'elsewhere')
    status, _, body = get(serve(session), '/api/frame/0/3')
    assert status == 422 and 'outside the folder of the frames' in json.loads(body)['error']
    assert get(serve(session), '/api/thumb/0')[0] == 422


def test_the_folder_itself_may_be_a_link(make, tmp_path):
    session = make()
    (tmp_path / 'valid').rename(tmp_path / 'moved')
    (tmp_path / 'valid').mkdir()
    (tmp_path / 'valid' / 'JPEGImages').symlink_to(tmp_path / 'moved' / 'JPEGImages')
    again = Session(session.ann_file, [], str(tmp_path / 'valid'))
    assert again.pictures.frame(again.videos[0], 0)[1] == 'image/jpeg'


def test_frames_are_given_as_they_are_or_as_they_are_meant(make, tmp_path):
    """Upright pictures of the right size untouched; a turned one by the rule of ``read_frame``; the rest in a sentence."""
    session = make()
    video, folder = session.videos[0], tmp_path / 'valid' / 'JPEGImages' / 'video_0'
    data, media = session.pictures.frame(video, 0)
    assert data == (folder / '00000.jpg').read_bytes() and media == 'image/jpeg'
    with Image.open(folder / '00001.jpg') as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # as stored it has the size of the annotations
        picture.save(folder / '00001.jpg', exif=exif)
    data, media = session.pictures.frame(video, 1)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (80, 48) and not picture.getexif() and media == 'image/jpeg'
    cv2.imwrite(str(folder / '00002.jpg'), np.zeros((40, 80, 3), np.uint8))
    (folder / '00003.jpg').write_bytes(b'no picture')
    os.unlink(folder / '00004.jpg')
    os.mkfifo(folder / '00004.jpg')
    for frame, sentence in ((2, '80 x 40 pixels, but the annotation file says'), (3, 'not a picture'), (4, 'is no regular file')):
        with pytest.raises(InputError, match=sentence):
            session.pictures.frame(video, frame)


# -- numbers

def test_the_numbers_are_those_of_the_evaluator_and_kept(data, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    told = []
    worker.evaluate_files(data.annotations, [data.results, data.damaged], lambda *message: told.append(message))
    assert [message[:2] for message in told] == [('index', 0)] + [('numbers', 0)] * 3 + [('failure', 1)]
    evaluator = Evaluator(data.results, data.annotations)
    tracking, errors = evaluator.tracking(), evaluator.errors()
    ap, hota, wrong = (dict(message[2]['videos']) for message in told[1:4])
    for video_id, value in evaluator.evaluate(per_video=True).per_video.items():
        assert ap[video_id]['AP'] == value and hota[video_id]['HOTA'] == tracking.per_video[video_id]['HOTA']
        assert wrong[video_id]['errors'] == errors.per_video[video_id]
        for (_, runs), cells in zip(hota[video_id]['timeline'], tracking.timelines[video_id]):
            drawn = np.full(len(cells), -2)
            for start, end, result in runs:
                drawn[start:end] = result
            assert (drawn == cells).all()
    assert told[3][2]['overall']['errors'] == errors.counts
    monkeypatch.setattr(worker, 'Evaluator', None)  # a second start computes nothing
    again = []
    worker.evaluate_files(data.annotations, [data.results], lambda *message: again.append(message))
    assert json.dumps(again) == json.dumps(told[:4])


def rle(x, width=10):
    mask = np.zeros((20, 40), np.uint8)
    mask[:, x:x + width] = 1
    return encode_mask(mask)


def entry(frames, category_id=1):
    return dict(category_id=category_id, segmentations=frames)


def test_difference_of_two_files():
    a, b = entry([rle(0), rle(0), None, None]), entry([rle(20), rle(20), rle(20), None])
    assert worker.compare_video([a, b], [b, a]) == dict(difference=0., identities=[], frames=[0., 0., 0., 0.])
    assert worker.compare_video([], []) == dict(difference=0., identities=[], frames=[])
    half = entry([rle(5), None, rle(20), rle(0)])  # IoU of 1/3 with a, then nothing, then b
    found = worker.compare_video([a, b], [half])
    assert found['frames'] == pytest.approx([1 - 2 / 3 / 3, 1., 0., 1.], abs=1e-4)
    assert found['difference'] == pytest.approx(np.mean([7 / 9, 1, 0, 1]))
    assert worker.compare_video([a], [entry(a['segmentations'], 2)])['frames'] == [1., 1., 0., 0.]
    swapped = worker.compare_video([a, b], [entry([rle(0), rle(20), rle(20)]), entry([rle(20), rle(0), None])])
    assert swapped['identities'] == [1] and swapped['difference'] == 0
    one, other = [a, b], [half, entry([rle(1), rle(18), None, None])]
    assert worker.compare_video(one, other) == worker.compare_video(other, one)


def test_titles_tell_files_apart():
    assert file_titles(['a/r.json', 'b/r.json']) == ['a/r.json', 'b/r.json'] and file_titles(['a/r.json', 'b/s.json']) == [
        'r.json', 's.json']
    assert file_titles(['r.json', 'r.json']) == ['r.json (1)', 'r.json (2)'] and file_titles([]) == []


# -- the command

def test_the_command_serves_until_it_is_stopped(data):
    command = [sys.executable, str(ROOT / 'tools' / 'view.py'), data.annotations, data.frames, '--no-browser']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith('mmvis view: http://127.0.0.1:')
    with urllib.request.urlopen(line.split()[2] + 'api/list', timeout=10) as answer:
        assert [video['name'] for video in json.load(answer)['videos']] == ['video_0', 'video_1', 'video_2']
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err == ''


@pytest.mark.parametrize('arguments, sentence', [
    (['{annotations}'], 'the folder of the frames are needed'), (['{folder}/none.json', '{frames}'], 'none.json'),
    (['{annotations}', '{folder}/none'], 'a folder with the frames is needed'),
    (['{annotations}', '{frames}', '--videos', 'none'], "has no video 'none'"),
    (['{annotations}', '{frames}', '--port', '70000'], 'at most 65535'),
    (['{annotations}', '{frames}', '--host', '203.0.113.7', '--no-browser'], 'cannot be listened at')])
def test_a_mistake_is_one_sentence(data, arguments, sentence, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['view.py', *(text.format(**vars(data)) for text in arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / 'view.py'), run_name='__main__')
    said = capsys.readouterr().err
    assert end.value.code == 1 and sentence in said and len(said.splitlines()) == 1


def test_a_package_that_is_missing_is_named_with_its_command(data, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split('.')[0] == 'uvicorn' or name == 'mmvis.view.server']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    monkeypatch.setattr(sys, 'argv', ['view.py', data.annotations, data.frames])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / 'view.py'), run_name='__main__')
    said = capsys.readouterr().err
    assert end.value.code == 1 and "needs the package uvicorn: pip install 'mmvis[view]'" in said
