"""Files of pictures."""
import os

import cv2
import numpy as np
import pytest
from helpers.full_disk import files_end_at

from mmvis.errors import InputError, InputFileError
from mmvis.visualization import VideoFile, contact_sheet, write_image


def test_write_image_makes_folders_and_leaves_one_file(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    write_image(tmp_path / 'a' / 'b' / '0.png', image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a' / 'b' / '0.png')), image)
    assert len(list((tmp_path / 'a' / 'b').iterdir())) == 1


def test_contact_sheet_places_pictures_row_by_row():
    images = [np.full((20, 40, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(images, columns=2, width=20, gap=2)
    assert sheet.shape == (2 * 10 + 2, 2 * 20 + 2, 3)
    assert (sheet[:10, :20] == 10).all() and (sheet[:10, 22:] == 20).all() and (sheet[12:, :20] == 30).all()
    assert (sheet[10:12] == 255).all() and (sheet[12:, 20:] == 255).all()
    assert contact_sheet(images[:1], columns=4, width=20).shape == (10, 20, 3)
    with pytest.raises(ValueError, match='at least one picture'):
        contact_sheet([])


def test_video_file_holds_every_picture(tmp_path):
    with VideoFile(tmp_path / 'out' / 'x.mp4', fps=5) as video:
        for value in (0, 120, 240):
            video.add(np.full((33, 48, 3), value, np.uint8))  # an odd side
    reader = cv2.VideoCapture(str(tmp_path / 'out' / 'x.mp4'))
    frames = [reader.read()[1] for _ in range(3)]
    assert not reader.read()[0]
    assert frames[0].shape == (32, 48, 3)
    np.testing.assert_allclose([frame.mean() for frame in frames], [0, 120, 240], atol=8)
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['x.mp4']


def test_a_broken_video_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError):
        with VideoFile(tmp_path / 'x.mp4') as video:
            video.add(np.zeros((16, 16, 3), np.uint8))
            raise RuntimeError
    assert not list(tmp_path.iterdir())


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def test_a_full_disk_leaves_the_old_files_and_is_told(tmp_path):
    video, picture = tmp_path / 'x.mp4', tmp_path / 'x.png'
    video.write_bytes(b'old')
    picture.write_bytes(b'old')
    with files_end_at(10_000):
        with pytest.raises(InputFileError, match='^.*/x.mp4 cannot be written: File too large.$'):
            with VideoFile(video) as file:
                for seed in range(10):
                    file.add(noise(64, 64, seed))
        with pytest.raises(InputFileError, match='^.*/x.png cannot be written: File too large.$'):
            write_image(picture, noise(64, 64))
    assert video.read_bytes() == picture.read_bytes() == b'old' and len(os.listdir(tmp_path)) == 2


def test_sizes_that_the_codec_does_not_take(tmp_path):
    with pytest.raises(InputFileError, match='x.mp4 cannot be written: OpenCV makes no whole video of 9000 x 40'):
        with VideoFile(tmp_path / 'x.mp4') as file:
            file.add(np.zeros((40, 9000, 3), np.uint8))
    assert not os.listdir(tmp_path)
    with VideoFile(tmp_path / 'x.mp4') as file:
        file.add(np.full((1, 101, 3), 200, np.uint8))
    frame = cv2.VideoCapture(str(tmp_path / 'x.mp4')).read()[1]
    assert frame.shape == (2, 100, 3) and abs(frame.mean() - 200) < 3
    with pytest.raises(InputFileError, match='x.jpg cannot be written: OpenCV makes no .jpg of 1 x 70000 pixels'):
        write_image(tmp_path / 'x.jpg', np.zeros((70000, 1, 3), np.uint8))
    with pytest.raises(InputFileError, match='x cannot be written: OpenCV makes no file without suffix'):
        write_image(tmp_path / 'x', noise(8, 8))


def test_an_input_is_not_written_over(tmp_path):
    source = tmp_path / 'x.mp4'
    source.write_bytes(b'precious')
    with pytest.raises(InputError, match='is an input of this run'):
        VideoFile(source, inputs=[source])
    with pytest.raises(InputError, match='is an input of this run'):
        write_image(source.with_suffix('.png'), noise(8, 8), [source.with_suffix('.png')])
    assert source.read_bytes() == b'precious'


def test_a_name_is_no_address_for_opencv(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoFile('pipe:1.mp4') as file:
        file.add(noise(32, 32))
    assert os.listdir() == ['pipe:1.mp4']
