"""COCO as videos of one frame, as pseudo-clips, and beside a video set."""
import pickle

import numpy as np
import pytest
import torch
from helpers.tiny_coco import IMAGES, write_coco
from helpers.tiny_vis import edit_json, make_tiny_dataset

from mmvis.annotations import kept, load_outlines
from mmvis.datasets import COCOClipsDataset, JointDataset, SampleKey, YTVIS2019Dataset, find_tree
from mmvis.datasets.categories import OVIS, YTVIS_2019, YTVIS_2021
from mmvis.datasets.coco_categories import CATEGORY_MAPS, COCO
from mmvis.datasets.transforms.rotate import draw_polygons
from mmvis.engine import load_config


def test_an_image_is_a_video_of_one_frame(tmp_path):
    ann_file = write_coco(tmp_path)
    dataset = COCOClipsDataset('train', str(tmp_path))
    assert (dataset.ann_file, dataset.metainfo['name'], len(dataset.classes)) == (str(ann_file), 'COCO 2017', 80)
    assert dataset.video_ids == list(IMAGES) and dataset.video_lengths.tolist() == [1] * 4
    assert len(dataset) == 3                                      # the image without an object is no item
    item = dataset[SampleKey(0, 0, 0)]
    assert item['inputs'].shape == (1, 3, 40, 60)
    sample, = item['data_samples']
    assert (sample.video_id, sample.num_frames) == (139, 1)
    names = [dataset.classes[label] for label in sample.gt_instances.labels]
    assert names == ['person', 'mouse', 'chair']
    assert [dataset.category_ids[label] for label in sample.gt_instances.labels] == [1, 74, 62]
    assert sample.gt_instances.masks.flatten(1).sum(1).tolist() == [100] * 3
    assert sample.gt_instances.bboxes[1].tolist() == [16., 6., 26., 16.]
    crowd = dataset[SampleKey(0, 0, 1)]['data_samples'][0].ignored_instances
    assert crowd.instance_ids.tolist() == [1004] and crowd.masks.sum() == 100


def test_images_without_an_object_may_be_trained_on(tmp_path):
    write_coco(tmp_path)
    dataset = COCOClipsDataset('train', str(tmp_path), keep_empty=True, pipeline=[dict(type='ClipBoxesFromMasks')])
    assert [dataset[i]['data_samples'][0].video_id for i in range(len(dataset))] == list(IMAGES)
    empty = dataset[3]['data_samples'][0].gt_instances
    assert len(empty) == 0 and empty.masks.shape == (0, 40, 60)
    assert load_config('ifc_r50_coco.py').train_dataloader.dataset.keep_empty


def test_images_are_test_videos_too(tmp_path):
    write_coco(tmp_path)
    dataset = COCOClipsDataset('train', str(tmp_path), test_mode=True)
    assert len(dataset) == 4 and dataset[3]['video'].video_id == 724 and dataset[3]['is_last']


@pytest.mark.parametrize('target, rule, expected', [
    ('ytvis2019', 'official', ['person', 'fox']), ('ytvis2019', 'fixed', ['person', 'mouse']),
    ('ytvis2021', 'official', ['person', 'mouse']), ('ovis', 'official', ['Person'])])
def test_categories_of_a_video_set(tmp_path, target, rule, expected):
    write_coco(tmp_path)
    dataset = COCOClipsDataset('train', str(tmp_path), target=target, category_map=rule)
    tables = dict(ytvis2019=YTVIS_2019, ytvis2021=YTVIS_2021, ovis=OVIS)
    assert dict(zip(dataset.category_ids, dataset.classes)) == tables[target]
    assert len(dataset) == 2                                      # the image of a chair alone is left out
    labels = dataset[SampleKey(0, 0, 0)]['data_samples'][0].gt_instances.labels
    assert [dataset.classes[label] for label in labels] == expected
    boat = dataset[SampleKey(0, 0, 1)]['data_samples'][0].gt_instances.labels
    assert dataset.classes[boat] == {'ytvis2019': 'boat', 'ytvis2021': 'boat', 'ovis': 'Motorcycle'}[target]


#: the published tables in words: classes that only change their name, or go into a wider one, and the slips
MAPPED = {
    'ytvis2019': dict(bicycle='motorbike', car='sedan', motorcycle='motorbike', mouse='fox', **{
        name: name for name in ('person', 'airplane', 'train', 'truck', 'boat', 'cat', 'dog', 'horse', 'cow',
                                'elephant', 'bear', 'zebra', 'giraffe', 'snowboard', 'skateboard', 'surfboard',
                                'tennis racket')}),
    'ytvis2021': dict(bicycle='motorbike', motorcycle='motorbike', **{
        name: name for name in ('person', 'car', 'airplane', 'train', 'truck', 'boat', 'bird', 'cat', 'dog', 'horse',
                                'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'snowboard', 'skateboard', 'surfboard',
                                'tennis racket', 'mouse')}),
    'ovis': dict(motorcycle='bicycle', airplane='motorcycle', boat='motorcycle', **{
        name: name for name in ('person', 'bicycle', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear',
                                'zebra', 'giraffe')})}


