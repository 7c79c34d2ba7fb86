"""The data preprocessor: pixels, padding, and that samples go to the device of the model."""
import pytest
import torch
from helpers.tiny_systems import SYSTEMS
from mmengine.structures import InstanceData
from virtual_cuda import VirtualCuda

from mmvis.datasets import clip_collate
from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample, PackedSamples
from mmvis.models import ClipPreprocessor


def make_sample(height, width, num=2):
    instances = InstanceData(bboxes=torch.rand(num, 4), labels=torch.zeros(num, dtype=torch.long),
                             masks=torch.ones(num, height, width, dtype=torch.uint8))
    return FrameSample(metainfo=dict(img_shape=(height, width)), gt_instances=instances,
                       ignored_instances=instances[:1].clone() if num else instances)


def make_batch():
    sizes = [(20, 40), (30, 33)]
    return dict(inputs=[torch.randint(256, (2, 3, *size), dtype=torch.uint8) for size in sizes],
                data_samples=[[make_sample(*size), make_sample(*size, num=0)] for size in sizes])


def test_training_batch_is_normalised_then_padded_with_zeros():
    batch = make_batch()
    raw = [clip.clone() for clip in batch['inputs']]
    mean, std = torch.tensor([1., 2., 3.]), torch.tensor([4., 5., 6.])
    out = ClipPreprocessor(mean.tolist(), std.tolist(), bgr_to_rgb=True, pad_size_divisor=32)(batch, training=True)
    assert out['inputs'].shape == (2, 2, 3, 32, 64) and out['inputs'].dtype == torch.float32
    for clip, padded in zip(raw, out['inputs']):
        height, width = clip.shape[-2:]
        expected = (clip[:, [2, 1, 0]].float() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        torch.testing.assert_close(padded[..., :height, :width], expected, rtol=0, atol=0)
        assert padded[..., height:, :].abs().sum() == 0 and padded[..., width:].abs().sum() == 0
    for pair, clip in zip(out['data_samples'], raw):
        height, width = clip.shape[-2:]
        assert [sample.pad_shape for sample in pair] == [(32, 64)] * 2
        assert [len(sample.gt_instances) for sample in pair] == [2, 0]
        masks = pair[0].gt_instances.masks
        assert masks.shape == (2, 32, 64) and masks.sum() == 2 * height * width
        assert pair[0].ignored_instances.masks.shape == (1, 32, 64)


@pytest.mark.parametrize('wrapped', [True, False])
def test_test_chunk(wrapped):
    chunk = torch.full((4, 3, 10, 20), 7, dtype=torch.uint8)
    preprocess = ClipPreprocessor([0.] * 3, [1.] * 3, bgr_to_rgb=False, pad_size_divisor=16)
    out = preprocess(dict(inputs=[chunk] if wrapped else chunk, is_last=[True]), training=False)
    assert out['inputs'].shape == (4, 3, 16, 32) and out['inputs'].sum() == 7 * chunk.numel()
    assert out['is_last'] == [True]


def test_test_takes_one_chunk():
    with pytest.raises(ValueError, match='one chunk'):
        ClipPreprocessor()(dict(inputs=[torch.zeros(1, 3, 4, 4, dtype=torch.uint8)] * 2), training=False)


def test_clips_of_a_batch_have_one_length():
    with pytest.raises(ValueError, match='2 and 3 frames'):
        ClipPreprocessor()(dict(inputs=[torch.zeros(n, 3, 4, 4, dtype=torch.uint8) for n in (3, 2)]), training=True)


def test_everything_moves_to_the_device():
    out = ClipPreprocessor().to('meta')(make_batch(), training=True)
    assert out['inputs'].device.type == 'meta'
    for pair in out['data_samples']:
        for sample in pair:
            for instances in (sample.gt_instances, sample.ignored_instances):
                assert {value.device.type for value in instances.values()} == {'meta'}


def test_one_size_with_grey_padding():
    """Every batch has that size; the padding is what a frame of that grey would become."""
    batch = make_batch()
    raw = [clip.clone() for clip in batch['inputs']]
    preprocess = ClipPreprocessor(size=(48, 40), pad_value=7)
    out = preprocess(batch, training=True)
    assert out['inputs'].shape == (2, 2, 3, 48, 40) and out['data_samples'][0][0].gt_instances.masks.shape == (2, 48, 40)
    for clip, padded in zip(raw, out['inputs']):
        grey = torch.full((2, 3, 48, 40), 7, dtype=torch.uint8)
        grey[..., :clip.shape[-2], :clip.shape[-1]] = clip
        assert torch.equal(padded, preprocess.normalize(grey))
    whole = torch.randint(256, (1, 3, 48, 40), dtype=torch.uint8)
    assert torch.equal(preprocess(dict(inputs=whole))['inputs'], preprocess.normalize(whole))
    with pytest.raises(ValueError, match=r'frames of 49 x 20 do not fit into size=\(48, 40\)'):
        preprocess(dict(inputs=torch.zeros(1, 3, 49, 20, dtype=torch.uint8)))


def test_packed_samples_are_the_samples():
    batch = make_batch()
    packed = PackedSamples(batch['data_samples'])
    assert len(packed) == 2 and packed.buffer.dtype == torch.uint8
    out = ClipPreprocessor()(dict(inputs=batch['inputs'], data_samples=packed), training=True)['data_samples']
    expected = ClipPreprocessor()(batch, training=True)['data_samples']
    for pair, others in zip(out, expected):
        for sample, other in zip(pair, others):
            assert sample.metainfo == other.metainfo and set(sample.keys()) == {'gt_instances', 'ignored_instances'}
            for name in sample.keys():
                mine, theirs = sample.get(name), other.get(name)
                assert set(mine.keys()) == {'bboxes', 'labels', 'masks'} and len(mine) == len(theirs)
                for key, value in mine.items():
                    assert value.dtype == theirs[key].dtype and torch.equal(value, theirs[key])


@pytest.mark.parametrize('packed', [True, False])
def test_a_batch_takes_a_copy_a_clip_and_one_for_all_annotations(packed):
    batch = make_batch()
    if packed:
        batch = clip_collate([dict(inputs=x, data_samples=y) for x, y in zip(*batch.values())])
    with VirtualCuda() as device:
        out = ClipPreprocessor().to('cuda')(batch, training=True)
        assert out['data_samples'][1][0].gt_instances.masks.device.type == out['inputs'].device.type == 'cuda'
        assert [device.total(kind) for kind in ('sync', 'upload', 'sent')] == [0, 2, 3]      # 2: mean and std


@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('label', [5, -1])
def test_a_label_without_a_class_is_told_before_it_reaches_the_device(packed, label):
    batch = make_batch()
    batch['data_samples'][1][0].gt_instances.labels[1] = label
    batch['data_samples'][1][0].set_metainfo(dict(video_id=7, frame_idx=4))
    if packed:
        batch['data_samples'] = PackedSamples(batch['data_samples'])
    with VirtualCuda() as device:
        preprocess = ClipPreprocessor().to('cuda')
        device.events.clear()
        preprocess.num_classes = 5
        with pytest.raises(InputError, match=f'Video 7, frame 4: .* label {label}, but the model has num_classes=5'):
            preprocess(batch, training=True)
        assert not device.events
        preprocess.num_classes = 6
        if label == 5:
            preprocess(batch, training=True)


@pytest.mark.parametrize('system', sorted(SYSTEMS))
def test_every_system_knows_its_classes(system):
    model = SYSTEMS[system].tiny_model()
    assert model.data_preprocessor.num_classes == model.num_classes == 5
