"""The data preprocessor: pixels, padding, and that samples go to the device of the model."""
import pytest
import torch
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
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
