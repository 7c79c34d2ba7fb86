"""CVAT: what is between keyframes, masks, tasks, images, and what is refused."""
import cv2
import numpy as np
import pytest

from mmvis.errors import InputError
from mmvis.formats import FORMATS
from mmvis.structures import decode_rle

read = FORMATS['cvat'].read
HEAD = ('<annotations><version>1.1</version><meta><task><id>1</id><name>a</name><size>8</size>'
        '<original_size><width>40</width><height>30</height></original_size></task></meta>')


def polygon(frame, x, outside=0, keyframe=1, y=4):
    return (f'<polygon frame="{frame}" outside="{outside}" occluded="0" keyframe="{keyframe}" '
            f'points="{x},{y};{x + 8},{y};{x + 8},{y + 6};{x},{y + 6}" z_order="0"/>')


def track(*shapes, label='car', number=0, more=''):
    return f'<track id="{number}" label="{label}" {more}>{"".join(shapes)}</track>'


@pytest.fixture()
def video(tmp_path):
    def read_video(*tracks, head=HEAD, frames=None):
        (tmp_path / 'a.xml').write_text(f'{head}{"".join(tracks)}</annotations>')
        return read(tmp_path / 'a.xml', frames)
    return read_video


def lefts(found):
    """First column of the mask by frame, of the first track."""
    return {t: int(np.flatnonzero(decode_rle(rle).any(0))[0]) for t, rle in
            sorted(found.videos[0].tracks[0].masks.items())}


def test_polygons_move_between_keyframes_and_stop_where_outside(video):
    found = video(track(polygon(1, 0), polygon(5, 8), polygon(6, 8, outside=1)))
    assert lefts(found) == {1: 0, 2: 2, 3: 4, 4: 6, 5: 8}


def test_the_last_keyframe_is_held_to_the_end_and_it_is_said(video):
    found = video(track(polygon(5, 3)))
    assert lefts(found) == {5: 3, 6: 3, 7: 3} and '1 tracks are held to the end' in found.notes[0]
    assert lefts(video(track(polygon(4, 3), polygon(5, 4, keyframe=0)))) == {4: 3, 5: 4}  # moved by CVAT already


def test_it_comes_back_after_it_was_outside(video):
    found = video(track(polygon(0, 2), polygon(1, 2, outside=1), polygon(4, 9), polygon(5, 9, outside=1)))
    assert lefts(found) == {0: 2, 4: 9}


def test_points_of_polygons_are_paired_along_the_outline(video):
    more = polygon(2, 8).replace('points="8,4;', 'points="8,4;12,4;')  # a fifth point in the middle of an edge
    assert lefts(video(track(polygon(0, 0), more, polygon(3, 8, outside=1)))) == {0: 0, 1: 4, 2: 8}
    found = video(track(polygon(0, 0), more, polygon(3, 8, outside=1)))
    assert decode_rle(found.videos[0].tracks[0].masks[1]).sum() == 48


def mask(frame, runs='2, 3, 1', left=5, top=6, width=3, height=2):
    return (f'<mask frame="{frame}" outside="0" occluded="0" keyframe="1" rle="{runs}" left="{left}" top="{top}" '
            f'width="{width}" height="{height}" z_order="0"/>')


def test_masks_are_runs_by_rows_and_neither_move_nor_stay(video):
    found = video(track(mask(1), mask(4)))
    masks = found.videos[0].tracks[0].masks
    assert set(masks) == {1, 4} and found.notes[:1] == [n for n in found.notes if 'pictures' in n]
    assert [list(pair) for pair in np.argwhere(decode_rle(masks[1]))] == [[6, 7], [7, 5], [7, 6]]


def test_boxes_ellipses_and_groups(video):
    box = '<box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="5" ybr="8"/>'
    ellipse = '<ellipse frame="0" outside="0" keyframe="1" cx="20" cy="15" rx="6" ry="3" rotation="90"/>'
    end = polygon(1, 0, outside=1)
    found = video(track(polygon(0, 30), end, more='group_id="3"'), track(box, end, number=1, more='group_id="3"'),
                  track(ellipse, end, label='dog', number=2, more='group_id="3"'))
    car, dog = [decode_rle(track.masks[0]) for track in found.videos[0].tracks]
    assert car.sum() == 24 + 48
    rows, columns = np.nonzero(dog)
    assert np.ptp(rows) >= 10 and np.ptp(columns) <= 6
    assert [note[0] for note in found.notes[:2]] == ['1', '1']


def test_a_job_of_every_third_frame(video, tmp_path):
    head = HEAD.replace('<size>8</size>', '<size>3</size><start_frame>2</start_frame><stop_frame>8</stop_frame>'
                        '<frame_filter>step=3</frame_filter>')
    (tmp_path / 'images').mkdir()
    for number in (2, 5, 8):
        cv2.imwrite(str(tmp_path / 'images' / f'frame_{number:06d}.PNG'), np.zeros((30, 40, 3), np.uint8))
    found = video(track(polygon(2, 0), polygon(8, 8)), head=head)
    assert lefts(found) == {0: 0, 1: 4, 2: 8}
    assert found.videos[0].file_names == [f'images/frame_{n:06d}.PNG' for n in (2, 5, 8)]
    with pytest.raises(InputError, match='frame 3 is none of the video, whose frames are 2 to 8'):
        video(track(polygon(3, 0)), head=head)