@pytest.mark.parametrize('target', MAPPED)
def test_the_official_maps_are_the_published_ones(target):
    table = dict(ytvis2019=YTVIS_2019, ytvis2021=YTVIS_2021, ovis=OVIS)[target]
    official = CATEGORY_MAPS[target]['official']
    assert {COCO[a]: table[b].lower().replace('_', ' ') for a, b in official.items()} == MAPPED[target]
    assert CATEGORY_MAPS[target]['fixed'].keys() == official.keys()


def test_the_fixed_maps_mend_the_slips_and_nothing_else():
    tables = dict(ytvis2019=YTVIS_2019, ytvis2021=YTVIS_2021, ovis=OVIS)
    changed = {target: {COCO[a]: (tables[target][rules['official'][a]], tables[target][b])
                        for a, b in rules['fixed'].items() if rules['official'][a] != b}
               for target, rules in CATEGORY_MAPS.items()}
    assert changed == {
        'ytvis2019': {'mouse': ('fox', 'mouse')}, 'ytvis2021': {},
        'ovis': {'motorcycle': ('Bicycle', 'Motorcycle'), 'airplane': ('Motorcycle', 'Airplane'),
                 'boat': ('Motorcycle', 'Boat')}}
    # where the target has a class of the same name, the fixed map finds it
    for target, rules in CATEGORY_MAPS.items():
        names = {name.lower().replace('_', ' ') for name in tables[target].values()}
        for a, b in rules['fixed'].items():
            if COCO[a] in names:
                assert tables[target][b].lower().replace('_', ' ') == COCO[a]


#: VidEoMT's tables in words, where they differ from the name of COCO
RENAMED = {
    'ytvis2019': dict(bicycle='motorbike', car='sedan', motorcycle='motorbike', skis='snowboard'),
    'ytvis2021': dict(bicycle='motorbike', motorcycle='motorbike', frisbee='flying disc', skis='snowboard'),
    'ovis': dict(car='vehical', bus='vehical', truck='vehical')}


@pytest.mark.parametrize('target, number', [('ytvis2019', 21), ('ytvis2021', 23), ('ovis', 17)])
def test_the_maps_of_videomt(target, number):
    table = dict(ytvis2019=YTVIS_2019, ytvis2021=YTVIS_2021, ovis=OVIS)[target]
    found = CATEGORY_MAPS[target]['videomt']
    words = {COCO[a]: table[b].lower().replace('_', ' ') for a, b in found.items()}
    assert len(found) == number and {a: b for a, b in words.items() if a != b} == RENAMED[target]


def test_crowded_images_can_be_left_out(tmp_path):
    write_coco(tmp_path)
    dataset = COCOClipsDataset('train', str(tmp_path), max_objects=2)
    assert [dataset[i]['data_samples'][0].video_id for i in range(len(dataset))] == [285, 632]
    assert len(dataset.landscape) == 2
    assert len(COCOClipsDataset('train', str(tmp_path), target='ytvis2019', max_objects=2)) == 2
    with pytest.raises(ValueError, match='max_objects=0'):
        COCOClipsDataset('train', str(tmp_path), max_objects=0)


def test_pseudo_clips_keep_identities(tmp_path):
    write_coco(tmp_path)
    pipeline = [dict(type='ClipRepeat', num_frames=4), dict(type='ClipShuffle'),
                dict(type='ClipWarp', rotate=(-10, 10), translate=0.05, per_frame=True)]
    item = COCOClipsDataset('train', str(tmp_path), pipeline=pipeline)[SampleKey(3, 0, 0)]
    assert item['inputs'].shape == (4, 3, 40, 60)
    assert [sample.frame_idx for sample in item['data_samples']] == [0, 1, 2, 3]
    assert len({tuple(frame.flatten().tolist()) for frame in item['inputs']}) == 4
    for sample in item['data_samples']:
        assert sample.gt_instances.instance_ids.tolist() == [1000, 1001, 1002] and sample.num_frames == 4


def test_coco_beside_a_video_set(tmp_path):
    write_coco(tmp_path)
    categories = [dict(id=i, name=n) for i, n in YTVIS_2019.items()]
    make_tiny_dataset(tmp_path / 'ytvis2019', 1, 3, categories=categories)
    clip = dict(type='SingleFrames')
    joint = JointDataset([YTVIS2019Dataset('train', str(tmp_path), clip=clip),
                          COCOClipsDataset('train', str(tmp_path), target='ytvis2019')], repeats=[1, 3])
    assert len(joint) == 3 + 2 * 3 == len(joint.landscape)
    assert joint.metainfo['name'] == 'YouTube-VIS 2019 and COCO 2017' and len(joint.metainfo['classes']) == 40
    assert [joint[SampleKey(0, 0, i)]['data_samples'][0].video_id for i in range(9)] == [10] * 3 + [139, 285] * 3
    with pytest.raises(IndexError):
        joint[9]
    with pytest.raises(ValueError, match='different classes'):
        JointDataset([YTVIS2019Dataset('train', str(tmp_path), clip=clip), COCOClipsDataset('train', str(tmp_path))])
    with pytest.raises(ValueError, match='repeats'):
        JointDataset([COCOClipsDataset('train', str(tmp_path))], repeats=[1, 2])


