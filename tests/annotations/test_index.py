import multiprocessing
import os
import pickle
import time

import numpy as np
import pytest
from helpers.tiny_vis import edit_json, make_tiny_dataset

from mmvis.annotations import kept as module
from mmvis.annotations import load_annotations


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A tiny set whose arrays go into a cache of their own; gives its annotation file and the cache folder."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(module, 'MIN_CACHED_BYTES', 0)
    return make_tiny_dataset(tmp_path / 'set'), tmp_path / 'cache' / 'mmvis' / 'annotations'


def frame_masks(index, video, frame_idx):
    return index.masks(video, index.entries(video, frame_idx))


def test_three_spellings_of_a_mask_are_one(tmp_path):
    found = []
    for mask_format in ('string', 'list', 'polygon'):
        index = load_annotations(make_tiny_dataset(tmp_path / mask_format, mask_format=mask_format))
        found.append(np.stack([frame_masks(index, video, 0) for video in (0, 1)]))
        box = index.entry_boxes[index.entries(1, 0)[1]].astype(int)
        expected = np.zeros((48, 80), np.uint8)
        expected[box[1]:box[1] + box[3], box[0]:box[0] + box[2]] = 1
        assert np.array_equal(found[-1][1, 1], expected)
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


def test_polygons_of_one_object_are_joined_and_one_without_a_pixel_is_no_mask(tmp_path):
    ann_file = make_tiny_dataset(tmp_path, mask_format='polygon')

    def change(data):
        first = data['annotations'][0]['segmentations']
        first[0] = [[0, 0, 4, 0, 4, 4, 0, 4], [10, 10, 14, 10, 14, 14, 10, 14], [1, 1, 2, 2, 1, 1]]
        first[2] = [[1, 1, 2, 2, 1, 1]]
    edit_json(ann_file, change)
    index = load_annotations(ann_file)
    mask = frame_masks(index, 0, 0)[0]
    assert mask.sum() == 32 and mask[0, 0] and mask[12, 12] and not mask[7, 7]
    assert len(index.entries(0, 2)) == 1


def test_only_valid_objects_are_entries(tmp_path):
    ann_file = make_tiny_dataset(tmp_path, num_videos=1, num_frames=6, num_objects=1)

    def change(data):
        record = data['annotations'][0]
        record['bboxes'][0] = None
        record['areas'][1] = 0
        record['bboxes'][2] = [3, 3, 0.5, 9]
        record['bboxes'][3] = [3, 3, 9, 0.99]
        record['segmentations'][4] = None
    edit_json(ann_file, change)
    index = load_annotations(ann_file)
    assert [len(index.entries(0, t)) for t in range(6)] == [0, 0, 0, 0, 0, 1]


def test_order_and_ids_are_those_of_the_file(tmp_path):
    ann_file = make_tiny_dataset(tmp_path, num_videos=3, num_objects=3)
    edit_json(ann_file, lambda data: data['annotations'].reverse())
    index = load_annotations(ann_file)
    assert index.object_ids[index.entry_objects[index.entries(0, 0)]].tolist() == [102, 101, 100]
    assert index.object_ids[index.entry_objects[index.entries(2, 1)]].tolist() == [107, 106]
    video = index.video(2)
    assert (video.video_id, video.height, video.width, video.num_frames) == (30, 48, 80, 6)
    assert video.file_names[5] == 'video_2/00005.jpg'


def test_a_file_without_annotations(tmp_path):
    index = load_annotations(make_tiny_dataset(tmp_path, annotated=False))
    assert not index.meta['has_annotations'] and len(index) == 2 and len(index.entries(1, 0)) == 0


def broken(**fields):
    """A change of the first annotation (fields of it), as a test parameter."""
    return lambda data: data['annotations'][0].update(fields)


