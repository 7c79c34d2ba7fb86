"""MOTS and DAVIS: kinds of PNG, text files, pictures elsewhere, faults."""
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmvis.errors import InputError
from mmvis.formats import FORMATS
from mmvis.structures import decode_rle, encode_mask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'helpers'))
from foreign_sets import write_davis, write_mots, write_pictures  # noqa: E402

mots, davis = FORMATS['mots'], FORMATS['davis']


# -- DAVIS and YouTube-VOS

def test_two_valued_files_of_davis_2016(tmp_path):
    write_pictures(tmp_path / 'JPEGImages')
    (tmp_path / 'Annotations' / 'yard').mkdir(parents=True)
    labels = np.zeros((48, 80), np.uint8)
    labels[3:5, 6:9] = 255
    cv2.imwrite(str(tmp_path / 'Annotations' / 'yard' / '000002.png'), labels)
    found = davis.read(tmp_path, None)
    video = found.videos[0]
    assert video.file_names == ['yard/000002.jpg'] and decode_rle(video.tracks[0].masks[0]).sum() == 6
    assert found.categories == {'object': 1} and '255 is taken as the object' in found.notes[0]


def test_one_video_and_semantics_beside(tmp_path):
    root = write_davis(tmp_path)
    (root / 'meta.json').unlink()
    (root / 'davis_semantics.json').write_text('{"street": {"1": "bus", "2": "bus"}, "yard": {"1": "bus"}}')
    assert davis.read(root, None).categories == {'bus': 1}
    (root / 'Annotations' / 'Full-Resolution' / 'yard').mkdir(parents=True)
    assert len(davis.read(root, None).videos) == 2
    found = davis.read(root / 'Annotations' / '480p' / 'yard', root / 'JPEGImages' / '480p')
    assert found.videos[0].name == 'yard' and len(found.videos[0].tracks) == 1 and found.categories == {'bus': 1}


def test_the_release_without_guidance_and_semantics_among_the_masks(tmp_path):
    root = write_davis(tmp_path / 'DAVIS')
    (root / 'meta.json').unlink()
    (root / 'Annotations').rename(root / 'Annotations_unsupervised')
    assert [len(video.tracks) for video in davis.read(root, None).videos] == [2, 1]
    (root / 'Annotations_unsupervised').rename(root / 'Annotations')
    (root / 'Annotations' / 'davis_semantics.json').write_text('{"street": {"1": "a", "2": "b"}, "yard": {"1": "a"}}')
    assert set(davis.read(root, None).categories) == {'a', 'b'}
    with pytest.raises(InputError, match='no folder of PNG masks in it .*; perhaps .*DAVIS is meant'):
        davis.read(tmp_path, None)


def test_a_folder_an_object_of_sam_2(tmp_path):
    root = write_davis(tmp_path)
    (root / 'Annotations' / '480p').rename(root / 'two')
    (root / 'two' / 'street').rename(root / 'two' / '001')
    (root / 'two' / 'yard').rename(root / 'two' / '002')
    (root / 'two').rename(root / 'Annotations' / 'street')
    with pytest.raises(InputError, match='if the folders of .*street are objects, as SAM 2 makes them'):
        davis.read(root, None)


def damage(path, change):
    labels = np.array(Image.open(path))
    Image.fromarray(change(labels)).save(path)


@pytest.mark.parametrize('change, words', [
    (lambda a: np.stack([a] * 3, -1), r'000003.png: the picture has colours \(mode RGB\)'),
    (lambda a: a[:, :40], '000003.png is 40 x 48 pixels, but its frame .* is 80 x 48'),
    (lambda a: a.astype(np.uint16) * 1000, '000003.png: the value \\d+ is above 255.*MOTS'),
    (lambda a: a + np.uint8(4) * (a == 1), "object 5 of video 'street' is not in the table")])
def test_faults_of_davis(tmp_path, change, words):
    root = write_davis(tmp_path)
    damage(root / 'Annotations' / '480p' / 'street' / '000003.png', change)
    with pytest.raises(InputError, match=words):
        davis.read(root, None)


def test_frames_that_are_not_there(tmp_path):
    root = write_davis(tmp_path)
    (root / 'JPEGImages' / '480p' / 'yard' / '000003.jpg').unlink()
    with pytest.raises(InputError, match='yard/000003.png: its frame 000003 is not in'):
        davis.read(root, None)
    (root / 'JPEGImages').rename(root / 'elsewhere')
    with pytest.raises(InputError, match='name the folder of the pictures by --frames'):
        davis.read(root, None)
    assert davis.read(root / 'Annotations' / '480p' / 'street', root / 'elsewhere' / '480p').videos


# -- MOTS

def line(frame, number, class_id, mask):
    return f'{frame} {number} {class_id} {mask.shape[0]} {mask.shape[1]} {encode_mask(mask)["counts"]}\n'


