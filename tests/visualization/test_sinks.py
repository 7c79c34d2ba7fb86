"""The sinks of the test loop that draw."""
from types import SimpleNamespace

import cv2
import numpy as np

from mmvis.structures import FrameInstances, VideoInfo
from mmvis.visualization import OverlayFolder, OverlayWindow, has_display
from mmvis.visualization.sinks import video_names


def record(video_id, *file_names):
    return SimpleNamespace(video_id=video_id, file_names=file_names)


class Frames:
    metainfo = {'classes': ('cat',)}
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


def test_a_folder_that_does_not_name_one_video_gives_way_to_the_id():
    videos = [record(1, 'x/0.jpg'), record(2, 'x/1.jpg'), record('p/q', '0.jpg'), record(4, '../y/0.jpg'),
              record(5, '/abs/0.jpg'), record(6, 'm/0.jpg', 'n/0.jpg'), record(7, 'train/z/0.jpg'), record(8)]
    assert video_names(videos) == ['1', '2', 'p_q', '4', '5', '6', 'train/z', '8']


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