def test_several_tasks_of_a_project(video, tmp_path):
    size = '<size>2</size><original_size><width>40</width><height>30</height></original_size>'
    head = (f'<annotations><meta><project><tasks><task><id>4</id><name>one</name>{size}</task><task><id>5</id>'
            f'<name>two</name>{size}</task></tasks></project></meta>')
    for name in ('one', 'two'):
        (tmp_path / 'frames' / name).mkdir(parents=True)
        for t in range(2):
            cv2.imwrite(str(tmp_path / 'frames' / name / f'{t}.png'), np.zeros((30, 40, 3), np.uint8))
    found = video(track(polygon(0, 1), polygon(1, 1), more='task_id="4"'),
                  track(polygon(1, 5), more='task_id="5"', number=1), head=head, frames=tmp_path / 'frames')
    assert [(v.name, v.file_names[0], sorted(v.tracks[0].masks)) for v in found.videos] == [
        ('one', 'one/0.png', [0, 1]), ('two', 'two/0.png', [1])]
    with pytest.raises(InputError, match="0.png is the first picture of 'one' and of 'two'"):
        video(track(polygon(0, 1), more='task_id="4"'), head=head, frames=tmp_path / 'frames' / 'one')


def test_images_are_joined_by_group_or_attribute(tmp_path):
    shape = '<polygon label="car" occluded="0" points="1,1;9,1;9,7;1,7" z_order="0" {}>{}</polygon>'
    images = [f'<image id="{t}" name="clip/{t}.jpg" width="40" height="30">' + shape.format(*how) + '<tag label="day"/>'
              '</image>' for t, how in ((1, ('group_id="2"', '')),
                                    (0, ('', '<attribute name="track_id">2</attribute>')))]
    (tmp_path / 'i.xml').write_text(f'<annotations>{"".join(images)}</annotations>')
    found = read(tmp_path / 'i.xml', None)
    assert found.videos[0].file_names == ['clip/0.jpg', 'clip/1.jpg']
    assert [sorted(track.masks) for track in found.videos[0].tracks] == [[0, 1]]
    assert any('2 tags' in note for note in found.notes)
    (tmp_path / 'i.xml').write_text(f'<annotations>{"".join(images).replace("group_id", "z")}</annotations>')
    with pytest.raises(InputError, match="image 'clip/1.jpg': a polygon of 'car' has no group_id and no attribute"):
        read(tmp_path / 'i.xml', None)


def tasks_of_images(root, folders):
    """A project of two tasks whose images are called alike, and their pictures in some folders."""
    lines = ['<annotations><meta><project><tasks>', *(f'<task><id>{n}</id><name>{name}</name></task>' for n, name in
             ((4, 'one'), (5, 'two'))), '</tasks></project></meta>']
    for n in (4, 5):
        lines.append(f'<image id="{n}" name="frame_000000.png" subset="Train" task_id="{n}" width="40" height="30">'
                     '<polygon label="car" points="1,1;9,1;9,7;1,7" group_id="2"/></image>')
    for folder in folders:
        (root / folder).mkdir(parents=True)
        cv2.imwrite(str(root / folder / 'frame_000000.png'), np.zeros((30, 40, 3), np.uint8))
    (root / 'annotations.xml').write_text('\n'.join([*lines, '</annotations>']))
    return root / 'annotations.xml'


@pytest.mark.parametrize('folders', [
    ('images/one', 'images/two'), ('images/Train/one', 'images/Train/two'), ()])
def test_tasks_whose_images_are_called_alike(folders, tmp_path):
    file = tasks_of_images(tmp_path, folders)
    names = ['one/frame_000000.png', 'two/frame_000000.png']
    for frames in (None, tmp_path / 'images') if folders else (None,):
        found = read(file, frames)
        assert all(video.file_names[0].endswith(name) for video, name in zip(found.videos, names, strict=True))
        assert not folders or all((found.root / video.file_names[0]).is_file() for video in found.videos)


def test_tasks_that_share_a_picture_are_refused(tmp_path):
    with pytest.raises(InputError, match="frame_000000.png is the first picture of 'one' and of 'two'"):
        read(tasks_of_images(tmp_path, ['images']), None)


@pytest.mark.parametrize('bad, words', [
    (track('<skeleton frame="0" keyframe="1"><points label="a" points="1,1"/></skeleton>'), 'a <skeleton> covers no'),
    (track('<points frame="3" points="1,1"/>'), "track '0', frame '3': a <points> covers no pixels"),
    (track(polygon(0, 1), polygon(0, 2)), "track '0': frame 0 has two shapes"),
    (track(polygon(9, 1)), 'frame 9 is none of the video, whose frames are 0 to 7'),
    (track(polygon(0, 1), label=''), 'label is missing'),
    (track(polygon(0, 1).replace('9,4', '9,NaN')), "points of a polygon has '9,NaN'"),
    (track(polygon(0, 1, outside=7)), "outside is '7', neither 0 nor 1"),
    (track(mask(0, runs='2, 3')), 'the runs of rle come to 5 pixels, but the mask has 3 x 2'),
    (track(mask(0, runs='2,-3,5')), "rle of a mask has '-3'"),
    (track('<box frame="0" xtl="1" ytl="2" xbr="5" ybr="8"/>'), 'shapes are rectangles: boxes say nothing')])
def test_one_sentence_names_track_and_frame(video, bad, words):
    with pytest.raises(InputError, match=words):
        video(bad)


@pytest.mark.parametrize('text, words', [
    ('<html></html>', 'begins with <html>'), ('<annotations><track>', 'no XML file'), ('PK\x03\x04', 'unpack the ZIP')])
def test_files_that_are_none_of_cvat(tmp_path, text, words):
    (tmp_path / 'a.xml').write_text(text)
    with pytest.raises(InputError, match=words):
        read(tmp_path / 'a.xml', None)
