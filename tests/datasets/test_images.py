"""What a frame may be, and the sentence for each file that is none."""
import errno
import io
import os
import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmvis.datasets import images
from mmvis.datasets.images import DamagedFrames, read_frame, read_image
from mmvis.errors import InputError, InputFileError, InputMissingError


def noise(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'a.jpg'
    cv2.imwrite(str(path), noise())
    return path


def refused(path, content=None):
    """The sentence for a file."""
    if content is not None:
        Path(path).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_image(str(path))
    assert '\n' not in str(caught.value) and str(caught.value).startswith(f'frame {path} ')
    return str(caught.value)


def used(path, content):
    """Picture and complaints of a damaged file that is used all the same."""
    Path(path).write_bytes(content)
    complaints = []
    image = read_image(str(path), lambda *words: complaints.append(words))
    assert [named for named, _ in complaints] == [str(path)]
    return image, complaints[0][1]


def test_reads_what_opencv_reads(picture):
    image = read_image(str(picture))
    assert image.dtype == np.uint8 and np.array_equal(image, cv2.imread(str(picture)))


@pytest.mark.parametrize('share', [0.3, 0.6, 0.95, 0.999])
def test_a_jpeg_cut_short(picture, share):
    data = picture.read_bytes()
    cut = data[:int(len(data) * share)]
    assert 'cut short' in refused(picture, cut)
    if share > 0.5:
        image, complaint = used(picture, cut)
        assert 'cut short' in complaint and np.array_equal(image[:8], cv2.imdecode(np.frombuffer(data, np.uint8), 1)[:8])


def test_a_jpeg_with_a_hole_or_without_its_middle_is_damaged(picture, capfd):
    data = picture.read_bytes()
    middle = len(data) // 2
    for damaged in (data[:middle] + bytes(500) + data[middle + 500:], data[:middle] + b'\xff\xd9',
                    data[:middle] + data[middle + 400:]):
        assert 'is damaged (Corrupt JPEG data: ' in refused(picture, damaged)
        image, complaint = used(picture, damaged)
        assert image.shape == (40, 60, 3) and complaint.startswith('is damaged (Corrupt JPEG data: ')
        assert np.array_equal(image, cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR))
        capfd.readouterr()
    refused(picture, data[:middle] + b'\xff\xd9')
    assert capfd.readouterr().err == ''  # the decoder's words are in the sentence


def test_a_progressive_jpeg_with_a_hole(picture):
    buffer = io.BytesIO()
    Image.fromarray(noise()).save(buffer, 'JPEG', progressive=True, restart_marker_rows=1)
    data = buffer.getvalue()
    picture.write_bytes(data)
    assert read_image(str(picture)).shape == (40, 60, 3)
    middle = data.find(b'\xff\xda') + 100
    refused(picture, data[:middle] + bytes(500) + data[middle + 500:])


def test_a_jpeg_cut_short_behind_a_whole_thumbnail(picture):
    data = picture.read_bytes()
    # An application segment that holds a whole JPEG, as cameras write it, in front of the real one.
    thumbnail = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    picture.write_bytes(data[:2] + segment + data[2:])
    assert read_image(str(picture)).shape == (40, 60, 3)
    assert 'cut short' in refused(picture, data[:2] + segment + data[2:-200])


@pytest.mark.parametrize('behind', [bytes(64), b'video behind the picture \xff\xda more of it', b'\xff\xd8\xff\xda half'],
                         ids=['zeros', 'marker', 'half a picture'])
@pytest.mark.parametrize('name', ['a.jpg', 'a.png'])
def test_what_is_behind_a_picture_does_no_harm(tmp_path, name, behind):
    path = tmp_path / name
    cv2.imwrite(str(path), noise())
    whole = read_image(str(path))
    path.write_bytes(path.read_bytes() + behind)
    assert np.array_equal(read_image(str(path)), whole)