@pytest.fixture()
def table(tmp_path):
    """``table(lines)``: a text file of the video street, read."""
    write_pictures(tmp_path / 'images', first=1)

    def read(*lines):
        (tmp_path / 'street.txt').write_text(''.join(lines))
        return mots.read(tmp_path / 'street.txt', None)

    return read


SMALL = np.pad(np.ones((4, 4), np.uint8), ((5, 39), (7, 69)))


def test_text_files(table):
    found = table(line(1, 1001, 1, SMALL), line(3, 1001, 1, SMALL), line(2, 2001, 2, SMALL), line(2, 10000, 10, SMALL))
    assert [(t.category, sorted(t.masks)) for t in found.videos[0].tracks] == [('car', [0, 2]), ('pedestrian', [1])]
    assert found.notes == ['1 regions to be ignored (class 10) were left out.']


@pytest.mark.parametrize('text, words', [
    ('1 1001 1 48 80\n', 'line 1: .* has 5 fields'), ('1,2,3,4,5,6,7\n', 'boxes of MOTChallenge have no masks'),
    ('1 1001 1 48 80 abc\n', 'line 1: .abc. is no RLE of 48 x 80'), ('x 1001 1 48 80 a\n', "line 1: frame is 'x'"),
    (line(9, 1001, 1, SMALL), 'there is no picture of frame 9 .*from 000001.jpg to 000005.jpg'),
    (line(1, 3001, 3, SMALL), 'class 3 has no name'),
    (line(1, 1001, 1, SMALL) * 2, 'line 2: track 1001 has a mask in frame 0 already'),
    (line(1, 1001, 1, SMALL[:, :40]), 'the mask is 40 x 48 pixels, but the frames .* are 80 x 48')])
def test_faults_of_text_files(table, text, words):
    with pytest.raises(InputError, match=words):
        table(text)


def test_gt_of_motschallenge(tmp_path):
    write_pictures(tmp_path / 'train' / 'frames', first=1)
    folder = tmp_path / 'train' / 'MOTS20-02'
    (folder / 'gt').mkdir(parents=True)
    (tmp_path / 'train' / 'frames' / 'yard').rename(folder / 'img1')
    (folder / 'gt' / 'gt.txt').write_text(line(2, 2001, 2, SMALL))
    video = mots.read(tmp_path / 'train', None).videos[0]
    assert video.name == 'MOTS20-02' and video.tracks[0].masks.keys() == {1}
    assert mots.read(folder / 'gt' / 'gt.txt', None).videos[0].name == 'MOTS20-02'


def test_values_that_are_no_objects(tmp_path):
    root = write_mots(tmp_path)
    damage(root / 'instances' / 'yard' / '000002.png', lambda a: (a // 1000).astype(np.uint16))
    with pytest.raises(InputError, match='000002.png: the value 1 is no object of MOTS'):
        mots.read(root, None)


def test_results_of_a_tracker(tmp_path):
    root = write_mots(tmp_path)
    truth = mots.read(root, None)
    truth.videos[0].video_id, truth.videos[1].video_id = 4, 9
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'categories.json').write_text('{"1": "car", "2": "person"}')
    (tmp_path / 'out' / 'yard.txt').write_text(line(1, 17, 2, SMALL) + line(5, 17, 2, SMALL))
    found = mots.read_results(tmp_path / 'out', truth)
    assert [(v.video_id, v.tracks[0].category, sorted(v.tracks[0].masks), v.tracks[0].score) for v in found] == [
        (9, 'person', [0, 4], 1.)]
    (tmp_path / 'out' / 'yard.txt').rename(tmp_path / 'out' / 'garden.txt')
    with pytest.raises(InputError, match="there is no video 'garden' in the annotations"):
        mots.read_results(tmp_path / 'out', truth)


def test_a_video_of_cvat(tmp_path):
    """Frames and masks lie without a folder of a video, and a file names the classes."""
    root = write_mots(tmp_path / 'set')
    (root / 'categories.json').unlink()
    task = tmp_path / 'set' / 'default'
    task.mkdir()
    (root / 'instances' / 'street').rename(task / 'instances')
    (root / 'images' / 'street').rename(task / 'images')
    (task / 'instances' / 'labels.txt').write_text('lorry\nchild\n')
    found = mots.read(task, None)
    assert [video.name for video in found.videos] == ['default'] and found.categories == {'lorry': 1, 'child': 2}
    assert sorted(len(track.masks) for track in found.videos[0].tracks) == [4, 5]
    (root / 'instances' / 'yard').rename(tmp_path / 'yard')
    (root / 'instances').rmdir()
    with pytest.raises(InputError, match='no masks of MOTS in it .*; perhaps .*default is meant'):
        mots.read(root, None)
