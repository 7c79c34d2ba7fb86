"""What a predictor says, in the forms of supervision, pandas and annotation formats."""
import sys

import cv2
import numpy as np
import pandas
import pytest
import supervision

from mmvis.apis import to_supervision, to_table, write_tracks
from mmvis.errors import InputError
from mmvis.formats import FORMATS
from mmvis.structures import FrameInstances, TrackHistory, TrackScore, decode_rle, encode_mask

CLASSES = ('car', 'person')


def frame(number, *track_ids):
    masks = []
    for track_id in track_ids:
        mask = np.zeros((20, 30), np.uint8)
        mask[3:7, track_id + number:track_id + number + 5] = 1
        masks.append(encode_mask(mask))
    if number == 1:
        masks[-1] = None
    num = len(track_ids)
    return FrameInstances(number, np.array(track_ids, np.int64), np.arange(num) % 2, np.linspace(.5, .9, num, dtype='f4'),
                          np.array([[t + number, 3, t + number + 5, 7] for t in track_ids], np.float32), masks)


FRAMES = [frame(0, 4, 7), frame(1, 4, 7), frame(2, 7)]
ENTRIES = [TrackScore(4, 0, .5), TrackScore(7, 1, .6), TrackScore(7, 0, .8), TrackScore(9, 0, .9)]


def verdicts():
    history = TrackHistory()
    for item in FRAMES:
        assert history.add(item) is item
    return history.verdicts(ENTRIES)


def test_one_verdict_a_track_that_was_seen():
    assert [(v.track_id, v.label, v.score, v.first_frame, v.last_frame, v.num_frames) for v in verdicts()] == [
        (7, 0, .8, 0, 2, 2), (4, 0, .5, 0, 1, 2)]


def test_supervision():
    found = to_supervision(FRAMES[1], CLASSES)
    assert isinstance(found, supervision.Detections) and len(found) == 2
    assert found.tracker_id.tolist() == [4, 7] and found.class_id.tolist() == [0, 1]
    assert found['class_name'].tolist() == ['car', 'person']
    np.testing.assert_array_equal(found.xyxy, FRAMES[1].boxes)
    np.testing.assert_array_equal(found.mask[0], decode_rle(FRAMES[1].masks[0]).astype(bool))
    assert found.mask.dtype == bool and not found.mask[1].any()
    assert found[found.confidence > 0.6].tracker_id.tolist() == [7]
    picture = supervision.MaskAnnotator().annotate(np.zeros((20, 30, 3), np.uint8), found)
    assert picture.any()
    empty = to_supervision(FrameInstances(3), CLASSES)
    assert len(empty) == 0 and len(supervision.Detections.merge([empty, found])) == 2


def test_table():
    table = to_table(enumerate(FRAMES), CLASSES)
    assert isinstance(table, pandas.DataFrame) and len(table) == 5
    assert table.groupby('track')['area'].sum().to_dict() == {4: 40, 7: 40}
    assert list(table.columns) == ['frame', 'track', 'class', 'score', 'x1', 'y1', 'x2', 'y2', 'area']
    assert len(to_table([], CLASSES)) == 0


@pytest.mark.parametrize('form', ['coco', 'mots', 'ytvis'])
def test_files(form, tmp_path):
    out = tmp_path / ('out' if form == 'mots' else 'out.json')
    write_tracks(FRAMES, verdicts(), CLASSES, (20, 30), out, form, name='clip')
    if form == 'mots':
        for number in range(3):
            (tmp_path / 'frames' / 'clip').mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'frames' / 'clip' / f'{number:06d}.jpg'), np.zeros((20, 30, 3), np.uint8))
    video = FORMATS[form].read(out, tmp_path / 'frames' if form == 'mots' else None).videos[0]
    assert sorted(tuple(track.masks) for track in video.tracks) == [(0, 1), (0, 2)]
    assert {track.category for track in video.tracks} == {'car'}


@pytest.mark.parametrize('call, package', [(lambda: to_supervision(FRAMES[0]), 'supervision'),
                                           (lambda: to_table(FRAMES), 'pandas')])
def test_an_absent_package_is_a_sentence(call, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f'pip install {package}'):
        call()
