"""The network of Mask2Former: masked attention, scales, float32, images of a folder."""
import copy

import pytest
import torch
from helpers.tiny_segmenter import tiny_model, tiny_segmenter
from helpers.tiny_videomt import tiny_frames, tiny_samples
from torch.nn import functional as F

from mmvis.models.layers.inference import optimize_for_inference
from mmvis.models.layers.query_instances import query_instances
from mmvis.models.mask2former.decoder import hidden_places
from mmvis.structures import VideoInfo, decode_rle

SIZE = (64, 96)


def test_a_query_looks_at_its_mask_or_everywhere():
    masks = torch.full((1, 4, 4, 4), -2.)
    masks[0, 1] = 3.
    masks[0, 2, :2] = 1.
    masks[0, 3] = 0.
    hidden = hidden_places(masks, (2, 2))
    assert hidden.tolist() == [[[False] * 4, [False] * 4, [False, False, True, True], [False] * 4]]


@torch.no_grad()
def test_scales_go_from_coarse_to_fine():
    segmenter = tiny_segmenter().eval()
    features = segmenter.encode(tiny_frames(2, SIZE))
    assert [tuple(x.shape) for x in features.scales] == [(2, 32, 2, 3), (2, 32, 4, 6), (2, 32, 8, 12)]
    assert features.mask_features.shape == (2, 32, 16, 24)
    assert [tuple(x.shape[-2:]) for x in features.positions] == [(2, 3), (4, 6), (8, 12)]
    level = segmenter.pixel_decoder.level_embed
    assert level.shape == (3, 32) and 0.5 < level.std() < 1.5                       # normal numbers, not zeros


@torch.no_grad()
def test_every_layer_or_the_last_alone():
    segmenter = tiny_segmenter().eval()
    frames = tiny_frames(2, SIZE)
    every, last = segmenter(frames), segmenter(frames, every_layer=False)
    assert len(every) == 4 and len(last) == 1
    for a, b in zip(every[-1], last[0]):
        assert torch.equal(a, b)
    for prediction in every:
        assert prediction.logits.shape == (2, 8, 6) and prediction.masks.shape == (2, 8, 16, 24)
    # each image by itself
    torch.testing.assert_close(segmenter(frames[:1])[-1].masks, every[-1].masks[:1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_layer_does_not_see_what_is_hidden():
    """The same output whatever stands at places that the query does not look at."""
    layer = tiny_segmenter().decoder.layers[0].eval()
    layer.self_attn.out_proj.weight.zero_()
    x, source, place = torch.randn(1, 8, 32), torch.randn(1, 6, 32), torch.randn(1, 6, 32)
    hidden = torch.zeros(1, 8, 6, dtype=torch.bool)
    hidden[0, 2, 3:] = True
    out = layer(x, torch.zeros(1, 8, 32), source, place, hidden)
    source[0, 3:] += 5
    changed = (layer(x, torch.zeros(1, 8, 32), source, place, hidden) - out).abs().amax(-1)[0]
    assert changed[2] == 0 and (changed[[0, 1, 3, 4, 5, 6, 7]] > 1e-3).all()


def test_the_pixel_decoder_stays_in_float32():
    segmenter = tiny_segmenter().eval()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        features = segmenter.encode(tiny_frames(1, SIZE))
        prediction = segmenter(tiny_frames(1, SIZE), every_layer=False)[-1]
    assert {x.dtype for x in (*features.scales, features.mask_features)} == {torch.float32}
    assert prediction.masks.dtype == torch.bfloat16


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_fast_model_finds_the_same(precision):
    model = tiny_model('Mask2Former')
    fast = optimize_for_inference(copy.deepcopy(model), precision)
    assert fast.segmenter.pixel_decoder.mask_features.weight.dtype == torch.float32
    assert fast.segmenter.decoder.class_head.weight.dtype == (torch.float32 if precision == 'fp32' else torch.bfloat16)
    with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
        a, b = model.encode(tiny_frames(1, SIZE)), fast.encode(tiny_frames(1, SIZE))
    same = ((a.masks > 0) == (b.masks > 0)).float().mean()
    assert same > (0.999 if precision == 'fp32' else 0.85)


def test_images_give_instances_of_their_own():
    model = tiny_model('Mask2Former', num_instances=6)
    video = VideoInfo('a', (130, 200), (60, 90), 0.5, 2)
    state = model.start(video)
    frames = model.step(state, tiny_frames(2, SIZE))
    rest, verdicts = model.finish(state)
    ids = [i for frame in frames for i in frame.track_ids.tolist()]
    assert list(rest) == [] and model.lag(state) == 0 and ids == list(range(len(verdicts))) and len(frames[0]) > 1
    with torch.no_grad():
        last = model.segmenter(tiny_frames(2, SIZE))[-1]
    found = query_instances(last.logits[0], last.masks[0], SIZE, (60, 90), (130, 200), 6)
    kept = found.masks.any(2).any(1)
    assert frames[0].scores.tolist() == pytest.approx(found.scores[kept].tolist(), rel=1e-4)
    full = F.interpolate(last.masks[:1], SIZE, mode='bilinear')[..., :60, :90]
    full = F.interpolate(full, (130, 200), mode='bilinear')[0] > 0
    for query, rle in zip(found.queries[kept], frames[0].masks):
        assert (decode_rle(rle) != full[query].numpy()).sum() <= 2


def test_losses_of_every_prediction():
    model = tiny_model('Mask2Former').train()
    clips = torch.stack([tiny_frames(1, SIZE), tiny_frames(1, SIZE, seed=1)])
    losses = model.loss(clips, [tiny_samples([[0, 1]], [4, 1], SIZE), tiny_samples([[]], [], SIZE)])
    assert list(losses) == [f'loss_{kind}{i}' for i in ('', '_0', '_1', '_2') for kind in ('ce', 'mask', 'dice')]
    sum(losses.values()).backward()
    assert [name for name, x in model.named_parameters() if x.grad is None] == []
    assert model.data_preprocessor.num_classes == 5
