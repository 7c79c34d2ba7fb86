"""VidEoMT: identity by the number of the query, whole videos, streams, training."""
import copy

import numpy as np
import pytest
import torch
from helpers.tiny_videomt import NUM_CLASSES, tiny_frames, tiny_model, tiny_samples

from mmvis.models import VidEoMT
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.models.losses.clip_losses import OFFICIAL_DUMMY
from mmvis.structures import VideoInfo, decode_rle

VIDEO = VideoInfo(1, (90, 120), (44, 60), 0.5, 6)


def run(model, frames, chunk, video=VIDEO, live=False):
    state = model.start(video, live=live)
    early = [frame for part in frames.split(chunk) for frame in model.step(state, part)]
    late, verdicts = model.finish(state)
    return state, early, list(late), verdicts


def test_tracks_are_chosen_at_the_end():
    model = tiny_model()
    state, early, late, verdicts = run(model, tiny_frames(6), 4)
    assert early == [] and model.lag(state) is None
    assert [frame.frame_idx for frame in late] == list(range(6)) and len(verdicts) == 10
    scores = [verdict.score for verdict in verdicts]
    assert scores == sorted(scores, reverse=True) and {verdict.born for verdict in verdicts} == {0}
    best = {verdict.track_id: verdict for verdict in reversed(verdicts)}
    assert sum(map(len, late)) > 10
    for frame in late:
        assert frame.track_ids.dtype == np.int64 and frame.scores.dtype == np.float32
        for track, label, score, box, rle in zip(frame.track_ids, frame.labels, frame.scores, frame.boxes, frame.masks):
            assert (label, score) == (best[track].label, pytest.approx(best[track].score))
            y, x = decode_rle(rle).nonzero()
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1] and rle['size'] == [90, 120]


def test_numbers_are_those_of_all_frames_at_once():
    """The published rule: mean of the logits, softmax, best pairs; masks in two steps with a cut between."""
    model, frames = tiny_model(), tiny_frames(6)
    with torch.no_grad():
        layers, size = model.clip_layers(frames[None])
        logits, masks = model.predict(layers[-1], size)
    _, _, late, verdicts = run(model, frames, 6)
    scores, places = logits.mean(0).softmax(-1)[:, :-1].flatten().topk(10)
    assert [v.track_id * NUM_CLASSES + v.label for v in verdicts] == places.tolist()
    np.testing.assert_allclose([v.score for v in verdicts], scores, rtol=1e-5)
    full = torch.nn.functional.interpolate(masks, (48, 64), mode='bilinear')[..., :44, :60]
    full = torch.nn.functional.interpolate(full, (90, 120), mode='bilinear') > 0
    for frame in late:
        own = dict(zip(frame.track_ids.tolist(), frame.masks))
        for row in {v.track_id for v in verdicts}:
            mask = decode_rle(own[row]) if row in own else np.zeros((90, 120))
            assert (mask != full[frame.frame_idx, row].numpy()).sum() <= 1


@pytest.mark.parametrize('chunk', [1, 4])
def test_chunks_change_nothing(chunk):
    model, frames = tiny_model(), tiny_frames(6)
    one, other = run(model, frames, 6), run(model, frames, chunk)
    assert [[v.track_id, v.label] for v in one[3]] == [[v.track_id, v.label] for v in other[3]]
    for a, b in zip(one[2], other[2]):
        assert a.track_ids.tolist() == b.track_ids.tolist()
        assert all((decode_rle(x) != decode_rle(y)).sum() <= 1 for x, y in zip(a.masks, b.masks))


def test_queries_are_carried_before_the_norm_and_the_learned_ones_added():
    model = tiny_model()
    state = model.start(VIDEO)
    assert torch.equal(state.queries[0], model.q.weight)
    with torch.no_grad():
        tokens = model.encode(tiny_frames(1))
        out = model.query_blocks(state.queries, tokens.x, tokens.rotation)[-1]
        model.step(state, tiny_frames(1))
        torch.testing.assert_close(state.queries, model.query_updater(out[:, :8]) + model.q.weight)
        model.norm_queries = True
        torch.testing.assert_close(model.carry(out), model.query_updater(model.backbone.norm(out[:, :8])) + model.q.weight)


