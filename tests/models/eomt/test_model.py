"""EoMT: masked attention and its fading, losses, instances of images."""
import copy

import numpy as np
import pytest
import torch
from helpers.tiny_videomt import tiny_frames, tiny_model, tiny_samples

from mmvis.models.layers.query_instances import query_instances
from mmvis.structures import VideoInfo, decode_rle


def eomt(**changes):
    return tiny_model('EoMT', **changes)


@torch.no_grad()
def test_a_query_sees_the_patches_of_its_mask():
    model = eomt()
    features = model.encode(tiny_frames(2))
    masks = model.decode(features, [1., 1.])[0][1]
    allowed = model.visible(masks, features, 1.)
    assert allowed.shape == (2, 8 + 5 + 12, 25) and allowed[:, 8:].all() and allowed[:, :, :13].all()
    seen = torch.nn.functional.interpolate(masks, (3, 4), mode='bilinear').flatten(2) > 0
    assert torch.equal(allowed[:, :8, 13:], seen) and seen.any() and not seen.all()
    torch.manual_seed(0)
    rows = (model.visible(masks, features, 0.5)[:, :8, 13:] != seen).any(2)
    assert 0 < rows.sum() < rows.numel()


@torch.no_grad()
def test_without_shares_there_is_no_mask():
    model = eomt()
    features = model.encode(tiny_frames(1))
    plain, faded, masked = model.decode(features), model.decode(features, [0., 0.]), model.decode(features, [1., 1.])
    assert len(plain) == 1 and len(faded) == len(masked) == 3
    assert torch.equal(plain[0][1], faded[-1][1]) and not torch.allclose(plain[0][1], masked[-1][1])
    assert torch.equal(faded[0][1], masked[0][1])


def test_the_rule_fades_with_the_steps_and_the_count_is_saved():
    model = eomt(fade=[(0, 2), (2, 4)]).train()
    shares = []
    for _ in range(5):
        shares.append(model.masked_shares())
        model.loss(tiny_frames(1)[None], [tiny_samples([[0, 1]], [4, 1])])
    half = 0.5 ** 0.9
    assert shares == [[1, 1], [pytest.approx(half), 1], [0, 1], [0, pytest.approx(half)], [0, 0]]
    again = eomt(fade=[(0, 2), (2, 4)])
    again.load_state_dict(model.state_dict())
    assert again.masked_shares() == [0, 0] and eomt().masked_shares() == [1, 1]
    model.eval().loss(tiny_frames(1)[None], [tiny_samples([[0]], [4])])
    assert model.counter.value == 5                                     # validation is no step
    for fade in ([(0, 2)], [(2, 2), (3, 4)]):
        with pytest.raises(ValueError, match='EoMT: fade is'):
            eomt(fade=fade)


def test_losses_of_every_prediction():
    model = eomt().train()
    clips = torch.stack([tiny_frames(1), tiny_frames(1, seed=1)])
    losses = model.loss(clips, [tiny_samples([[0, 1]], [4, 1]), tiny_samples([[]], [])])
    assert list(losses) == [f'loss_{kind}{i}' for i in ('', '_0', '_1') for kind in ('ce', 'mask', 'dice')]
    sum(losses.values()).backward()
    assert [name for name, x in model.named_parameters() if x.grad is None] == []


def test_images_give_instances_of_their_own():
    model = eomt(num_instances=6)
    video = VideoInfo('a', (90, 120), (44, 60), 0.5, 2)
    state = model.start(video)
    frames = model.step(state, tiny_frames(2))
    rest, verdicts = model.finish(state)
    assert list(rest) == [] and model.lag(state) == 0 and [frame.frame_idx for frame in frames] == [0, 1]
    ids = [i for frame in frames for i in frame.track_ids.tolist()]
    assert ids == list(range(len(verdicts))) and len(frames[0]) > 1
    logits, masks = model.decode(model.encode(tiny_frames(1)))[0]
    found = query_instances(logits[0], masks[0], (48, 64), (44, 60), (90, 120), 6)
    kept = found.masks.any(2).any(1)
    np.testing.assert_allclose(frames[0].scores, found.scores[kept].detach(), rtol=1e-5)
    assert all(np.array_equal(decode_rle(rle), mask) for rle, mask in zip(frames[0].masks, found.masks[kept].numpy()))


def test_scores_of_instances():
    """Probability times the mean sigmoid inside the mask; an empty mask has none."""
    logits = torch.tensor([[4., 0., 0.], [0., 3., 0.], [6., 0., 0.]])
    masks = torch.full((3, 2, 2), -3.)
    masks[0], masks[1, 0] = 1., 2.
    found = query_instances(logits, masks, (2, 2), (2, 2), (2, 2), num=3)
    probs = logits.softmax(-1)
    assert found.queries.tolist() == [1, 0, 2] and found.labels.tolist() == [1, 0, 0]
    expected = [probs[1, 1] * torch.tensor(2.).sigmoid(), probs[0, 0] * torch.tensor(1.).sigmoid(), 0.]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4)
    assert found.masks.sum((1, 2)).tolist() == [2, 4, 0]


def test_every_epsilon():
    norms = [x for x in eomt().modules() if isinstance(x, torch.nn.LayerNorm)]
    assert len(norms) == 2 * 4 + 1 + 2 and {norm.eps for norm in norms} == {1e-6}


def test_recomputing_changes_no_number():
    plain = eomt().train()
    saving = copy.deepcopy(plain)
    saving.backbone.with_cp = True
    values = []
    for model in (plain, saving):
        torch.manual_seed(0)
        loss = sum(model.loss(tiny_frames(1)[None], [tiny_samples([[0, 1]], [4, 1])]).values())
        loss.backward()
        values.append([loss, *(x.grad for x in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*values))
