"""The results file: its form, its bytes after kills, its pickle."""
import errno
import json
import pickle

import numpy as np
import pytest
from helpers.toy_results import CATEGORY_IDS, SIZE, VIDEOS, make_frame, make_writer, scores, write_all, write_video

from mmvis.evaluation import official_pickle
from mmvis.evaluation.results_writer import ResultsWriter
from mmvis.structures import TrackScore, VideoInfo, decode_rle


def expected_entries():
    entries = []
    for video_id, length in VIDEOS.items():
        frames = [make_frame(video_id, index) for index in range(length)]
        for verdict in scores(video_id):
            masks = [dict(zip(frame.track_ids.tolist(), frame.masks)).get(verdict.track_id) for frame in frames]
            entries.append({'video_id': video_id, 'score': verdict.score,
                            'category_id': CATEGORY_IDS[verdict.label], 'segmentations': masks})
    return entries


def test_the_file_is_what_json_dump_writes(tmp_path):
    assert write_all(tmp_path / 'results.json').decode() == json.dumps(expected_entries())
    assert [path.name for path in tmp_path.iterdir()] == ['results.json']  # no journal, no temporary file left


def test_every_mask_decodes_at_the_size_of_its_video(tmp_path):
    entries = json.loads(write_all(tmp_path / 'results.json'))
    masks = [rle for entry in entries for rle in entry['segmentations'] if rle is not None]
    assert len(masks) > 10
    for rle in masks:
        assert decode_rle(rle).shape == SIZE and decode_rle(rle).any()


@pytest.mark.parametrize('stop', [0, 1, 2])
def test_a_killed_run_goes_on_at_the_first_unfinished_video(tmp_path, stop):
    expected = write_all(tmp_path / 'whole.json')
    path = tmp_path / 'results.json'
    writer = make_writer(path)
    writer.open()
    write_video(writer, 3)  # not in the order of the dataset: processes share videos out by length
    write_video(writer, 7, stop=stop)
    writer.close()
    part = tmp_path / 'results.json.part.0'
    part.write_bytes(part.read_bytes()[:-5])  # a kill in the middle of a line
    assert not path.exists()

    writer = make_writer(path)
    writer.open()
    assert writer.finished == [3]
    for video_id in ['camera', 7]:
        write_video(writer, video_id)
    writer.join()
    assert path.read_bytes() == expected


def test_journals_of_more_processes_than_now(tmp_path):
    expected = write_all(tmp_path / 'whole.json')
    path = tmp_path / 'results.json'
    writer = make_writer(path)
    writer.open()
    write_video(writer, 'camera')
    writer.close()
    (tmp_path / 'results.json.part.0').rename(tmp_path / 'results.json.part.5')

    writer = make_writer(path)
    writer.open()
    assert writer.finished == ['camera']
    write_video(writer, 3)
    write_video(writer, 7)
    writer.join()
    assert path.read_bytes() == expected
    assert not list(tmp_path.glob('*.part.*'))


def test_an_earlier_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('old')
    writer = make_writer(path)
    writer.open()
    write_video(writer, 7)
    with pytest.raises(ValueError, match='2 of 3 videos are not finished'):
        writer.join()
    assert path.read_text() == 'old'


def test_read_gives_the_video_back(tmp_path):
    writer = make_writer(tmp_path / 'results.json')
    writer.open()
    write_video(writer, 3)
    write_video(writer, 7)
    result = writer.read(3)
    writer.close()
    assert (result.video_id, result.num_frames) == (3, 4)
    assert [TrackScore(t.track_id, t.label, t.score) for t in result.tracks] == scores(3)
    assert result.tracks[1].masks == {2: make_frame(3, 2).masks[1]}
    assert sorted(result.tracks[0].masks) == [1, 2, 3] and result.tracks[3].masks == {}


def test_a_full_disk_keeps_the_journal_and_says_how_to_go_on(tmp_path):
    class FullDisk:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(data[:10])
            raise OSError(errno.ENOSPC, 'No space left on device')

        def __getattr__(self, name):
            return getattr(self.file, name)

    writer = make_writer(tmp_path / 'results.json')
    writer.open()
    write_video(writer, 7)
    writer._journal._file = FullDisk(writer._journal._file)
    with pytest.raises(OSError, match='No space left on device.*kept in .*results.json.part.*same command again'):
        write_video(writer, 3)
    writer.close()

    writer = make_writer(tmp_path / 'results.json')
    writer.open()
    assert writer.finished == [7]
    writer.close()


@pytest.mark.parametrize('verdict, message', [
    (TrackScore(4, 1, float('nan')), 'video 7: track 4 has the score nan'),
    (TrackScore(4, 2, 0.5), 'video 7: the model gives label 2, but the dataset has 2 classes')])
def test_verdicts_that_no_server_takes_are_refused_at_once(tmp_path, verdict, message):
    writer = make_writer(tmp_path / 'results.json')
    writer.open()
    writer.start(VideoInfo(7, SIZE, SIZE, 1.0, 3))
    with pytest.raises(ValueError, match=message):
        writer.end([verdict])
    writer.close()


