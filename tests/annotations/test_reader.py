"""What the reader makes of fields that a file may leave out or fill in more than one way."""
import json

import numpy as np
import pytest
from helpers.tiny_vis import edit_json, make_tiny_dataset
from pycocotools import mask as coco_mask

from mmvis.annotations import load_annotations, read_content, read_json
from mmvis.errors import InputError


@pytest.fixture
def data(tmp_path):
    """The contents of a file of two videos of 48 x 80 and 6 frames, each with two objects."""
    return read_json(make_tiny_dataset(tmp_path))


def first(data):
    return data['annotations'][0]


def without(data, *fields):
    for record in data['annotations']:
        for field in fields:
            del record[field]
    return data


@pytest.mark.parametrize('mask_format', ['string', 'list', 'polygon'])
def test_boxes_and_areas_that_are_left_out_are_those_of_the_masks(tmp_path, mask_format):
    ann_file = make_tiny_dataset(tmp_path, mask_format=mask_format)
    expected = load_annotations(ann_file)
    edit_json(ann_file, lambda data: without(data, 'bboxes', 'areas'))
    found = load_annotations(ann_file)
    np.testing.assert_array_equal(found.entry_boxes, expected.entry_boxes)
    np.testing.assert_array_equal(found.entry_ptr, expected.entry_ptr)
    content = read_content(read_json(ann_file), 'x', for_evaluation=True)
    np.testing.assert_array_equal(content.areas[~np.isnan(content.areas)], content.found.areas)


def test_a_null_area_is_none_to_the_evaluation_and_keeps_the_object_in_training(data):
    first(data)['areas'][0] = None
    assert np.isnan(read_content(data, 'x').areas[0]) and read_content(data, 'x').masks[0] is not None


@pytest.mark.parametrize('mask', [dict(size=[48, 80], counts=[3840]), [[1, 1, 1, 1, 1, 1]], [[90, 5, 99, 5, 99, 9]],
                                  [[1e8, 5, 2e8, 5, 2e8, 9]], {}, []])
def test_a_mask_without_a_pixel_is_no_mask(data, mask):
    first(data)['segmentations'][2] = mask
    for for_evaluation in (False, True):
        content = read_content(data, 'x', for_evaluation)
        assert content.masks[2] is None and content.masks[1] is not None
        assert len(content.found.areas) == sum(counts is not None for counts in content.masks)
        assert content.found.areas.all()


@pytest.mark.parametrize('value, crowd', [(0, 0), (1, 1), (True, 1), (False, 0), (1.0, 1)])
def test_spellings_of_a_crowd(data, value, crowd):
    first(data)['iscrowd'] = value
    assert read_content(data, 'x').object_crowd[0] == crowd


def test_boxes_are_cut_where_float32_cannot_hold_them(data, tmp_path):
    record = first(data)
    record['bboxes'] = [[5, 5, 1e30, 20], [-1e300, 3, 1.6e308, 9], [1e300, 3, 5, 5], [100, 3, 5, 5], [-9, 3, 9, 9],
                        [70, 40, 20, 20]]
    (tmp_path / 'x.json').write_text(json.dumps(data))
    index = load_annotations(tmp_path / 'x.json')
    own = index.entry_boxes[index.entry_objects == 0].tolist()
    assert own == [[5, 5, 75, 20], [0, 3, 80, 9], [70, 40, 20, 20]], 'two lie beside the frame'


def test_ids_of_any_kind(data, tmp_path):
    for number, record in enumerate(data['annotations']):
        record['id'] = [2**70, 'a', '\x1b[2J', 7][number]
    data['videos'][0]['id'], data['annotations'][0]['video_id'], data['annotations'][1]['video_id'] = 10., 10, '10'
    with pytest.raises(InputError) as error:
        read_content(data, 'x')
    assert str(error.value) == "x: video '10': annotation 'a': video_id '10' is not in the list of videos."
    data['annotations'][1]['video_id'] = 10
    (tmp_path / 'x.json').write_text(json.dumps(data))
    assert load_annotations(tmp_path / 'x.json').object_ids.tolist() == [0, 1, 2, 3]
    data['annotations'][2]['areas'][0] = '\ud800'
    with pytest.raises(InputError, match=r"annotation '\\x1b\[2J': frame 0: areas is '\\ud800', not"):
        read_content(data, 'x')


