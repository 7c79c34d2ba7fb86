import cv2
import numpy as np
import pytest

from mmvis.datasets.images import read_frame, read_image


@pytest.fixture
def picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    path = tmp_path / 'a.jpg'
    cv2.imwrite(str(path), image)
    return path


def test_reads_what_opencv_reads(picture):
    image = read_image(str(picture))
    assert image.dtype == np.uint8 and np.array_equal(image, cv2.imread(str(picture)))


@pytest.mark.parametrize('share', [0.3, 0.6, 0.95, 0.999])
def test_a_jpeg_cut_short(picture, share):
    data = picture.read_bytes()
    picture.write_bytes(data[:int(len(data) * share)])
    with pytest.raises(ValueError, match='a.jpg .*(cut short|damaged)'):
        read_image(str(picture))


def test_a_jpeg_cut_short_behind_a_whole_thumbnail(picture):
    data = picture.read_bytes()
    # An application segment that holds a whole JPEG, as cameras write it, in front of the real one.
    thumbnail = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    picture.write_bytes(data[:2] + segment + data[2:])
    assert read_image(str(picture)).shape == (40, 60, 3)
    picture.write_bytes(data[:2] + segment + data[2:-200])
    with pytest.raises(ValueError, match='cut short'):
        read_image(str(picture))


def test_trailing_bytes_do_no_harm(picture):
    picture.write_bytes(picture.read_bytes() + bytes(64))
    assert read_image(str(picture)).shape == (40, 60, 3)


def test_a_png_cut_short(tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
    assert read_image(str(path)).shape == (40, 60, 3)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match='cut short'):
        read_image(str(path))


@pytest.mark.parametrize('content', [b'', b'no picture at all'])
def test_no_picture(tmp_path, content):
    path = tmp_path / 'a.jpg'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='a.jpg cannot be decoded'):
        read_image(str(path))


def test_missing_and_wrong_size(picture):
    with pytest.raises(FileNotFoundError, match='b.jpg is missing'):
        read_frame(str(picture.parent), 'b.jpg', 40, 60)
    assert read_frame(str(picture.parent), 'a.jpg', 40, 60).shape == (40, 60, 3)
    with pytest.raises(ValueError, match='a.jpg is 60 x 40 pixels.*width 40, height 60'):
        read_frame(str(picture.parent), 'a.jpg', 60, 40)
