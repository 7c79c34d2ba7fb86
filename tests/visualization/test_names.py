"""Names of files for videos and frames: one for each, and none that leads out of its folder."""
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvis.errors import InputError
from mmvis.visualization.names import check_apart, frame_names, safe_name, video_names


def record(video_id, *file_names):
    return SimpleNamespace(video_id=video_id, file_names=file_names)


@pytest.mark.parametrize('video_id, name', [
    (12, '12'), ('0043f083b5', '0043f083b5'), ('a_b', 'a_b'), ('caf\xe9 1.2', 'caf\xe9 1.2'), ('pipe:1', 'pipe:1'),
    ('a/b', 'a%2Fb'), ('..', '%2E%2E'), ('.', '%2E'), ('', '%'), ('a\\b', 'a%5Cb'), ('\x1b[2J', '%1B[2J'),
    ('50%', '50%25')])
def test_ordinary_ids_are_their_own_names(video_id, name):
    assert safe_name(video_id) == name


@given(st.text())
def test_a_name_says_its_id_and_is_one_part_of_a_path(text):
    name = safe_name(text)
    assert name not in ('', '.', '..') and not set(name) & set('/\\\0\n') and len(name.encode()) <= 200
    if '%~' not in name and name != '%' and not any(0xd800 <= ord(letter) < 0xe000 for letter in text):
        assert unquote(name) == text


def test_long_ids_stay_apart():
    names = {safe_name('x' * 300 + end) for end in ('', 'a', 'b')} | {safe_name('\u6f22' * 100)}
    assert len(names) == 4 and all(len(name.encode()) <= 200 for name in names)


def test_a_folder_that_does_not_name_one_video_gives_way_to_the_id():
    videos = [record(1, 'x/0.jpg'), record(2, 'x/1.jpg'), record('p/q', '0.jpg'), record(4, '../y/0.jpg'),
              record(5, '/abs/0.jpg'), record(6, 'm/0.jpg', 'n/0.jpg'), record(7, 'train/z/0.jpg'), record(8)]
    assert video_names(videos) == ['1', '2', 'p%2Fq', '4', '5', '6', 'train/z', '8']


def test_an_id_is_not_given_the_folder_of_another_video():
    videos = [record('a', '0.jpg'), record(2, 'a/0.jpg'), record('1', 'x/0.jpg', 'y/0.jpg'), record(1, '1.jpg'),
              record('..', '2.jpg')]
    assert video_names(videos) == ['a%', 'a', '1', '1%', '%2E%2E']


@pytest.mark.parametrize('files, names', [
    (['v/00003.jpg', 'v/00008.jpg'], ['00003', '00008']),
    (['a/0001.jpg', 'b/0001.jpg'], ['a%2F0001', 'b%2F0001']),
    (['a/0001.jpg', 'b/0001.png', 'b/0001.jpg'], ['a%2F0001.jpg', 'b%2F0001.png', 'b%2F0001.jpg']),
    (['0001.jpg', '0001.png'], ['0001.jpg', '0001.png']),
    (['0.jpg', '1.jpg', '0.jpg'], ['00000', '00001', '00002'])])
def test_frames_have_the_names_of_their_files_and_each_its_own(files, names):
    assert frame_names(files) == names


def test_pictures_do_not_come_among_the_frames(tmp_path):
    (tmp_path / 'data' / 'v').mkdir(parents=True)
    (tmp_path / 'link').symlink_to(tmp_path / 'data')
    frames = [str(tmp_path / 'data' / 'v' / '0.jpg')]
    check_apart([tmp_path / 'data', tmp_path / 'data' / 'w'], frames)
    for folder in ('data/v', 'link/v', 'data/w/../v'):
        with pytest.raises(InputError, match=f'written into .*{folder}, among the frames'):
            check_apart([tmp_path / folder], frames)