def test_names_that_are_not_unicode_are_those_of_the_system(data, tmp_path):
    data['videos'][0]['file_names'][1] = 'video_0/caf\udce9.jpg'
    (tmp_path / 'x.json').write_text(json.dumps(data))
    assert load_annotations(tmp_path / 'x.json').video(0).file_names[1] == 'video_0/caf\udce9.jpg'


def test_a_byte_order_mark_changes_nothing(tmp_path):
    ann_file = make_tiny_dataset(tmp_path)
    expected = load_annotations(ann_file)
    ann_file.write_bytes(b'\xef\xbb\xbf' + ann_file.read_bytes())
    np.testing.assert_array_equal(load_annotations(ann_file).mask_bytes, expected.mask_bytes)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -1, 1e10, '9', True, [9]])
def test_areas_that_are_none(data, value):
    first(data)['areas'][3] = value
    with pytest.raises(InputError, match='video 10: annotation 100: frame 3: areas is .*, not a number of pixels or null'):
        read_content(data, 'x')


@pytest.mark.parametrize('value', [[1, 2, float('nan'), 4], [1, 2, 3, float('-inf')], [1, 2, 3, '4'], [1, 2, 3, None],
                                   [1, 2, 3, True], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 10**400], 7, 'x', {}, 0])
def test_boxes_that_are_none_also_where_there_is_no_mask(data, value):
    for mask in (first(data)['segmentations'][3], None):
        first(data)['segmentations'][3], first(data)['bboxes'][3] = mask, value
        with pytest.raises(InputError, match='annotation 100: frame 3: bboxes is .*, not four finite numbers x y w h or'):
            read_content(data, 'x')


def test_a_category_that_is_listed_twice_counts_once_unless_the_names_differ(data):
    data['categories'].append(dict(data['categories'][0], supercategory='y'))
    assert [name for _, name in read_content(data, 'x').categories] == ['square', 'bar', 'plate']
    data['categories'][-1]['name'] = 'cube'
    with pytest.raises(InputError, match="two categories have the same id, 3: 'square' and 'cube'"):
        read_content(data, 'x')


def test_a_video_of_unknown_length_is_refused_before_anything_is_made_of_it(data):
    video = data['videos'][0]
    for length in (10**10, 0, -1, 2.5, '6', None):
        video['length'] = length
        with pytest.raises(InputError, match=f'video 10: length is {length!r}, not a number of frames'):
            read_content(data, 'x')
    del video['file_names']
    video['length'] = 6
    assert read_content(data, 'x', for_evaluation=True).videos[0].file_names is None


def test_objects_of_the_evaluation_are_sorted_by_video_and_category(data):
    data['videos'].reverse()
    data['annotations'].reverse()
    content = read_content(data, 'x', for_evaluation=True)
    keys = [(content.videos[v].video_id, content.categories[c][0])
            for v, c in zip(content.object_videos, content.object_categories)]
    assert keys == sorted(keys) and content.object_ids != [103, 102, 101, 100]
    counts = [content.masks[i] for i in range(len(content.masks)) if content.masks[i] is not None]
    areas = [coco_mask.area({'size': [48, 80], 'counts': text.encode()}) for text in counts]
    assert content.found.areas.tolist() == areas
    data['videos'][0]['id'] = 'b'
    data['annotations'] = [record for record in data['annotations'] if record['video_id'] == 10]
    read_content(data, 'x')
    with pytest.raises(InputError, match='ids of videos must be all numbers or all texts'):
        read_content(data, 'x', for_evaluation=True)