def test_the_first_picture_of_an_mpo_is_the_picture(tmp_path):
    pictures = [Image.fromarray(noise(seed=seed)) for seed in (0, 1)]
    pictures[0].save(tmp_path / 'a.jpg', format='MPO', save_all=True, append_images=pictures[1:])
    pictures[0].save(tmp_path / 'b.jpg')
    assert np.array_equal(read_image(str(tmp_path / 'a.jpg')), read_image(str(tmp_path / 'b.jpg')))


@pytest.mark.parametrize('name', ['a.png', 'a.webp', 'a.gif', 'a.tif'])
def test_a_file_of_several_pictures_is_no_frame(tmp_path, name):
    first, *others = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
    first.save(tmp_path / name, save_all=True, append_images=others)
    assert f'{name} holds 3 pictures' in refused(tmp_path / name)
    first.save(tmp_path / name)
    assert read_image(str(tmp_path / name)).shape == (40, 60, 3)


@pytest.mark.parametrize('name', ['a.png', 'a.bmp', 'a.webp', 'a.tif'])
def test_other_formats_cut_short(tmp_path, name, capfd):
    path = tmp_path / name
    cv2.imwrite(str(path), noise())
    data = path.read_bytes()
    assert read_image(str(path)).shape == (40, 60, 3)
    for cut in (data[:len(data) // 2], data[:-50]):
        sentence = refused(path, cut)
        assert ('cut short' if name == 'a.png' else 'cannot be decoded') in sentence and 'OpenCV' not in sentence
    assert capfd.readouterr().err == ''


def chunk(kind, data, checksum=0):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data) ^ checksum)


def png(height, width, pixels, checksum=0):
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(pixels), checksum) + chunk(b'IEND', b''))


def test_a_png_with_a_wrong_checksum_or_too_few_pixels(tmp_path):
    path = tmp_path / 'a.png'
    pixels = b''.join(b'\0' + bytes(range(24)) for _ in range(8))
    path.write_bytes(png(8, 8, pixels))
    assert read_image(str(path)).shape == (8, 8, 3)
    assert 'CRC error' in refused(path, png(8, 8, pixels, checksum=1))
    assert 'cannot be decoded' in refused(path, png(8, 8, pixels[:90]))


def test_damage_inside_a_tiff(tmp_path):
    path = tmp_path / 'a.tif'
    cv2.imwrite(str(path), noise())  # LZW
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 60] = bytes(60)
    assert 'is damaged (LZWDecode' in refused(path, bytes(data))


@pytest.mark.parametrize('content', [b'', b'no picture at all', bytes(4096)])
def test_no_picture(tmp_path, content):
    assert f'a.jpg cannot be decoded ({len(content)} bytes)' in refused(tmp_path / 'a.jpg', content)


def test_a_header_that_announces_more_than_memory_holds(picture):
    data = bytearray(picture.read_bytes())
    frame_header = data.find(b'\xff\xc0')
    data[frame_header + 5:frame_header + 9] = struct.pack('>HH', 50000, 50000)
    assert 'is too large: its header announces' in refused(picture, bytes(data))
    with pytest.raises(InputError, match='a.jpg is too large'):
        read_frame(str(picture.parent), 'a.jpg', 50000, 50000)
    picture.write_bytes(png(12000, 12000, bytes(100)))
    with pytest.raises(InputError, match='a.jpg is 12000 x 12000 pixels'):  # told by the header, nothing is decoded
        read_frame(str(picture.parent), 'a.jpg', 40, 60)


def test_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe.jpg')
    os.mkdir(tmp_path / 'folder.jpg')
    for name, target in (('device.jpg', '/dev/zero'), ('loop.jpg', 'loop.jpg'), ('nowhere.jpg', 'gone')):
        os.symlink(target, tmp_path / name)
    with open(tmp_path / 'large.jpg', 'wb') as file:
        file.truncate(2**30 + 1)  # a hole on the disk
    for name, words in (('pipe', 'is no ordinary file'), ('device', 'is no ordinary file'), ('folder', 'is a folder'),
                        ('large', 'no picture has more than'), ('nowhere', 'is missing'),
                        ('loop', 'cannot be opened: Too many levels of symbolic links')):
        assert words in refused(tmp_path / f'{name}.jpg')
    with pytest.raises(InputFileError):
        read_image(str(tmp_path / 'loop.jpg'))


