"""Sets of one's own as one: labels by names, images beside videos."""
import pytest
from helpers.tiny_vis import edit_json, make_tiny_dataset

from mmvis.datasets import JointDataset, SampleKey, VISDataset
from mmvis.errors import InputError

CATEGORIES = [dict(id=5, name='bar'), dict(id=1, name='plate'), dict(id=3, name='square')]


def own(ann_file, **kwargs):
    return VISDataset(ann_file=str(ann_file), data_root=str(ann_file.parent), clip=dict(type='SingleFrames'), **kwargs)


@pytest.fixture()
def files(tmp_path):
    """Two sets with the same names under other ids and in another order (square 3, bar 7, plate 12 in the first)."""
    return [make_tiny_dataset(tmp_path / 'a', 1, 3), make_tiny_dataset(tmp_path / 'b', 1, 3, categories=CATEGORIES)]


def names(joint):
    return [[joint.metainfo['classes'][label] for label in joint[SampleKey(0, 0, i)]['data_samples'][0].gt_instances.labels]
            for i in range(len(joint))]


def test_labels_go_by_names(files):
    joint = JointDataset([own(file) for file in files])
    assert joint.metainfo['classes'] == ('square', 'bar', 'plate') and joint.metainfo['category_ids'] == (3, 7, 12)
    assert names(joint)[0] == ['square', 'bar'] and names(joint)[3] == ['bar', 'plate']
    assert {dataset.classes for dataset in joint.datasets} == {('square', 'bar', 'plate')}


def test_names_of_one_set_alone_are_asked_for(files):
    edit_json(files[1], lambda data: data['categories'][1].update(name='disc'))
    with pytest.raises(InputError, match="different classes: \\['disc', 'plate'\\] are in one of them alone.*classes="):
        JointDataset([own(file) for file in files])
    joint = JointDataset([own(file) for file in files], classes=['disc', 'bar', 'square'])
    assert joint.metainfo['classes'] == ('disc', 'bar', 'square') and len(set(joint.metainfo['category_ids'])) == 3
    assert names(joint)[0] == ['square', 'bar'] and names(joint)[3] == ['bar', 'disc']
    with pytest.raises(InputError, match="the class 'dog' of classes is in none of the sets"):
        JointDataset([own(file) for file in files], classes=['dog', 'bar'])


def test_a_set_without_an_object_of_the_classes_is_named(files):
    with pytest.raises(InputError, match='a/train.json: no video has the annotated frames'):
        JointDataset([own(file) for file in files], classes=['plate'])


def test_images_of_ones_own_become_pseudo_clips_beside_videos(files, tmp_path):
    def as_images(data):
        video = data['videos'][0]
        data['images'] = [dict(id=100 + t, width=video['width'], height=video['height'], file_name=name)
                          for t, name in enumerate(video['file_names'])]
        data['annotations'] = [dict(id=10 * a['id'] + t, image_id=100 + t, category_id=a['category_id'], iscrowd=0,
                                    bbox=a['bboxes'][t], area=a['areas'][t], segmentation=a['segmentations'][t])
                               for a in data['annotations'] for t in range(video['length']) if a['segmentations'][t]]
        del data['videos']
    edit_json(files[1], as_images)
    repeat = [dict(type='ClipRepeat', num_frames=2)]
    joint = JointDataset([VISDataset(ann_file=str(files[0]), clip=dict(type='KeyReferencePairs', reference='same_video')),
                          own(files[1], pipeline=repeat)])
    assert len(joint) == 3 + 3
    for item in (joint[SampleKey(0, 0, 0)], joint[SampleKey(0, 0, 3)]):
        assert item['inputs'].shape[0] == 2 and len(item['data_samples']) == 2
    assert names(joint)[3] == ['bar', 'plate']
