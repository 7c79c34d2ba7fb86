"""Where frames come from, and what is said where none come."""
import functools
import http.server
import threading
import time

import cv2
import numpy as np
import pytest

from mmvis.apis import sources, video_decoding
from mmvis.apis.sources import natural_order, open_source
from mmvis.visualization import VideoFile


def flat(value, size=(32, 48)):
    return np.full((*size, 3), value, np.uint8)


def brightness(source):
    return [round(float(frame.mean()) / 10) for frame in source]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for number in (10, 9, 1, 11):
        cv2.imwrite(str(folder / f'frame{number}.png'), flat(10 * number))
    (folder / 'notes.txt').write_text('no picture')
    (folder / '._frame1.png').write_text('what macOS leaves')
    return folder


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp('video') / 'x.mp4'
    with VideoFile(path, fps=5) as file:
        for value in range(12):
            file.add(np.random.default_rng(value).integers(10 * value, 10 * value + 99, (64, 96, 3), np.uint8))
    return path


def test_numbers_in_names_are_numbers():
    assert natural_order(['b2', 'a10', 'a9', 'A1', 'a01', '3', '²']) == ['3', 'A1', 'a01', 'a9', 'a10', 'b2', '²']


def test_pictures_of_a_folder_and_of_a_glob_come_in_natural_order(folder):
    for source in (folder, str(folder), f'{folder}/frame*.png', f'{folder.parent}/**/frame*.png'):
        opened = open_source(source)
        assert brightness(opened) == [1, 9, 10, 11] and opened.num_frames == 4 and not opened.live
    assert brightness(open_source(folder / 'frame9.png')) == [9]


@pytest.fixture(params=['PyAV', 'OpenCV'])
def decoder(request, monkeypatch):
    """The test runs with PyAV and without it."""
    if request.param == 'PyAV':
        pytest.importorskip('av')
    else:
        monkeypatch.setattr(video_decoding, 'av', None)
    return request.param


def test_a_video_file(video, decoder):
    opened = open_source(video)
    assert (opened.fps, opened.num_frames, opened.live, opened.decoder) == (5, 12, False, decoder)
    frames = list(opened)
    assert len(frames) == 12 and frames[0].shape == (64, 96, 3) and frames[0].dtype == np.uint8
    assert len(list(opened)) == 12  # and once more


def test_a_file_named_by_digits_is_no_camera(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.rename(folder.parent / '7')
    assert len(list(open_source('7'))) == 4


@pytest.mark.parametrize('source, error, said', [
    ('gone.mp4', FileNotFoundError, 'no file or folder gone.mp4. A camera is given by its number'),
    ('gone/*.jpg', FileNotFoundError, r'No file is named like gone/\*.jpg'),
    ('frames/*', ValueError, 'also stands for frames/notes.txt'),
    ('frames/notes.txt', ValueError,
     'frames/notes.txt cannot be opened as a video: it is damaged or none, or (PyAV|OpenCV) lacks its codec'),
    ('.', ValueError, r'The folder \. holds no pictures .*; perhaps frames is meant'),
    (77, OSError, 'camera 77 cannot be opened'), ('77', OSError, 'camera 77 cannot be opened'),
    ('rtsp://127.0.0.1:9/x', OSError, 'rtsp://127.0.0.1:9/x cannot be opened')])
def test_what_cannot_be_opened_is_said(folder, decoder, monkeypatch, source, error, said, capfd):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(error, match=said):
        open_source(source)
    assert capfd.readouterr().err == ''  # no word of OpenCV's or FFmpeg's beside the sentence


def test_a_damaged_picture_is_named_where_it_stands(folder):
    data = (folder / 'frame10.png').read_bytes()
    (folder / 'frame10.png').write_bytes(data[:len(data) // 2])
    frames = iter(open_source(folder))
    assert brightness([next(frames), next(frames)]) == [1, 9]
    with pytest.raises(ValueError, match='frame10.png is cut short'):
        next(frames)


def test_a_damaged_video_gives_the_frames_that_are_left_and_says_so(video, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(sources, 'print_log', lambda text, **options: said.append(text))

    class Damaged:
        """Fails for frames 4 and 5, as OpenCV does behind damaged bytes, and loses the last two."""

        def __init__(self, *arguments, open_capture=cv2.VideoCapture):
            self.capture, self.reads = open_capture(*arguments), 0

        def __getattr__(self, name):
            return getattr(self.capture, name)

        def read(self):
            self.reads += 1
            done, frame = self.capture.read()
            return (False, None) if self.reads in (5, 6) or self.reads > 10 else (done, frame)

    monkeypatch.setattr(cv2, 'VideoCapture', Damaged)
    monkeypatch.setattr(video_decoding, 'av', None)
    assert len(list(open_source(video))) == 8
    assert len(said) == 1 and 'announces 12 frames, but 8 could be decoded' in said[0] and 'after 4 frames' in said[0]


class Camera:
    """A camera that gives ``count`` frames, numbered in their first pixel."""
    count, number, released = 60_000, 0, 0

    def __init__(self, *arguments):
        Camera.number = Camera.released = 0

    def isOpened(self):
        return True

    def get(self, prop):
        return -1.0

    def read(self):
        time.sleep(0.001)
        Camera.number += 1
        frame = np.zeros((4, 4, 3), np.uint8)
        frame[0, 0, :2] = divmod(Camera.number, 256)
        return Camera.number <= Camera.count, frame

    def release(self):
        Camera.released += 1


def number_of(frame):
    return int(frame[0, 0, 0]) * 256 + int(frame[0, 0, 1])


def test_of_a_live_source_the_newest_frame_is_taken(monkeypatch):
    monkeypatch.setattr(cv2, 'VideoCapture', Camera)
    opened = open_source(0)
    assert opened.live and opened.fps is None and opened.num_frames is None
    frames = iter(opened)
    for _ in range(3):
        last = number_of(next(frames))
        while Camera.number < last + 10:
            time.sleep(0.001)
        assert number_of(next(frames)) >= last + 9  # those in between were not kept
    assert Camera.released == 0
    frames.close()
    assert Camera.released == 1
    assert not [thread for thread in threading.enumerate() if thread.name == 'mmvis source']


def test_a_camera_that_goes_is_said_and_a_stream_ends(monkeypatch):
    monkeypatch.setattr(cv2, 'VideoCapture', Camera)
    monkeypatch.setattr(Camera, 'count', 3)
    with pytest.raises(OSError, match='camera 0 gives no more frames'):
        list(open_source('0'))
    assert 1 <= len(list(open_source('rtsp://camera/1'))) <= 3


def test_a_file_by_its_address_is_read_whole(video):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(video.parent))
    handler.func.log_message = lambda *arguments: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = open_source(f'http://127.0.0.1:{server.server_port}/x.mp4')
        assert not opened.live and len(list(opened)) == 12
        server.shutdown()


def test_the_name_of_a_file_is_no_address(tmp_path, decoder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoFile('pipe:0.mp4') as video:
        video.add(np.zeros((32, 32, 3), np.uint8))
    source = open_source('pipe:0.mp4')
    assert source.name == 'pipe:0.mp4' and len(list(source)) == 1