def test_missing_and_wrong_size(picture):
    with pytest.raises(InputMissingError, match='b.jpg is missing'):
        read_frame(str(picture.parent), 'b.jpg', 40, 60)
    assert read_frame(str(picture.parent), 'a.jpg', 40, 60).shape == (40, 60, 3)
    for size in ((60, 40), (40, 61)):
        with pytest.raises(InputError, match=f'a.jpg is 60 x 40 pixels.*width {size[1]}, height {size[0]}'):
            read_frame(str(picture.parent), 'a.jpg', *size)


@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_orientation_is_followed_unless_the_annotations_are_of_the_picture_as_stored(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise()).save(tmp_path / 'a.jpg', exif=exif)
    stored = cv2.imread(str(tmp_path / 'a.jpg'), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    turned = np.rot90(stored, {1: 0, 3: 2, 6: 3}[orientation])
    assert np.array_equal(read_image(str(tmp_path / 'a.jpg')), turned)
    assert np.array_equal(read_frame(str(tmp_path), 'a.jpg', *turned.shape[:2]), turned)
    assert np.array_equal(read_frame(str(tmp_path), 'a.jpg', 40, 60), stored if orientation == 6 else turned)
    with pytest.raises(InputError, match='width 40, height 50'):
        read_frame(str(tmp_path), 'a.jpg', 50, 40)


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.bmp', 'a.webp', 'a.tif'])
@pytest.mark.filterwarnings('ignore')
def test_sixty_changed_pictures_of_a_format(tmp_path, name):
    """Each is refused in a sentence with its name, or gives a picture of the right size."""
    rng = random.Random(name)
    data = cv2.imencode(name[1:], noise(24, 32))[1].tobytes()
    path, refusals = tmp_path / name, 0
    for _ in range(60):
        kind, at, size = rng.randrange(4), rng.randrange(len(data)), rng.randrange(1, 60)
        at = at if rng.random() < 0.6 else rng.randrange(60)  # the header
        changed = (data[:at] + bytes([rng.randrange(256)]) + data[at + 1:], data[:at] + bytes(size) + data[at + size:],
                   data[:at], data[:at + size] + data[at:])[kind]
        path.write_bytes(changed)
        for on_damage in (None, DamagedFrames()):
            try:
                assert read_frame(str(tmp_path), name, 24, 32, on_damage).shape == (24, 32, 3)
            except InputError as error:
                assert str(error).startswith(f'frame {path} ') and '\n' not in str(error) and len(str(error)) < 400
                refusals += 1
    assert refusals > 10


def test_the_sentence_for_damaged_frames_that_were_used():
    damaged = DamagedFrames()
    assert not damaged
    for number in (1, 2, 2):
        damaged(f'{number}.jpg', 'is damaged (x)')
    assert str(damaged) == 'Damaged frames that were used: 2 (1.jpg is damaged (x); 2.jpg is damaged (x)).'


@pytest.mark.parametrize('times, reads', [(1, 2), (2, 3), (9, 3)])
def test_a_disk_that_is_away_for_a_moment_is_asked_again(picture, monkeypatch, times, reads):
    calls, stat = [], os.stat

    def away(path, *args, **kwargs):
        if str(path) == str(picture):
            calls.append(path)
            if len(calls) <= times:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(images, '_PAUSES', (0.01, 0.01))
    monkeypatch.setattr(images.os, 'stat', away)
    if times < 3:
        assert read_image(str(picture)).shape == (40, 60, 3)
    else:
        with pytest.raises(InputFileError, match='a.jpg cannot be opened: Input/output error'):
            read_image(str(picture))
    assert len(calls) == reads


@pytest.mark.parametrize('name', ['a\0.jpg', '\ud800.jpg', 'x' * 5000])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(InputError) as caught:
        read_frame(str(tmp_path), name, 40, 60)
    str(caught.value).encode()  # can be printed