BAD_FILES = {
    'list too short': (lambda d: d['annotations'][0]['bboxes'].pop(), ['video 10', '100', 'bboxes', '5', '6']),
    'list too long': (lambda d: d['annotations'][0]['segmentations'].append(None), ['video 10', 'segmentations', '7']),
    'areas no list': (broken(areas=5), ['video 10', 'areas', '5']),
    'category': (broken(category_id=99), ['video 10', '100', 'category_id 99']),
    'video of annotation': (broken(video_id=77), ['video_id 77']),
    'missing key': (lambda d: d['annotations'][0].pop('segmentations'), ['video 10', "'segmentations'"]),
    'annotation id twice': (broken(id=101), ['annotation', 'id', '101']),
    'video id twice': (lambda d: d['videos'][1].update(id=10), ['video', 'id', '10']),
    'category id twice': (lambda d: d['categories'][1].update(id=3), ['categories', 'id', '3']),
    'video without size': (lambda d: d['videos'][0].pop('height'), ['video 10', "'height'"]),
    'size no number': (lambda d: d['videos'][0].update(width=None), ['video 10', 'width', 'None']),
    'no frames': (lambda d: d['videos'][0].update(file_names=[]), ['video 10', 'file_names']),
    'length': (lambda d: d['videos'][0].update(length=9), ['video 10', 'length', '9', '6']),
    'no videos': (lambda d: d.pop('videos'), ["'videos'", 'missing']),
    'no categories': (lambda d: d.update(categories=[]), ["'categories'", 'empty']),
    'no object': (lambda d: d.update(videos=[3]), ["'videos'", '3']),
    'size of a mask': (lambda d: d['annotations'][0]['segmentations'][2].update(size=[80, 48]),
                       ['video 10', 'frame 2', 'segmentations', '[80, 48]', '[48, 80]']),
    'runs of a mask': (lambda d: d['annotations'][0]['segmentations'].__setitem__(0, dict(size=[48, 80], counts=[3])),
                       ['video 10', 'frame 0', 'counts', '48 x 80']),
    'mask no mask': (lambda d: d['annotations'][0]['segmentations'].__setitem__(0, 'x'), ['frame 0', 'segmentations']),
    'box no box': (lambda d: d['annotations'][0]['bboxes'].__setitem__(0, [1, 2, 3]),
                   ['frame 0', 'bboxes', '[1, 2, 3]']),
}


@pytest.mark.parametrize('name', BAD_FILES)
def test_a_bad_file_costs_one_sentence(tmp_path, name):
    change, words = BAD_FILES[name]
    ann_file = make_tiny_dataset(tmp_path)
    edit_json(ann_file, change)
    with pytest.raises(ValueError) as error:
        load_annotations(ann_file)
    message = str(error.value)
    assert '\n' not in message
    for word in [str(ann_file), *words]:
        assert word in message


def test_a_file_that_is_no_json_or_not_there(tmp_path):
    ann_file = tmp_path / 'x.json'
    with pytest.raises(FileNotFoundError, match='x.json: there is no such file'):
        load_annotations(ann_file)
    ann_file.write_text('{"videos": [')
    with pytest.raises(ValueError, match='x.json: not a JSON file'):
        load_annotations(ann_file)
    ann_file.write_text('[]')
    with pytest.raises(ValueError, match='x.json: .*a list'):
        load_annotations(ann_file)


def test_cache_gives_the_same_arrays_without_the_json(cached, monkeypatch):
    ann_file, folder = cached
    first = load_annotations(ann_file)
    assert [path.name for path in folder.iterdir()] == [first.cache_key]
    monkeypatch.setattr(module, 'parse_json', lambda data, path: pytest.fail('the JSON was read again'))
    second = load_annotations(ann_file)
    assert first.meta == second.meta
    for name, value in vars(first).items():
        if isinstance(value, np.ndarray):
            assert value.dtype == getattr(second, name).dtype and np.array_equal(value, getattr(second, name))
    with pytest.raises(ValueError):
        second.entry_boxes[0] = 0


def test_cache_sends_no_arrays_to_a_worker(cached, monkeypatch):
    index = load_annotations(cached[0])
    monkeypatch.setattr(module, 'parse_json', lambda data, path: pytest.fail('the JSON was read again'))
    text = pickle.dumps(index)
    assert len(text) < 1000
    assert np.array_equal(pickle.loads(text).entry_boxes, index.entry_boxes)