def test_a_repeated_item_is_drawn_anew(tmp_path):
    write_coco(tmp_path)
    pipeline = [dict(type='ClipCrop', size=(20, 35))]
    joint = JointDataset([COCOClipsDataset('train', str(tmp_path), pipeline=pipeline)], repeats=[2])
    first, again = joint[SampleKey(5, 0, 0)]['inputs'], joint[SampleKey(5, 0, 3)]['inputs']
    assert first.shape != again.shape or not torch.equal(first, again)
    # epoch 1 begins where the two passes of epoch 0 have ended
    assert torch.equal(joint[SampleKey(5, 1, 0)]['inputs'], joint.datasets[0][SampleKey(5, 2, 0)]['inputs'])


def test_a_folder_that_also_holds_a_video_set(tmp_path, monkeypatch):
    make_tiny_dataset(tmp_path / 'data', 1, 2)
    (tmp_path / 'data' / 'annotations').mkdir()
    (tmp_path / 'data' / 'train.json').rename(tmp_path / 'data' / 'annotations' / 'instances_train_sub.json')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        find_tree('coco', 'train')


@pytest.mark.parametrize('change, words', [
    (lambda data: data['images'][0].pop('width'), ['image 139', "'width'"]),
    (lambda data: data['annotations'][1].pop('segmentation'), ['image 139', 'annotation 1001', "'segmentation'"]),
    (lambda data: data['categories'][0].update(name='human'), ['id 1', 'person', 'COCO 2017']),
    (lambda data: data['annotations'][0].update(category_id=12), ['annotation 1000', 'category_id 12'])])
def test_faults_of_the_file_are_named(tmp_path, change, words):
    ann_file = write_coco(tmp_path)
    edit_json(ann_file, change)
    with pytest.raises(ValueError) as error:
        COCOClipsDataset('train', str(tmp_path))
    assert all(word in str(error.value) for word in [str(ann_file), *words])


@pytest.mark.parametrize('options, word', [(dict(target='kitti'), 'kitti'),
                                           (dict(target='ovis', category_map='mine'), 'mine')])
def test_unknown_targets(tmp_path, options, word):
    write_coco(tmp_path)
    with pytest.raises(ValueError, match=word):
        COCOClipsDataset('train', str(tmp_path), **options)


def test_a_missing_image_is_called_a_file(tmp_path):
    write_coco(tmp_path)
    (tmp_path / 'coco' / 'train2017' / '000000000724.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='video 724: file_names: the file .*000000000724.jpg is not there'):
        COCOClipsDataset('train', str(tmp_path))


def test_outlines_stay_where_a_transform_turns_them(tmp_path):
    """COCO for VidEoMT: masks are drawn from the turned corners; a crowd has its mask alone."""
    write_coco(tmp_path)
    frames = {}
    for name, pipeline in (('plain', []), ('turned', [dict(type='ClipRepeat', num_frames=2), dict(type='ClipRotate')]),
                           ('chosen', [dict(type='ClipRandomChoice', branches=[[dict(type='ClipDrawPolygons')]])])):
        dataset = COCOClipsDataset('train', str(tmp_path), pipeline=pipeline)
        dataset = pickle.loads(pickle.dumps(dataset))                      # as in a worker that is spawned
        frames[name] = [dataset.load_frame(i, 0) for i in range(4)]
        assert (dataset.outlines is None) == (name == 'plain')
        sample = dataset[SampleKey(0, 0, 0)]['data_samples'][-1]
        assert sample.gt_instances.masks.flatten(1).any(1).all() and len(sample.gt_instances) == 3
    assert all(frame.polygons is None for frame in frames['plain'])
    for found, plain in zip(frames['turned'], frames['plain']):
        for parts, mask, crowd in zip(found.polygons, plain.masks, plain.crowd):
            assert (parts is None) == crowd
            assert crowd or np.array_equal(draw_polygons([parts], 40, 60)[0], mask)
    assert frames['turned'][0].polygons[1][0].tolist() == [[16, 6], [26, 6], [26, 16], [16, 16]]
    assert [parts is None for parts in frames['chosen'][1].polygons] == [False, True]
    assert frames['turned'][3].polygons == []
    assert COCOClipsDataset('train', str(tmp_path), test_mode=True, pipeline=[dict(type='ClipRotate')]).outlines is None


def test_outlines_are_kept_between_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, 'MIN_CACHED_BYTES', 0)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    ann_file, notes = write_coco(tmp_path), []
    first, again = load_outlines(ann_file, notes.append), load_outlines(ann_file, notes.append)
    worker = pickle.loads(pickle.dumps(again))
    assert len(notes) == 1 and 'for the first time' in notes[0] and worker.cache_key == first.cache_key != ''
    assert len(first.part_ptr) == 7 and first.part_ptr.tolist() == [0, 1, 2, 3, 4, 4, 5]
    for other in (again, worker):
        assert np.array_equal(first.points, other.points) and other.parts(4) is None
    assert len(pickle.dumps(again)) < 500