def test_a_live_source_shows_at_once_and_keeps_nothing():
    model = tiny_model(live_score=0.2)
    state, early, late, verdicts = run(model, tiny_frames(6), 2, live=True)
    assert model.lag(state) == 0 and late == [] and [frame.frame_idx for frame in early] == list(range(6))
    assert len(state.masks) == 0 and 0 < sum(map(len, early))
    assert min(score for frame in early for score in frame.scores) >= 0.2
    assert {v.track_id for v in verdicts} >= {i for frame in early for i in frame.track_ids.tolist()}
    _, _, whole, _ = run(model, tiny_frames(6), 2)
    a, b = dict(zip(early[-1].track_ids.tolist(), early[-1].masks)), dict(zip(whole[-1].track_ids.tolist(), whole[-1].masks))
    assert a.keys() & b.keys() and all(a[i] == b[i] for i in a.keys() & b.keys())


def test_losses_and_gradients():
    model = tiny_model().train()
    clips = torch.stack([tiny_frames(3), tiny_frames(3, seed=1)])
    samples = [tiny_samples([[0], [0, 1], [1]], [4, 1]), tiny_samples([[], [], []], [])]
    torch.manual_seed(0)
    losses = model.loss(clips, samples)
    assert list(losses) == [f'loss_{kind}{i}' for i in ('', '_0') for kind in ('ce', 'mask', 'dice')]
    sum(losses.values()).backward()
    assert [name for name, x in model.named_parameters() if x.grad is None] == []
    assert model.query_updater.weight.grad.any()                     # through the carried queries
    # clips of a batch do not meet
    torch.manual_seed(0)
    with torch.no_grad():
        layers, size = model.clip_layers(clips)
        alone, _ = model.clip_layers(clips[1:])
    torch.testing.assert_close(layers[-1][3:], alone[-1])


def test_official_labels_are_those_of_the_last_frame(monkeypatch):
    samples = [tiny_samples([[0], [0, 1], [1]], [4, 1])]
    for rule, expected in (('annotated', [4, 1]), ('official', [OFFICIAL_DUMMY, 1])):
        model, seen = tiny_model(label_rule=rule).train(), []
        monkeypatch.setattr(model, 'clip_losses', lambda outputs, targets: seen.append(targets[0].labels.tolist()))
        model.loss(tiny_frames(3)[None], samples)
        assert seen == [expected]
    with pytest.raises(ValueError, match="label_rule is 'annotated' or 'official', not 'last'"):
        tiny_model(label_rule='last')
    with pytest.raises(ValueError, match='num_query_blocks is 5, the backbone has 4 blocks'):
        tiny_model(num_query_blocks=5)


def test_recomputing_changes_no_number():
    plain = tiny_model().train()
    saving = copy.deepcopy(plain)
    saving.backbone.with_cp = True
    grads = []
    for model in (plain, saving):
        torch.manual_seed(0)
        sum(model.loss(tiny_frames(3)[None], [tiny_samples([[0], [0, 1], [1]], [4, 1])]).values()).backward()
        grads.append([x.grad for x in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads))


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_fast_model_finds_the_same(precision):
    model, frames = tiny_model(), tiny_frames(6)
    fast = optimize_for_inference(copy.deepcopy(model), precision)
    with torch.inference_mode():
        _, _, a, one = run(model, frames, 6)
        _, _, b, other = run(fast, frames, 6)
    found = [len({(v.track_id, v.label) for v in one} & {(v.track_id, v.label) for v in other}), len(b)]
    assert found[0] >= (10 if precision == 'fp32' else 7) and found[1] == 6


def test_every_epsilon():
    norms = [x for x in tiny_model().modules() if isinstance(x, torch.nn.LayerNorm)]
    assert len(norms) == 2 * 4 + 1 + 2 and {norm.eps for norm in norms} == {1e-6}
    rotary = VidEoMT(dict(type='ViT', embed_dims=24, depth=4, num_heads=3, position='rotary', eps=1e-5))
    assert {norm.eps for norm in rotary.backbone.modules() if isinstance(norm, torch.nn.LayerNorm)} == {1e-5}
    assert {norm.eps for norm in rotary.predictor.modules() if isinstance(norm, torch.nn.LayerNorm)} == {1e-6}
