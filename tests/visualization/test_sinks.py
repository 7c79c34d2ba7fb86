"""The sinks of the test loop that draw."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mmvis.errors import InputError, InputFileError
from mmvis.structures import FrameInstances, VideoInfo
from mmvis.visualization import OverlayFolder, OverlayWindow, has_display


def record(video_id, *file_names):
    return SimpleNamespace(video_id=video_id, file_names=file_names)


class Frames:
    metainfo = {'classes': ('cat',)}
    img_prefix = '/data'
    videos = [record(5, 'a/00003.jpg', 'a/00008.jpg'), record(2, 'b/00000.png')]

    @staticmethod
    def load_image(video_index, frame_idx):
        return np.full((20, 30, 3), 100 * video_index + 50 * frame_idx, np.uint8)


def show(sink):
    for video_id, length in ((2, 1), (5, 2)):
        sink.start(VideoInfo(video_id, (20, 30), (20, 30), 1., length))
        for index in range(length):
            sink.add(FrameInstances(index))
        sink.end([])


def test_pictures_have_the_names_of_the_data(tmp_path):
    show(OverlayFolder(Frames(), tmp_path))
    files = {path.relative_to(tmp_path).as_posix(): cv2.imread(str(path)).mean() for path in tmp_path.rglob('*.*')}
    assert files == {'a/00003.jpg': 0, 'a/00008.jpg': 50, 'b/00000.jpg': 100}


def test_frames_that_share_a_stem_have_a_picture_each(tmp_path, monkeypatch):
    monkeypatch.setattr(Frames, 'videos', [record(5, 'a/1.jpg', 'b/1.jpg'), record(2, 'b/00000.png')])
    show(OverlayFolder(Frames(), tmp_path))
    files = {path.relative_to(tmp_path).as_posix(): cv2.imread(str(path)).mean() for path in tmp_path.rglob('*.*')}
    assert files == {'5/a%2F1.jpg': 0, '5/b%2F1.jpg': 50, '2/00000.jpg': 100}


def test_pictures_are_not_written_among_the_frames_nor_where_they_cannot_be(tmp_path, monkeypatch):
    monkeypatch.setattr(Frames, 'img_prefix', str(tmp_path))
    with pytest.raises(InputError, match='a, among the frames of the data set'):
        OverlayFolder(Frames(), tmp_path)
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputFileError, match='file/x cannot be written: .*file is not a folder'):
        OverlayFolder(Frames(), tmp_path / 'file' / 'x')


def test_the_window_can_be_closed_and_the_run_goes_on(monkeypatch):
    shown = []
    monkeypatch.setattr(cv2, 'imshow', lambda title, picture: shown.append(picture.mean()))
    monkeypatch.setattr(cv2, 'waitKey', lambda delay: ord('q') if len(shown) == 2 else -1)
    monkeypatch.setattr(cv2, 'destroyWindow', lambda title: None)
    show(OverlayWindow(Frames()))
    assert shown == [100, 0]


def test_a_machine_without_a_display_says_so(monkeypatch):
    monkeypatch.setattr('sys.platform', 'linux')
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert not has_display()
    monkeypatch.setenv('DISPLAY', ':987')  # set, but nobody listens: OpenCV ends the process that asks
    assert not has_display()
