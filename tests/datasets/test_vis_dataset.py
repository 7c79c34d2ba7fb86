import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.tiny_vis import edit_json, make_tiny_dataset
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvis.annotations import kept
from mmvis.datasets import (
    ClipBatchSampler,
    ClipSampler,
    SampleKey,
    VISDataset,
    YTVIS2019Dataset,
    YTVIS2021Dataset,
    clip_collate,
)
from mmvis.datasets.categories import OVIS, YTVIS_2019, YTVIS_2021
from mmvis.datasets.clip import ClipFrame
from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.registry import DATASETS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
PAIRS = dict(type='KeyReferencePairs')
AUGMENT = [dict(type='ClipResize', scale=(40, 24)), dict(type='ClipFlip', prob=0.5)]


def train_set(root, **kwargs):
    return VISDataset('train', str(root), **{'clip': PAIRS, **kwargs})


def test_a_training_item(tmp_path):
    ann_file = make_tiny_dataset(tmp_path)
    dataset = train_set(tmp_path, box_mode='inclusive')
    assert len(dataset) == 12 and dataset.metainfo == dict(
        classes=('square', 'bar', 'plate'), category_ids=(3, 7, 12), name='own data', ann_file=str(ann_file),
        has_annotations=True)
    item = dataset[SampleKey(0, 0, 8)]
    assert item['inputs'].dtype == torch.uint8 and item['inputs'].shape == (2, 3, 48, 80)
    key, reference = item['data_samples']
    assert (key.video_id, key.frame_idx, key.num_frames) == (20, 2, 6) and reference.frame_idx != 2
    assert (key.ori_shape, key.img_shape, key.scale_factor, key.flip) == ((48, 80), (48, 80), 1.0, False)
    objects = key.gt_instances
    assert objects.bboxes.dtype == torch.float32 and objects.masks.dtype == torch.uint8
    assert objects.labels.tolist() == [2, 0] and objects.instance_ids.tolist() == [102, 103]
    for mask, (x1, y1, x2, y2) in zip(objects.masks, objects.bboxes.long().tolist()):
        assert mask[y1:y2 + 1, x1:x2 + 1].all() and mask.sum() == (x2 - x1 + 1) * (y2 - y1 + 1)
    assert len(key.ignored_instances) == 0
    assert np.array_equal(item['inputs'][0].numpy().transpose(1, 2, 0), dataset.load_image(1, 2))


def test_half_open_boxes_are_one_larger(tmp_path):
    make_tiny_dataset(tmp_path)
    inclusive = train_set(tmp_path, box_mode='inclusive')[3]['data_samples'][0].gt_instances.bboxes
    half_open = train_set(tmp_path)[3]['data_samples'][0].gt_instances.bboxes
    assert torch.equal(half_open - inclusive, torch.tensor([[0., 0., 1., 1.]] * 2))
    with pytest.raises(ValueError, match="'closed'"):
        train_set(tmp_path, box_mode='closed')


def test_null_frames_and_crowd(tmp_path):
    ann_file = make_tiny_dataset(tmp_path, num_videos=1)
    dataset = train_set(tmp_path)
    assert dataset.load_frame(0, 1).instance_ids.tolist() == [100]
    edit_json(ann_file, lambda data: data['annotations'][0].update(iscrowd=1))
    dataset = train_set(tmp_path)
    # Frame 1 shows nothing but the crowd: it is no key frame, and no reference.
    assert len(dataset) == 5
    samples = [sample for index in range(5) for sample in dataset[index]['data_samples']]
    assert 1 not in {sample.frame_idx for sample in samples}
    assert samples[0].gt_instances.instance_ids.tolist() == [101]
    assert samples[0].ignored_instances.instance_ids.tolist() == [100]
    assert samples[0].ignored_instances.masks.sum() > 0