def test_masks_of_a_wrong_size_and_frames_too_many_are_refused(tmp_path):
    writer = make_writer(tmp_path / 'results.json')
    writer.open()
    writer.start(VideoInfo(7, (SIZE[1], SIZE[0]), SIZE, 1.0, 3))
    with pytest.raises(ValueError, match=r'video 7, frame 1: a mask of size \[12, 20\]'):
        writer.add(make_frame(7, 1))
    writer.start(VideoInfo(7, SIZE, SIZE, 1.0, 1))
    writer.add(make_frame(7, 1))
    with pytest.raises(ValueError, match='a result for frame 1, but the video has 1 frames'):
        writer.end([])
    writer.close()


def test_a_stream_has_as_many_frames_as_came(tmp_path):
    writer = ResultsWriter(str(tmp_path / 'r.json'), ['camera'], CATEGORY_IDS)
    writer.open()
    writer.start(VideoInfo('camera', SIZE, SIZE, 1.0))
    for index in (2, 0, 1):  # frames may come in any order
        writer.add(make_frame('camera', index))
    writer.end([TrackScore(4, 0, 1.)])
    writer.join()
    entry, = json.loads((tmp_path / 'r.json').read_text())
    assert entry['segmentations'] == [None, make_frame('', 1).masks[0], make_frame('', 2).masks[0]]


def test_the_pickle_of_the_original_tools(tmp_path):
    with_pickle = write_all(tmp_path / 'x.pkl.json', pickle_path=str(tmp_path / 'x.pkl'))
    assert with_pickle == write_all(tmp_path / 'results.json')
    with open(tmp_path / 'x.pkl', 'rb') as file:
        frames = pickle.load(file)
    assert type(frames) is list and len(frames) == sum(VIDEOS.values())
    assert frames[0] == ({}, [[], []]) == frames[3]  # first frames of the first two videos
    boxes, segms = frames[3 + 1]
    assert list(boxes) == [4, 1] and boxes[4]['label'] == 1
    assert boxes[4]['bbox'].dtype == np.float32
    np.testing.assert_array_equal(boxes[4]['bbox'], np.float32([2, 1, 9.25, 5, 0.1]))
    assert segms[4] == {'size': list(SIZE), 'counts': make_frame(3, 1).masks[0]['counts'].encode()}
    assert decode_rle({'size': segms[1]['size'], 'counts': segms[1]['counts'].decode()}).sum() == 0  # no pixel there


def test_a_pickle_becomes_results_by_the_rule_of_the_original_tools(tmp_path):
    write_all(tmp_path / 'x.pkl.json', pickle_path=str(tmp_path / 'x.pkl'))
    frames = official_pickle.read(str(tmp_path / 'x.pkl'))
    entries = official_pickle.to_results(frames, list(VIDEOS.items()), CATEGORY_IDS)
    assert [(entry['video_id'], entry['category_id']) for entry in entries] == [
        (video_id, category) for video_id in VIDEOS for category in (9, 5)]  # in the order of their first appearance
    assert entries[2]['score'] == pytest.approx(0.2, abs=1e-7)  # frames 1 to 3: mean of 0.1, 0.2, 0.3
    assert entries[2]['segmentations'] == [None] + [make_frame(3, index).masks[0] for index in (1, 2, 3)]
    with pytest.raises(ValueError, match='has 9 frames, but the videos of the dataset have 5'):
        official_pickle.to_results(frames, [(7, 5)], CATEGORY_IDS)


def test_ties_of_labels_go_to_the_smallest():
    box = np.zeros(5, np.float32)
    frames = [({1: {'bbox': box, 'label': label}}, {1: {'size': [2, 2], 'counts': b'04'}}) for label in (1, 0)]
    assert official_pickle.to_results(frames, [(1, 2)], CATEGORY_IDS)[0]['category_id'] == 5


def test_a_pickle_is_read_without_running_what_it_contains(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / 'made'), 'w')

    for name, content in {'evil.pkl': pickle.dumps([Evil()]), 'torn.pkl': pickle.dumps([1, 2])[:-2],
                          'other.pkl': pickle.dumps({'a': 1})}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f'{name} is not a results pickle'):
            official_pickle.read(str(tmp_path / name))
    assert not (tmp_path / 'made').exists()


def test_pickles_of_old_numpy_and_old_protocols_are_read(tmp_path):
    frames = [({1: {'bbox': np.arange(5, dtype=np.float32), 'label': 0}}, {1: {'size': [2, 2], 'counts': b'04'}}),
              ({}, [[], []])]
    for protocol in (2, 4):
        content = pickle.dumps(frames, protocol=protocol).replace(b'numpy._core.', b'numpy.core.') \
            if protocol == 2 else pickle.dumps(frames, protocol=protocol)
        (tmp_path / 'x.pkl').write_bytes(content)
        (boxes, segms), empty = official_pickle.read(str(tmp_path / 'x.pkl'))
        np.testing.assert_array_equal(boxes[1]['bbox'], np.arange(5, dtype=np.float32))
        assert segms[1]['counts'] == b'04' and empty == ({}, [[], []])
