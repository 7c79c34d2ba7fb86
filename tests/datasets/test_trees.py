import json
from pathlib import Path

import pytest

from mmvis.datasets import find_tree
from mmvis.datasets.trees import frame_below

# name, split, data_root, annotation file, image folder: each tree that the READMEs of the official code bases or the
# official downloads have.
TREES = [
    ('ytvis2019', 'train', 'data', 'data/annotations/instances_train_sub.json', 'data/train'),
    ('ytvis2019', 'valid', 'data', 'data/annotations/instances_val_sub.json', 'data/val'),
    ('ytvis2019', 'valid', 'data', 'data/annotations/instances_val_sub.json', 'data/val/JPEGImages'),
    ('ytvis2019', 'train', 'data', 'data/ytvis2019/annotations/instances_train_sub.json',
     'data/ytvis2019/train/JPEGImages'),
    ('ytvis2019', 'valid', 'data', 'data/ytvis2019/valid.json', 'data/ytvis2019/valid/JPEGImages'),
    ('ytvis2019', 'test', 'data', 'data/ytvis2019/test.json', 'data/ytvis2019/test/JPEGImages'),
    ('ytvis2019', 'train', 'data', 'datasets/ytvis_2019/train.json', 'datasets/ytvis_2019/train/JPEGImages'),
    ('ytvis2019', 'valid', 'data', 'datasets/ytvis_2019/valid.json', 'datasets/ytvis_2019/valid/JPEGImages'),
    ('ytvis2019', 'test', 'data', 'datasets/ytvis_2019/test.json', 'datasets/ytvis_2019/test/JPEGImages'),
    ('ytvis2019', 'train', 'data', 'ytvis/annotations/instances_train_sub.json', 'ytvis/train'),
    ('ytvis2021', 'valid', 'data', 'ytvis/annotations/instances_val_sub.json', 'ytvis/val/JPEGImages'),
    ('ytvis2021', 'train', 'data', 'data/ytvis2021/train/instances.json', 'data/ytvis2021/train/JPEGImages'),
    ('ytvis2021', 'valid', 'data', 'data/ytvis_2021/valid/instances.json', 'data/ytvis_2021/valid/JPEGImages'),
    ('ytvis2019', 'train', 'data', 'data/YouTubeVIS/annotations/train.json', 'data/YouTubeVIS/train/JPEGImages'),
    ('ytvis2019', 'valid', 'data', 'data/YouTubeVIS/annotations/valid.json', 'data/YouTubeVIS/valid/JPEGImages'),
    ('ytvis2021', 'train', 'data', 'data/YVIS/annotations/instances_train.json', 'data/YVIS/train_images'),
    ('ytvis2021', 'valid', 'data', 'data/YVIS/annotations/instances_valid.json', 'data/YVIS/valid_images'),
    ('ytvis2021', 'test', 'data', 'data/YVIS/annotations/instances_test.json', 'data/YVIS/test_images'),
    ('ytvis2022', 'valid', 'data', 'data/ytvis2022/valid.json', 'data/ytvis2022/valid/JPEGImages'),
    ('ytvis2022', 'train', 'data', 'data/ytvis2021/train.json', 'data/ytvis2021/train/JPEGImages'),
    ('ovis', 'train', 'data', 'data/OVIS/annotations/annotations_train.json', 'data/OVIS/train_images'),
    ('ovis', 'valid', 'data', 'data/OVIS/annotations/annotations_valid.json', 'data/OVIS/valid_images'),
    ('ovis', 'train', 'data', 'data/ovis/annotations_train.json', 'data/ovis/train'),
    ('ovis', 'valid', 'data', 'data/ovis/annotations_valid.json', 'data/ovis/valid'),
    ('ovis', 'test', 'data', 'data/ovis/annotations_test.json', 'data/ovis/test'),
    ('coco', 'train', 'data', 'coco/annotations/instances_train2017.json', 'coco/train2017'),
    ('coco', 'valid', 'data', 'datasets/coco/annotations/instances_val2017.json', 'datasets/coco/val2017'),
    ('sample', 'long', 'data/sample', 'data/sample/long.json', 'data/sample/long/JPEGImages'),
    ('own', 'train', 'mine', 'mine/train.json', 'mine/train/JPEGImages'),
    ('own', 'val', 'mine', 'mine/val.json', 'mine/val/JPEGImages'),
    ('ovis', 'train', 'elsewhere', 'elsewhere/annotations_train.json', 'elsewhere/train'),
]