def test_a_video_with_one_annotated_frame_gives_no_pair(tmp_path):
    ann_file = make_tiny_dataset(tmp_path)

    def change(data):
        for record in data['annotations'][:2]:
            record['bboxes'][1:] = [None] * 5
    edit_json(ann_file, change)
    dataset = train_set(tmp_path)
    assert {dataset[index]['data_samples'][0].video_id for index in range(len(dataset))} == {20}
    with pytest.raises(ValueError, match='KeyReferencePairs'):
        train_set(tmp_path, max_videos=1)


def test_every_draw_is_a_function_of_the_key(tmp_path):
    make_tiny_dataset(tmp_path)
    dataset = train_set(tmp_path, pipeline=AUGMENT)

    def drawn(seed, epoch):
        items = [dataset[SampleKey(seed, epoch, index)]['data_samples'] for index in range(len(dataset))]
        return [(samples[1].frame_idx, samples[1].flip) for samples in items]

    assert drawn(0, 0) == drawn(0, 0)
    assert len({tuple(drawn(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def batches_of(dataset, **kwargs):
    sampler = ClipBatchSampler(ClipSampler(dataset, seed=11), batch_size=3)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=clip_collate, **kwargs)
    found = []
    for epoch in range(2):
        sampler.sampler.set_epoch(epoch)
        for batch in loader:
            frames = [[sample.frame_idx for sample in clip] for clip in batch['data_samples']]
            found.append((torch.stack(batch['inputs']), frames))
    return found


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_change_nothing(tmp_path, monkeypatch, method):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(kept, 'MIN_CACHED_BYTES', 0)
    make_tiny_dataset(tmp_path)
    dataset = train_set(tmp_path, pipeline=AUGMENT)
    assert dataset.index.cache_key
    expected = batches_of(dataset)
    found = batches_of(dataset, num_workers=2, persistent_workers=True, multiprocessing_context=method)
    assert len(expected) == len(found) == 8
    for (images, frames), (other_images, other_frames) in zip(expected, found):
        assert torch.equal(images, other_images) and frames == other_frames


def test_landscape_and_portrait(tmp_path):
    ann_file = make_tiny_dataset(tmp_path, size=(40, 40))
    assert not train_set(tmp_path).landscape.any()
    shutil.rmtree(tmp_path / 'train')
    make_tiny_dataset(tmp_path, size=(40, 60))
    assert ann_file.is_file() and train_set(tmp_path).landscape.all()


def test_a_clip_without_objects_is_drawn_anew(tmp_path):
    make_tiny_dataset(tmp_path, num_videos=4)

    def only_video_30(clip, rng):
        if clip.video_id != 30:
            clip.frames = [ClipFrame(frame.frame_idx, frame.image) for frame in clip.frames]
        return clip

    kept = train_set(tmp_path, pipeline=[only_video_30])[0]['data_samples']
    assert len(kept[0].gt_instances) == 0 and kept[0].video_id == 10
    redrawn = train_set(tmp_path, pipeline=[only_video_30], redraw_empty=True)
    assert {redrawn[SampleKey(seed, 0, 0)]['data_samples'][0].video_id for seed in range(4)} == {30}
    with pytest.raises(ValueError, match='no object left'):
        train_set(tmp_path, pipeline=[only_video_30], redraw_empty=True, max_videos=2)[0]


# -- test chunks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('chunk_size', [1, 4, 6, 9])
def test_chunks_cover_every_video_in_order(tmp_path, chunk_size):
    make_tiny_dataset(tmp_path, split='valid', annotated=False)
    dataset = VISDataset('valid', str(tmp_path), test_mode=True, chunk_size=chunk_size,
                         pipeline=[dict(type='ClipResize', scale=(40, 30))])
    assert not dataset.has_annotations
    seen = []
    for video in (0, 1):
        for chunk in dataset.video_chunks(video):
            item = dataset[chunk]
            frames = range(item['frame_idx'], item['frame_idx'] + len(item['inputs']))
            seen += [(item['video'].video_id, t) for t in frames]
            assert item['is_last'] == (frames[-1] == 5) and item['inputs'].shape[1:] == (3, 24, 40)
            assert (item['video'].ori_shape, item['video'].img_shape) == ((48, 80), (24, 40))
            assert item['video'].scale_factor == 0.5 and item['video'].num_frames == 6
    assert seen == [(video_id, t) for video_id in (10, 20) for t in range(6)]
    assert len(dataset) == dataset.video_chunks(1).stop
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_max_videos(tmp_path):
    make_tiny_dataset(tmp_path, num_videos=3)
    dataset = VISDataset('train', str(tmp_path), test_mode=True, max_videos=2)
    assert len(dataset) == 12 and dataset.video_ids == [10, 20] and [v.video_id for v in dataset.videos] == [10, 20]


# -- classes and ids ---------------------------------------------------------------------------------------------------


def table(published):
    return [dict(id=category_id, name=name) for category_id, name in published.items()]


@pytest.mark.parametrize('name, published, num', [
    ('YTVIS2019Dataset', YTVIS_2019, 40), ('YTVIS2021Dataset', YTVIS_2021, 40), ('YTVIS2022Dataset', YTVIS_2021, 40),
    ('OVISDataset', OVIS, 25)])
def test_named_sets_have_their_own_lists(tmp_path, name, published, num):
    make_tiny_dataset(tmp_path, categories=table(published), num_objects=3)
    dataset = DATASETS.build(dict(type=name, data_root=str(tmp_path), clip=PAIRS))
    assert len(dataset.classes) == num and dataset.category_ids == tuple(range(1, num + 1))
    assert dataset.classes == tuple(published.values())
    assert dataset.load_frame(0, 0).labels.tolist() == [0, 1, 2]


def test_a_file_of_another_set_is_refused(tmp_path):
    make_tiny_dataset(tmp_path, categories=table(YTVIS_2019))
    with pytest.raises(ValueError, match="train.json: categories: id 1 is 'person', but 'airplane' in YouTube-VIS "
                                         '2021; the table is that of YouTube-VIS 2019'):
        YTVIS2021Dataset('train', str(tmp_path), clip=PAIRS)
    ann_file = make_tiny_dataset(tmp_path, categories=table(YTVIS_2019) + [dict(id=41, name='kite')])
    with pytest.raises(ValueError, match=r"id 41 \('kite'\) is not one of the 40"):
        YTVIS2019Dataset('train', str(tmp_path), clip=PAIRS)
    # Spelling and the order of the table are free; the ids are not.
    edit_json(ann_file, lambda data: data.update(categories=[
        dict(id=c['id'], name=c['name'].replace('_', ' ').title()) for c in reversed(data['categories'][:40])]))
    assert YTVIS2019Dataset('train', str(tmp_path), clip=PAIRS).load_frame(0, 0).labels.tolist() == [0, 1]


def test_classes_of_ones_own(tmp_path):
    make_tiny_dataset(tmp_path)
    dataset = train_set(tmp_path, classes=['plate', 'square'])
    assert dataset.category_ids == (12, 3)
    assert dataset.load_frame(0, 0).instance_ids.tolist() == [100]      # 101 is a 'bar'
    assert dataset.load_frame(1, 0).labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match="class 'cup'.*bar, plate, square"):
        train_set(tmp_path, classes=['cup'])
    with pytest.raises(ValueError, match='YouTube-VIS 2019 has its own classes'):
        YTVIS2019Dataset('train', str(tmp_path), clip=PAIRS, classes=['cup'])


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_by_name(tmp_path):
    ann_file = make_tiny_dataset(tmp_path)
    assert VISDataset(ann_file=str(ann_file), clip=PAIRS).img_prefix == str(tmp_path / 'train' / 'JPEGImages')
    dataset = VISDataset(data_root=str(tmp_path), ann_file='train.json', img_prefix='train/JPEGImages', clip=PAIRS)
    assert dataset.load_image(0, 0).shape == (48, 80, 3)
    with pytest.raises(FileNotFoundError, match='no.json is missing'):
        VISDataset(ann_file=str(tmp_path / 'no.json'), clip=PAIRS)
    with pytest.raises(FileNotFoundError, match='image folder .*nowhere is not there'):
        VISDataset(ann_file=str(ann_file), img_prefix=str(tmp_path / 'nowhere'), clip=PAIRS)
    shutil.move(tmp_path / 'train', tmp_path / 'hidden')
    with pytest.raises(FileNotFoundError, match='train.json: .*img_prefix'):
        VISDataset(ann_file=str(ann_file), clip=PAIRS)


def test_a_missing_video_folder_is_told_at_once(tmp_path):
    make_tiny_dataset(tmp_path)
    shutil.rmtree(tmp_path / 'train' / 'JPEGImages' / 'video_1')
    with pytest.raises(FileNotFoundError, match=r'train.json: video 20: file_names: the folder .*video_1 is not there'):
        train_set(tmp_path)


def test_nothing_to_train_on(tmp_path):
    make_tiny_dataset(tmp_path, annotated=False)
    with pytest.raises(ValueError, match="train.json: the list 'annotations' is empty"):
        train_set(tmp_path)
    make_tiny_dataset(tmp_path)
    with pytest.raises(ValueError, match='clip strategy'):
        train_set(tmp_path, clip=None)


def test_bad_frames_cost_one_sentence(tmp_path):
    make_tiny_dataset(tmp_path, num_videos=1)
    dataset = VISDataset('train', str(tmp_path), test_mode=True)
    folder = tmp_path / 'train' / 'JPEGImages' / 'video_0'
    (folder / '00000.jpg').unlink()
    (folder / '00001.jpg').write_bytes((folder / '00001.jpg').read_bytes()[:-90])
    cv2.imwrite(str(folder / '00002.jpg'), np.zeros((80, 48, 3), np.uint8))
    with pytest.raises(FileNotFoundError, match='train.json: video 10: .*video_0/00000.jpg is missing'):
        dataset[0]
    with pytest.raises(ValueError, match='train.json: video 10: .*video_0/00001.jpg is cut short'):
        dataset[1]
    with pytest.raises(ValueError, match='video 10: .*video_0/00002.jpg is 48 x 80 pixels.*width 80, height 48'):
        dataset[2]


# -- configs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['ytvis2019', 'ytvis2021', 'ytvis2022', 'ovis', 'sample'])
def test_base_configs_build(tmp_path, name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    published = DATASETS.get(config.dataset_type).PUBLISHED
    categories = table(published) if published else [dict(id=3 * i, name=f'c{i}') for i in range(8)]
    for split in ('train', 'valid'):
        make_tiny_dataset(tmp_path, split=split, categories=categories)
    for loader, keys in ((config.train_dataloader, dict(clip=PAIRS)), (config.val_dataloader, {}),
                         (config.test_dataloader, {})):
        dataset = DATASETS.build({**loader.dataset, 'data_root': str(tmp_path), **keys})
        assert len(dataset.classes) == config.num_classes and len(dataset) == 12
    assert config.val_evaluator.type == 'VISMetric'


def test_a_base_config_gives_a_data_loader_to_the_runner(tmp_path):
    make_tiny_dataset(tmp_path)
    config = Config.fromfile(CONFIGS / 'sample.py')
    options = dict(num_workers=0, persistent_workers=False)
    config.merge_from_dict(dict(
        train_dataloader=dict(options, dataset=dict(data_root=str(tmp_path), clip=PAIRS)),
        val_dataloader=dict(options, dataset=dict(data_root=str(tmp_path), split='train', chunk_size=4))))
    with DefaultScope.overwrite_default_scope('mmvis'):
        loader = Runner.build_dataloader(config.train_dataloader, seed=5)
        batches = list(Runner.build_dataloader(config.val_dataloader, seed=5))
    batch = next(iter(loader))
    assert len(loader) == 6 and loader.batch_sampler.sampler.seed == 5
    assert [images.shape for images in batch['inputs']] == [(2, 3, 48, 80)] * 2
    assert [[type(sample) for sample in clip] for clip in batch['data_samples']] == [[FrameSample] * 2] * 2
    assert [(b['video'][0].video_id, b['frame_idx'], b['is_last']) for b in batches] == [
        (10, [0], [False]), (10, [4], [True]), (20, [0], [False]), (20, [4], [True])]


@pytest.mark.parametrize('start', ['fork', 'spawn'])
def test_damaged_frames_that_workers_use_are_known_here(tmp_path, start):
    make_tiny_dataset(tmp_path, split='valid')
    frame = tmp_path / 'valid' / 'JPEGImages' / 'video_1' / '00003.jpg'
    frame.write_bytes(frame.read_bytes()[:-20] + b'\xff\xd9')
    stop = VISDataset('valid', str(tmp_path), test_mode=True)
    assert stop.used_damaged is None
    with pytest.raises(InputError, match='video 20: frame .*video_1/00003.jpg is damaged'):
        stop[9]
    use = VISDataset('valid', str(tmp_path), test_mode=True, damaged_frames='use')
    items = list(DataLoader(use, num_workers=1, batch_size=None, multiprocessing_context=start))
    assert len(items) == 12 and use.used_damaged.nonzero().flatten().tolist() == [9]
    assert use.frame_path(9) == str(frame)
    with pytest.raises(InputError, match="damaged_frames is 'stop' or 'use', not 'go on'"):
        VISDataset('valid', str(tmp_path), test_mode=True, damaged_frames='go on')


@pytest.mark.parametrize('prefix', ['./', '../JPEGImages/', '{root}/train/JPEGImages/'])
def test_file_names_may_be_relative_or_absolute(tmp_path, prefix):
    ann_file = make_tiny_dataset(tmp_path)
    expected = VISDataset('train', str(tmp_path), test_mode=True).load_image(1, 2)

    def change(data):
        for video in data['videos']:
            video['file_names'] = [prefix.format(root=tmp_path) + name for name in video['file_names']]
    edit_json(ann_file, change)
    assert np.array_equal(VISDataset('train', str(tmp_path), test_mode=True).load_image(1, 2), expected)
    named = VISDataset(ann_file=str(ann_file), img_prefix=str(tmp_path / 'train' / 'JPEGImages'), test_mode=True)
    assert np.array_equal(named.load_image(1, 2), expected)


@pytest.mark.parametrize('number, name', [(3, '../../../secret.jpg'), (3, '/etc/passwd'), (0, '.')])
def test_a_frame_outside_the_image_folder_is_refused(tmp_path, number, name):
    ann_file = make_tiny_dataset(tmp_path)
    edit_json(ann_file, lambda data: data['videos'][0]['file_names'].__setitem__(number, name))
    with pytest.raises(ValueError, match=f"video 10: file_names: '{name}' is not in the image folder"):
        VISDataset(ann_file=str(ann_file), img_prefix=str(tmp_path / 'train' / 'JPEGImages'), test_mode=True)


def test_a_file_of_crowds_alone_is_named(tmp_path):
    ann_file = make_tiny_dataset(tmp_path)
    edit_json(ann_file, lambda data: [record.update(iscrowd=1) for record in data['annotations']])
    with pytest.raises(ValueError, match='train.json: all 4 objects are crowds'):
        VISDataset('train', str(tmp_path), clip=dict(type='KeyReferencePairs'))


def test_a_name_of_two_categories_is_no_class(tmp_path):
    ann_file = make_tiny_dataset(tmp_path)
    edit_json(ann_file, lambda data: data['categories'][1].update(name='square'))
    for classes in (None, ['square']):
        with pytest.raises(ValueError, match="ids 3 and 7 have the same name, 'square'"):
            VISDataset('train', str(tmp_path), test_mode=True, classes=classes)
    assert VISDataset('train', str(tmp_path), test_mode=True, classes=['plate']).classes == ('plate',)
