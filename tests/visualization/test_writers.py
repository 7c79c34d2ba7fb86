"""Files of pictures."""
import cv2
import numpy as np
import pytest

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