def make_tree(root, ann_file, folder, frame='abc/00000.jpg'):
    Path(root, ann_file).parent.mkdir(parents=True, exist_ok=True)
    Path(root, ann_file).write_text(json.dumps({'info': 'x' * 5000, 'videos': [{'file_names': [frame]}]}))
    path = Path(root, folder, frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize('name, split, data_root, ann_file, folder', TREES)
def test_every_tree_is_found(tmp_path, monkeypatch, name, split, data_root, ann_file, folder):
    make_tree(tmp_path, ann_file, folder)
    monkeypatch.chdir(tmp_path)
    tree = find_tree(name, split, data_root)
    assert (Path(tree.ann_file), Path(tree.img_prefix)) == (Path(ann_file), Path(folder))
    assert tree.ann_file in tree.description and tree.img_prefix in tree.description


def test_frames_of_a_split_of_the_training_set_are_in_the_training_folder(tmp_path):
    make_tree(tmp_path, 'annotations/instances_val_sub.json', 'train/JPEGImages')
    make_tree(tmp_path, 'annotations/instances_test.json', 'valid/JPEGImages', 'another/0.jpg')
    tree = find_tree('ytvis2019', 'valid', str(tmp_path))
    assert Path(tree.img_prefix) == tmp_path / 'train' / 'JPEGImages'


def test_a_set_by_its_own_name_goes_before_a_flat_tree(tmp_path):
    make_tree(tmp_path, 'train.json', 'train')
    make_tree(tmp_path, 'ytvis2021/train.json', 'ytvis2021/train')
    assert Path(find_tree('ytvis2021', 'train', str(tmp_path)).ann_file) == tmp_path / 'ytvis2021' / 'train.json'


def test_what_is_not_there_is_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        find_tree('ovis', 'train')
    for word in ('ovis train', 'data/README.md', 'data/OVIS', 'datasets/ovis', 'annotations_train.json',
                 'train_images'):
        assert word in str(error.value)
    with pytest.raises(FileNotFoundError, match='tools/make_sample.py'):
        find_tree('sample', 'valid', 'data/sample')
    with pytest.raises(ValueError, match="'kitti'"):
        find_tree('kitti', 'train')


def test_annotations_without_their_frames_are_named(tmp_path):
    make_tree(tmp_path, 'train.json', 'elsewhere')
    with pytest.raises(FileNotFoundError, match=r'Found .*train\.json, but its first frame \(.abc/00000\.jpg.\)'):
        find_tree('own', 'train', str(tmp_path))


@pytest.mark.parametrize('name', ['./abc/0.jpg', '../frames/abc/0.jpg', 'abc/../abc/0.jpg', '{root}/frames/abc/0.jpg',
                                  '{root}/link/abc/0.jpg'])
def test_a_frame_may_be_named_in_any_way_that_ends_in_the_folder(tmp_path, name):
    (tmp_path / 'frames').mkdir()
    (tmp_path / 'link').symlink_to('frames')
    for folder in ('frames', 'link'):
        assert frame_below(str(tmp_path / folder), name.format(root=tmp_path)) == str(Path('abc', '0.jpg'))


@pytest.mark.parametrize('name', ['..', '.', '../abc/0.jpg', '/etc/passwd', '../frames2/0.jpg', '{root}/frames'])
def test_a_frame_elsewhere_is_not_below_the_folder(tmp_path, name):
    assert frame_below(str(tmp_path / 'frames'), name.format(root=tmp_path)) is None


@pytest.mark.parametrize('literal', ['"\\ud800.jpg"', '"a\\u0000.jpg"', '"\\x.jpg"'])
def test_a_name_that_no_file_can_have_is_in_no_folder(tmp_path, literal):
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train.json').write_text('{"videos": [{"file_names": [%s]}]}' % literal)
    with pytest.raises(FileNotFoundError, match=r'Found .*train\.json'):
        find_tree('own', 'train', str(tmp_path))
