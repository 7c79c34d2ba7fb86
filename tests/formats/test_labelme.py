"""labelme: tracks, shapes, and what is said of files that do not fit."""
import base64
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmvis.errors import InputError
from mmvis.formats import FORMATS
from mmvis.structures import decode_rle

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'helpers'))
from foreign_sets import write_labelme  # noqa: E402
from tiny_vis import edit_json  # noqa: E402

read = FORMATS['labelme'].read


@pytest.fixture()
def one(tmp_path):
    """A folder with one picture of 40 x 30, and a function that reads it with some shapes."""
    cv2.imwrite(str(tmp_path / '0.jpg'), np.zeros((30, 40, 3), np.uint8))

    def read_shapes(*shapes, **page):
        page = {'imagePath': '0.jpg', 'imageHeight': 30, 'imageWidth': 40, **page, 'shapes': shapes}
        (tmp_path / '0.json').write_text(json.dumps(page))
        return read(tmp_path, None)

    return read_shapes


def shape(points, kind='polygon', group=1, **more):
    return dict(label='cat', points=points, group_id=group, shape_type=kind, flags={}, **more)


SQUARE = [[2, 2], [6, 2], [6, 6], [2, 6]]
OTHER = [[20, 10], [26, 10], [26, 16], [20, 16]]


def test_shapes_of_one_group_in_a_frame_are_united(one):
    tracks = one(shape(SQUARE), shape(OTHER), shape(SQUARE, group=2)).videos[0].tracks
    assert [int(decode_rle(track.masks[0]).sum()) for track in tracks] == [16 + 36, 16]


def test_groups_of_two_labels_are_two_objects(one):
    assert len(one(shape(SQUARE), dict(shape(OTHER), label='dog')).videos[0].tracks) == 2


@pytest.mark.parametrize('flag', ['3', 'track_3', 'id: 3', 'Track 3'])
def test_flags_name_a_track_where_there_is_no_group(one, flag):
    track = one(dict(shape(SQUARE, group=None), flags={flag: True, 'occluded': True, '4': False})).videos[0].tracks[0]
    assert track.track_id == 3


def test_an_attribute_and_a_quadrilateral_of_x_anylabeling(one):
    """An object without a group is named by its attribute; four corners are an outline."""
    found = one(shape(SQUARE, 'quadrilateral', None, attributes={'track_id': '7'}, score=None, kie_linking=[]),
                checked=True)
    track, = found.videos[0].tracks
    assert track.track_id == '7' and decode_rle(track.masks[0]).sum() == 16 and found.notes == []


def test_shapes_beside_polygons(one):
    crop = np.zeros((4, 6), np.uint8)
    crop[1:3, 2:5] = 255
    png = base64.b64encode(cv2.imencode('.png', crop)[1].tobytes()).decode()
    found = one(shape([[5, 7], [10, 10]], 'mask', 1, mask=png), shape([[20, 10], [26, 16]], 'rectangle', 2),
                shape([[15, 15], [15, 20]], 'circle', 3), shape(OTHER, 'rectangle', 4))
    masks = [decode_rle(track.masks[0]) for track in found.videos[0].tracks]
    assert masks[0].sum() == 6 and masks[0][8:10, 7:10].all()
    assert masks[1].sum() == masks[3].sum() == 36
    assert abs(masks[2].sum() - np.pi * 25) < 6
    assert found.notes == ['2 rectangles were taken as masks that fill them.',
                           '1 circles and ellipses were taken as masks that fill them.']


@pytest.mark.parametrize('bad, words', [
    (shape(SQUARE, group=None), 'shape 0 \\(.cat.\\): no track: group_id is null'),
    (shape(SQUARE[:2]), 'a polygon has 2 points'),
    (shape([[1, 2], [3, float('nan')], [4, 4]]), 'points has \\[3, nan\\]'),
    (shape(SQUARE, 'linestrip'), "shape_type is 'linestrip' with 4 points, which covers no pixels"),
    (shape(SQUARE, group=1.5), 'group_id is 1.5'),
    (shape(SQUARE[:2], 'mask', mask='nonsense'), 'mask is .nonsense., not a PNG'),
    (dict(shape(SQUARE), label=''), "label is '', not the name"),
    (dict(shape(SQUARE, group=None), flags={'1': True, '2': True}), 'name several tracks'),
    (shape(SQUARE[:1] + SQUARE[2:3], 'rectangle'), 'all 1 shapes are rectangles')])
def test_one_sentence_names_file_and_shape(one, bad, words):
    with pytest.raises(InputError, match=words):
        one(bad)


def test_sizes_that_do_not_fit(one):
    with pytest.raises(InputError, match='imageWidth and imageHeight are 41 x 30, but .*0.jpg is 40 x 30 pixels'):
        one(shape(SQUARE), imageWidth=41)


def test_a_picture_that_is_not_there(one):
    assert one(shape(SQUARE), imagePath='C:\\Users\\me\\other.png').videos[0].file_names == ['0.jpg']  # same stem
    with pytest.raises(InputError, match=r'imagePath: the picture .*x.png.* name its folder by --frames'):
        (Path(one(shape(SQUARE)).root) / '0.jpg').rename(Path(one(shape(SQUARE)).root) / '1.jpg')
        one(shape(SQUARE), imagePath='x.png')


def test_pictures_elsewhere_and_pictures_without_json(tmp_path):
    root = write_labelme(tmp_path / 'set')
    frames = tmp_path / 'frames'
    for picture in list(root.rglob('*.jpg')):
        target = frames / picture.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.rename(target)
    with pytest.raises(InputError, match='--frames'):
        read(root, None)
    (root / 'street' / '000004.json').unlink()
    found = read(root, frames)
    assert found.root == frames and found.videos[0].file_names[0] == 'street/000000.jpg'
    assert len(found.videos[0].file_names) == 4 and 'left out' in found.notes[0]


def test_two_files_of_one_picture(tmp_path):
    root = write_labelme(tmp_path / 'set')
    edit_json(root / 'yard' / '000003.json', lambda page: page.update(imagePath='000004.jpg'))
    with pytest.raises(InputError, match='000004.json: imagePath: .*000004.jpg is the picture of .*000003.json'):
        read(root, None)
