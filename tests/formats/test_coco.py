"""COCO with a record a frame: the names that tools have for tracks, videos and frames, results, and faults."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvis.errors import InputError
from mmvis.formats import FORMATS
from mmvis.structures import decode_rle, encode_mask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'helpers'))
from foreign_sets import BOXES, VIDEOS, mask_of, write_coco  # noqa: E402
from tiny_vis import edit_json  # noqa: E402

coco = FORMATS['coco']


@pytest.fixture()
def file(tmp_path):
    return write_coco(tmp_path)


def rename(file, old, new):
    for record in file['annotations']:
        new(record, record.pop(old))


@pytest.mark.parametrize('how', [lambda record, value: record.update(instance_id=value),
                                 lambda record, value: record.update(attributes={'track_id': value, 'x': 0})])
def test_names_of_tracks(file, how):
    edit_json(file, lambda data: rename(data, 'track_id', how))
    assert [len(video.tracks) for video in coco.read(file, None).videos] == [2, 1]


def test_videos_and_frames_of_cocovid(file):
    def change(data):
        data['videos'] = [dict(id=5, name='b'), dict(id=3, name='a')]
        for image in data['images']:
            folder, name = image['file_name'].split('/')
            image.update(video_id={'street': 3, 'yard': 5}[folder], frame_id=100 - int(name[:6]))
    edit_json(file, change)
    found = coco.read(file, None)
    assert [(video.name, video.video_id) for video in found.videos] == [('a', 3), ('b', 5)]
    assert found.videos[0].file_names[0] == 'street/000004.jpg'  # by frame_id, not by name


def test_a_folder_of_files_and_windows_names(tmp_path):
    for number in (1, 2):
        write_coco(tmp_path / f'{number}')
    (tmp_path / 'all').mkdir()
    (tmp_path / '1' / 'images').rename(tmp_path / 'all' / 'images')
    for number in (1, 2):
        (tmp_path / f'{number}' / 'tracks.json').rename(tmp_path / 'all' / f'part{number}.json')
        edit_json(tmp_path / 'all' / f'part{number}.json', lambda data: [
            image.update(file_name=image['file_name'].replace('/', '\\')) for image in data['images']])
    found = coco.read(tmp_path / 'all', None)
    assert [video.name for video in found.videos] == [f'part{n}/{name}' for n in (1, 2) for name in VIDEOS]


def test_sizes_come_from_the_pictures(file):
    edit_json(file, lambda data: [image.pop('height') for image in data['images']])
    assert coco.read(file, None).videos[0].height == 48


def test_names_of_another_machine_are_found_below_the_frames(file):
    edit_json(file, lambda data: [image.update(file_name='/elsewhere/set/' + image['file_name'])
                                  for image in data['images']])
    found = coco.read(file, None)
    assert [video.file_names[0] for video in found.videos] == [f'{name}/000000.jpg' for name in VIDEOS]
    edit_json(file, lambda data: [image.update(file_name='D:\\set\\' + image['file_name'].rpartition('set/')[2])
                                  for image in data['images']])
    assert (coco.read(file, file.parent / 'images').root / found.videos[1].file_names[0]).is_file()


def test_videos_keep_their_folders_where_the_pictures_lie_in_one(file):
    """Names that are told apart without their folders; those that are not are refused."""
    (file.parent / 'flat').mkdir()
    for number, picture in enumerate(sorted(file.parent.glob('images/*/*.jpg'))):
        picture.rename(file.parent / 'flat' / f'{number}.jpg')
    edit_json(file, lambda data: [image.update(file_name=f'{image["file_name"].split("/")[0]}/{number}.jpg')
                                  for number, image in enumerate(data['images'])])
    found = coco.read(file, file.parent / 'flat')
    assert [len(video.file_names) for video in found.videos] == [5, 5] and found.videos[1].file_names[0] == '5.jpg'
    edit_json(file, lambda data: data['images'][7].update(file_name='elsewhere/0.jpg'))
    with pytest.raises(InputError, match='the picture .* of the first image is not in'):
        coco.read(file, file.parent / 'flat')


def test_what_the_brush_of_cvat_has_drawn_is_no_crowd(file):
    """It writes such a mask as RLE with iscrowd 1."""
    def change(data):
        for record in data['annotations']:
            record.update(iscrowd=1, attributes={'occluded': False, 'track_id': record.pop('track_id')},
                          segmentation=encode_mask(mask_of(list(map(int, record['bbox'])))))
    edit_json(file, change)
    tracks = [track for video in coco.read(file, None).videos for track in video.tracks]
    assert [(track.crowd, len(track.masks)) for track in tracks] == [(False, 5), (False, 4), (False, 5)]


def test_a_folder_with_its_parts_names_the_first(file):
    (file.parent / 'train').mkdir()
    file.rename(file.parent / 'train' / '_annotations.coco.json')
    with pytest.raises(InputError, match='there is no JSON file in it; perhaps .*train is meant'):
        coco.read(file.parent, None)


def test_crowds_need_no_track(file):
    def change(data):
        data['annotations'][0].update(iscrowd=1, segmentation=encode_mask(mask_of((0, 0, 5, 5))))
        del data['annotations'][0]['track_id']
    edit_json(file, change)
    tracks = coco.read(file, None).videos[0].tracks
    assert sorted(track.crowd for track in tracks) == [False, False, True]


@pytest.mark.parametrize('change, words', [
    (lambda d: d['annotations'][3].pop('track_id'), 'annotation 4: there is no track_id'),
    (lambda d: d['annotations'][3].update(segmentation=[]), 'annotation 4 has a bbox and no segmentation'),
    (lambda d: [a.pop('segmentation') for a in d['annotations']], 'all 14 annotations have a bbox and no segmentation'),
    (lambda d: d['annotations'][3].update(category_id=2, track_id=1), "track 1 is 'person' here and 'car' in frame"),
    (lambda d: d['annotations'].append(dict(d['annotations'][0], id=99)), 'annotation 99: track 1 has a mask in frame'),
    (lambda d: d['images'][0].update(width=90), 'begins with 80 x 48'),
    (lambda d: d['images'][0].update(file_name='street/x.jpg'), "the picture 'street/x.jpg' is not"),
    (lambda d: d['images'][1].update(file_name='street/000004.jpg'), 'have the same file_name'),
    (lambda d: d['images'][0].update(video_id=[1]), 'video_id is \\[1\\]'),
    (lambda d: d.update(videos=[dict(id=1)]) or d['images'][0].update(video_id=7), 'video_id 7 is not in the list'),
    (lambda d: d['categories'].append(dict(id=9, name='car')), 'have the same name'),
    (lambda d: d.pop('images'), "the list 'images' is missing")])
def test_one_sentence_names_the_record(file, change, words):
    edit_json(file, change)
    file_dir = file.parent / 'images'
    with pytest.raises(InputError, match=words):
        coco.read(file, file_dir if (file_dir / 'street').is_dir() and 'x.jpg' not in words else None)


# -- results

def entries(by_name=True):
    rows = []
    for number, ((video, category), boxes) in enumerate(BOXES.items()):
        for t, box in boxes.items():
            rows.append(dict(image_id=f'{video}/{t:06d}.jpg', category_id={'car': 1, 'person': 2}[category],
                             track_id=number, score=0.5 + 0.1 * (t % 2), segmentation=encode_mask(mask_of(box))))
    return rows


def test_results_of_a_tool(file, tmp_path):
    rows = entries()
    rows[0]['category_id'] = 2  # the tool was wrong in one frame
    truth = coco.read(file, None)
    rows[1]['image_id'] = next(video.image_ids[1] for video in truth.videos if video.name == 'street')
    (tmp_path / 'r.json').write_text(json.dumps(rows))
    found = coco.read_results(tmp_path / 'r.json', truth)
    car = found[0].tracks[0]
    assert car.category == 'car' and car.score == pytest.approx(0.54) and sorted(car.masks) == list(range(5))
    np.testing.assert_array_equal(decode_rle(car.masks[3]), mask_of(BOXES['street', 'car'][3]))
    assert [len(video.tracks) for video in found] == [2, 1]


@pytest.mark.parametrize('change, words', [
    (lambda r: r[2].pop('track_id'), 'entry 2 has no track_id'),
    (lambda r: r[2].update(image_id=777), 'entry 2: image_id 777 is no image'),
    (lambda r: r[2].update(category_id=9), 'entry 2: category_id 9 is not one of the annotations: \\[1, 2\\]'),
    (lambda r: r[2].update(score='x'), "entry 2: score is 'x'"),
    (lambda r: r[2].update(segmentation=dict(size=[48, 80], counts='0')), 'entry 2: counts of segmentation is no RLE'),
    (lambda r: r[2].update(segmentation=dict(size=[48, 80], counts=[5, 5])), 'entry 2: the runs'),
    (lambda r: (r[2].pop('segmentation'), r[2].update(bbox=[1, 2, 3, 4])), 'boxes have no masks'),
    (lambda r: r.append(r[2]), 'track 0 has two masks in frame 2')])
def test_faults_of_results(file, tmp_path, change, words):
    rows = entries()
    change(rows)
    (tmp_path / 'r.json').write_text(json.dumps(rows))
    with pytest.raises(InputError, match=words):
        coco.read_results(tmp_path / 'r.json', coco.read(file, None))
