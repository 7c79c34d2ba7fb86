"""What is drawn of a results file."""
import json

import numpy as np
import pytest
from helpers.tiny_vis import edit_json, make_tiny_dataset

from mmvis.annotations import load_annotations
from mmvis.structures import encode_mask
from mmvis.visualization import track_color
from mmvis.visualization.results import draw_sheet, draw_video
from mmvis.visualization.tracks import match_colours, read_ground_truth, read_results

SIZE = (48, 80)


def box_mask(x, y, w=20, h=16):
    mask = np.zeros(SIZE, np.uint8)
    mask[y:y + h, x:x + w] = 1
    return encode_mask(mask)


def result(score, frames, video_id=10, category_id=3):
    return dict(video_id=video_id, score=score, category_id=category_id, segmentations=frames)


@pytest.fixture
def data(tmp_path):
    """Two videos of three frames; two objects, at the left and at the right."""
    ann_file = make_tiny_dataset(tmp_path, num_videos=2, num_frames=3, size=SIZE, split='valid')

    def place(content):
        for annotation, x in zip(content['annotations'], (5, 50, 5, 50)):
            annotation.update(segmentations=[box_mask(x, 10)] * 3, bboxes=[[x, 10, 20, 16]] * 3, areas=[320] * 3)

    edit_json(ann_file, place)
    return tmp_path


def read(data, entries, thresh=0.3, videos=(10, 20)):
    (data / 'r.json').write_text(json.dumps(entries))
    return read_results(data / 'r.json', load_annotations(str(data / 'valid.json')), videos, thresh)


def test_tracks_are_numbered_by_appearance_and_low_ones_left_out(data):
    drawing = read(data, [result(0.4, [box_mask(5, 10), None, None]), result(0.9, [None, box_mask(50, 10), {}]),
                          result(0.29, [box_mask(0, 0)] * 3), result(float('nan'), [None] * 3),
                          result(0.5, [None, None, encode_mask(np.zeros(SIZE, np.uint8))], category_id=77),
                          result(0.8, [None] * 3, video_id=20)], videos=[10])
    assert list(drawing.tracks) == [10]
    assert [(track.track_id, track.score, sorted(track.masks)) for track in drawing.tracks[10]] == \
        [(3, 0.9, [1]), (4, 0.5, []), (1 + (box_mask(5, 10)['counts'] > box_mask(0, 0)['counts']), 0.4, [0])]
    assert drawing.classes[drawing.tracks[10][1].label] == 'category 77'


def test_a_track_has_one_colour_and_stands_where_its_mask_is(data):
    entries = [result(0.9, [box_mask(5, 20), None, box_mask(50, 20)])]
    frames = dict(draw_video(load_annotations(str(data / 'valid.json')).video(0), str(data / 'valid' / 'JPEGImages'),
                             [read(data, entries)]))
    plain = dict(draw_video(load_annotations(str(data / 'valid.json')).video(0), str(data / 'valid' / 'JPEGImages'),
                            [read(data, [])]))
    np.testing.assert_array_equal(frames[1], plain[1])
    for frame_idx, x in ((0, 15), (2, 60)):
        expected = 0.55 * plain[frame_idx][30, x] + 0.45 * np.array(track_color(1))
        np.testing.assert_allclose(frames[frame_idx][30, x], expected, atol=1)


def test_objects_take_the_number_of_the_track_on_them(data):
    results = read(data, [result(0.9, [box_mask(50, 12)] * 3), result(0.8, [box_mask(5, 10)] * 3),
                          result(0.7, [box_mask(50, 10)] * 3), result(0.6, [box_mask(5, 10), None, None], video_id=20)])
    truth = read_ground_truth(load_annotations(str(data / 'valid.json')), [10, 20])
    match_colours(truth, results)
    number = {track.score: track.track_id for track in results.tracks[10]}
    assert sorted(number.values()) == [1, 2, 3]
    assert [found.track_id for found in truth.tracks[10]] == [number[0.8], number[0.7]]
    assert [found.track_id for found in truth.tracks[20]] == [2, 3]  # the track covers a third of the object
    sheet = draw_sheet(load_annotations(str(data / 'valid.json')).video(0), str(data / 'valid' / 'JPEGImages'),
                       [results, truth], columns=2, width=80)
    assert sheet.shape == (2 * (18 + 48), 2 * 80 + 4, 3)


@pytest.mark.parametrize('frame, sentence', [
    ({'size': [48, 80], 'counts': '5'}, 'no RLE of'), ({'size': [80, 48], 'counts': '5'}, r'size is \[80, 48\], but'),
    ('x', r'segmentations\[1\] is'), ({'size': [48, 80]}, 'has no counts')])
def test_what_cannot_be_drawn_is_told(data, frame, sentence):
    with pytest.raises(ValueError, match=f'r.json, entry 0: .*{sentence}'):
        read(data, [result(0.9, [None, frame, None])])
    with pytest.raises(ValueError, match='entry 0: video_id 30 is not in'):
        read(data, [result(0.9, [None] * 3, video_id=30)])
    with pytest.raises(ValueError, match='entry 0: video_id, category_id, score'):
        read(data, [{'video_id': 10}])
