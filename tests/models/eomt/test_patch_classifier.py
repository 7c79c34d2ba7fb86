"""Patches that say what they show: the start of a training from scratch."""
import pytest
import torch
from helpers.tiny_videomt import tiny_model
from mmengine.structures import InstanceData

from mmvis.frame_sample import FrameSample
from mmvis.models.eomt import PatchClassifier

BACKBONE = dict(type='ViT', embed_dims=16, depth=2, num_heads=2, patch_size=8, grid=(2, 3), num_registers=0)


def sample_of(labels, masks):
    return FrameSample(metainfo=dict(img_shape=masks.shape[-2:]), gt_instances=InstanceData(
        labels=torch.tensor(labels), instance_ids=torch.arange(len(labels)), masks=masks))


def test_patches_learn_the_shares_of_the_classes():
    torch.manual_seed(0)
    model = PatchClassifier(BACKBONE, num_classes=3, background_weight=0.5)
    masks = torch.zeros(2, 16, 24, dtype=torch.uint8)
    masks[0, :8, :8] = 1                           # a whole patch of class 2
    masks[1, :8, 8:12] = 1                         # half of the next is of class 0
    images, samples = torch.randn(1, 1, 3, 16, 24), [[sample_of([2, 0], masks)]]
    logits = model.logits(images[0])
    assert logits.shape == (1, 4, 2, 3)
    logp = logits.log_softmax(1)[0]
    background = logp[3].sum() - logp[3, 0, 0] - 0.5 * logp[3, 0, 1]
    expected = -(logp[2, 0, 0] + 0.5 * logp[0, 0, 1] + 0.5 * background) / (1 + 0.5 + 0.5 * 4.5)
    torch.testing.assert_close(model.loss(images, samples)['loss_patches'], expected)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(images, samples)['loss_patches'].backward()
        optimizer.step()
    found = model.logits(images[0]).argmax(1)[0]
    assert found[0, 0] == 2 and (found[1] == 3).all()


def test_objects_that_overlap_share_their_pixels_and_none_is_background():
    model = PatchClassifier(BACKBONE, num_classes=2)
    masks = torch.ones(2, 8, 8, dtype=torch.uint8)
    shares = model._class_shares(torch.tensor([0, 1]), masks)
    assert torch.equal(shares, torch.tensor([0.5, 0.5, 0])[:, None, None].expand(3, 8, 8))
    assert torch.equal(model._class_shares(torch.zeros(0, dtype=torch.int64), masks[:0])[-1], torch.ones(8, 8))


def test_its_weights_are_the_start_of_the_segmenter():
    names = {name: value.shape for name, value in PatchClassifier(BACKBONE, num_classes=3).state_dict().items()}
    segmenter = tiny_model('EoMT', backbone=BACKBONE, num_classes=3).state_dict()
    assert names == {name: segmenter[name].shape for name in names}
    assert any(name.startswith('predictor') for name in names)


def test_wrong_values_are_named():
    with pytest.raises(ValueError, match='background_weight is -1'):
        PatchClassifier(BACKBONE, num_classes=3, background_weight=-1)
    model = PatchClassifier(BACKBONE, num_classes=3)
    with pytest.raises(ValueError, match='label 3'):
        model.data_preprocessor(dict(inputs=[torch.zeros(1, 3, 16, 24)], data_samples=[[sample_of(
            [3], torch.ones(1, 16, 24, dtype=torch.uint8))]]), True)
    with pytest.raises(ValueError, match='mode'):
        model(torch.zeros(1, 1, 3, 16, 24), mode='predict')