def test_a_copy_goes_by_the_content_of_the_file(cached):
    """Not by its time or size, which ``cp -p`` and ``rsync -t`` keep, nor by its name."""
    ann_file, folder = cached
    before, stat = load_annotations(ann_file), os.stat(ann_file)
    text = pickle.dumps(before)
    edit_json(ann_file, lambda data: data['videos'][0].update(id=11) or [
        record.update(video_id=11) for record in data['annotations'] if record['video_id'] == 10])
    os.utime(ann_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert os.stat(ann_file).st_size == stat.st_size
    assert load_annotations(ann_file).meta['video_ids'] == [11, 20]
    assert pickle.loads(text).meta['video_ids'] == [10, 20], 'a worker gets what its parent had'
    assert len(list(folder.iterdir())) == 2
    other = ann_file.with_name('other.json')
    other.write_bytes(ann_file.read_bytes())
    assert load_annotations(other).meta['ann_file'] == str(other) and len(list(folder.iterdir())) == 2
    (folder / before.cache_key).unlink()
    with pytest.raises(ValueError, match='has changed'):
        pickle.loads(text)


def test_a_whole_copy_is_never_written_again(cached, monkeypatch):
    """Another process, on this machine or another, may have it mapped."""
    ann_file, folder = cached
    index = load_annotations(ann_file)
    path = folder / index.cache_key
    inode = path.stat().st_ino
    monkeypatch.setattr(module, 'open_kept', lambda key: None)      # as a process that looked before it was there
    assert np.array_equal(load_annotations(ann_file).entry_boxes, index.entry_boxes)
    assert path.stat().st_ino == inode and [p.name for p in folder.iterdir()] == [index.cache_key]


def test_many_processes_make_one_copy(cached):
    ann_file, folder = cached
    context = multiprocessing.get_context('fork')
    start, said = context.Barrier(4), context.Queue()

    def read():
        start.wait()
        said.put((load_annotations(ann_file).cache_key, float(load_annotations(ann_file).entry_boxes.sum())))
    processes = [context.Process(target=read) for _ in range(4)]
    for process in processes:
        process.start()
    assert len({said.get(timeout=60) for _ in processes}) == 1
    for process in processes:
        process.join()
    assert len(list(folder.iterdir())) == 1


def test_without_hard_links_the_first_copy_stays_too(cached, monkeypatch):
    def refuse(*_):
        raise PermissionError('no hard links here')
    monkeypatch.setattr('os.link', refuse)
    ann_file, folder = cached
    path = folder / load_annotations(ann_file).cache_key
    inode = path.stat().st_ino
    monkeypatch.setattr(module, 'open_kept', lambda key: None)
    load_annotations(ann_file)
    assert path.stat().st_ino == inode and len(list(folder.iterdir())) == 1


def test_copies_that_nobody_opens_are_removed(cached):
    ann_file, folder = cached
    folder.mkdir(parents=True)
    for name, days in (('index1-old', 61), ('index1-new', 50), ('x.tmp', 2), ('y.tmp', 0)):
        (folder / name).write_text('x')
        os.utime(folder / name, (time.time() - days * 86400,) * 2)
    key = load_annotations(ann_file).cache_key
    assert {path.name for path in folder.iterdir()} == {key, 'index1-new', 'y.tmp'}
    os.utime(folder / key, (0, 0))
    load_annotations(ann_file)
    assert (folder / key).stat().st_mtime > time.time() - 999, 'opening a copy keeps it'


@pytest.mark.parametrize('harm', ['cut short', 'emptied', 'bit flipped', 'foreign'])
def test_a_harmed_cache_is_made_anew(cached, harm):
    ann_file, folder = cached
    expected = load_annotations(ann_file).mask_bytes.copy()
    path, = folder.iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    path.write_bytes({'cut short': whole[:-70], 'emptied': b'', 'bit flipped': bytes(flipped),
                      'foreign': b'x' * 999}[harm])
    assert np.array_equal(load_annotations(ann_file).mask_bytes, expected)
    assert path.read_bytes() == whole


def test_cache_falls_back_to_the_temporary_folder(cached, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'temporary'))
    assert load_annotations(cached[0]).cache_key
    assert len(list((tmp_path / 'temporary').rglob('index*'))) == 1
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'file'))
    plain = load_annotations(cached[0])
    assert not plain.cache_key
    assert np.array_equal(pickle.loads(pickle.dumps(plain)).entry_boxes, plain.entry_boxes)


@pytest.mark.skipif(not hasattr(os, 'getuid'), reason='users are told apart on POSIX only')
def test_cache_of_another_user_is_not_trusted(cached, monkeypatch):
    load_annotations(cached[0])
    monkeypatch.setattr('os.getuid', lambda: 987654)
    assert not load_annotations(cached[0]).cache_key
