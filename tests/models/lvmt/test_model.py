"""PMT and LVMT: the frozen transformer, the state of a stream, whole videos, training."""
import copy

import pytest
import torch
from helpers.tiny_lvmt import DINOV2, DINOV3, tiny_config, tiny_model
from helpers.tiny_videomt import NUM_CLASSES, tiny_frames, tiny_samples

from mmvis.models.layers.inference import optimize_for_inference
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo

VIDEO = VideoInfo(1, (90, 120), (44, 60), 0.5, 6)
KINDS = ['gru', 'linear']
BACKBONES = pytest.mark.parametrize('backbone', [DINOV2, DINOV3], ids=['dinov2', 'dinov3'])


def run(model, frames, chunk):
    state = model.start(VIDEO)
    for part in frames.split(chunk):
        assert model.step(state, part) == []
    late, verdicts = model.finish(state)
    return state, list(late), verdicts


@pytest.mark.parametrize('kind', KINDS)
@BACKBONES
@torch.no_grad()
def test_frame_by_frame_is_the_whole_video_to_the_last_bit(kind, backbone):
    model, frames = tiny_model(kind, backbone=backbone), tiny_frames(6)
    features = model.encode(frames)
    states = []
    for parts in ([6], [1] * 6, [2, 4]):
        state = model.start(VIDEO)
        for x in features.x.split(parts):
            model.advance(state, features._replace(x=x))
        states.append(state)
    results = [model.finish(state) for state in states]
    whole = list(results[0][0])
    for state, (late, verdicts) in zip(states, results):
        assert torch.equal(state.queries, states[0].queries) and verdicts == results[0][1]
        for a, b in zip(late if state is not states[0] else whole, whole):
            assert a.track_ids.tolist() == b.track_ids.tolist() and a.masks == b.masks


@pytest.mark.parametrize('kind', KINDS)
def test_records_are_those_of_all_frames_at_once(kind):
    model, frames = tiny_model(kind), tiny_frames(6)
    with torch.no_grad():
        layers, queries, size = model.clip_layers(frames[None])
        logits, _ = model.predict(layers[-1], size)
    state, late, verdicts = run(model, frames, 4)
    scores, places = logits.mean(0).softmax(-1)[:, :-1].flatten().topk(10)
    assert [v.track_id * NUM_CLASSES + v.label for v in verdicts] == places.tolist()
    assert [v.score for v in verdicts] == pytest.approx(scores.tolist(), rel=1e-5)
    torch.testing.assert_close(state.queries, queries)
    assert model.lag(state) is None and [frame.frame_idx for frame in late] == list(range(6))


@torch.no_grad()
def test_what_queries_become():
    """The GRU's hidden state are the queries themselves, the learned ones enter once; PMT adds them in every frame."""
    lvmt, pmt = tiny_model('gru'), tiny_model('linear')
    out, queries = torch.randn(2, 12, 24), torch.randn(2, 8, 24)
    y, u = out[:, :8].flatten(0, 1), queries.flatten(0, 1)
    cell = lvmt.query_gru
    given, kept = (x.chunk(3, 1) for x in (y @ cell.weight_ih.T + cell.bias_ih, u @ cell.weight_hh.T + cell.bias_hh))
    reset, update = (given[0] + kept[0]).sigmoid(), (given[1] + kept[1]).sigmoid()
    new = (given[2] + reset * kept[2]).tanh()
    torch.testing.assert_close(lvmt.carry(out, queries).flatten(0, 1), (1 - update) * new + update * u)
    torch.testing.assert_close(pmt.carry(out, queries), pmt.query_updater(out[:, :8]) + pmt.q.weight)
    assert torch.equal(lvmt.start(VIDEO).queries[0], lvmt.q.weight)


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_the_state_is_float32_under_autocast(kind):
    model = tiny_model(kind)
    exact = run(model, tiny_frames(6), 2)[0].queries
    with torch.autocast('cpu', torch.bfloat16):
        state, _, _ = run(model, tiny_frames(6), 2)
    assert state.queries.dtype == torch.float32 and (state.queries - exact).abs().max() < 0.2
    fast = optimize_for_inference(copy.deepcopy(model), 'bf16')
    assert run(fast, tiny_frames(6), 2)[0].queries.dtype == torch.float32


@BACKBONES
def test_the_transformer_is_frozen(backbone):
    """No gradient, no graph, inference mode in training; its weights and numbers stay what they are."""
    model = tiny_model(backbone=backbone).train()
    assert model.training and not any(module.training for module in model.backbone.modules())
    assert model.levels[0].norm.training
    before = copy.deepcopy(model.backbone.state_dict())
    losses = model.loss(tiny_frames(3)[None], [tiny_samples([[0], [0, 1], [1]], [4, 1])])
    assert list(losses) == [f'loss_{kind}{i}' for i in ('', '_0') for kind in ('ce', 'mask', 'dice')]
    optimizer = torch.optim.AdamW([x for x in model.parameters() if x.requires_grad], 0.1)
    sum(losses.values()).backward()
    trained = {name for name, x in model.named_parameters() if x.requires_grad}
    assert {name for name, x in model.named_parameters() if x.grad is not None} == trained
    assert trained == {name for name, _ in model.named_parameters() if not name.startswith('backbone.')}
    assert model.query_gru.weight_hh.grad.any() and model.q.weight.grad.any()     # through the carried queries
    optimizer.step()
    assert all(torch.equal(value, model.backbone.state_dict()[key]) for key, value in before.items())


@BACKBONES
def test_rotary_positions_are_stretched_in_training_alone(backbone, monkeypatch):
    """One factor a forward, the same for transformer and decoder; the transformer's own positions of DINOv2 have none."""
    model, seen = tiny_model(backbone=backbone), []
    original = model.encode
    monkeypatch.setattr(model, 'encode', lambda frames, stretch=1.: seen.append(stretch) or original(frames, stretch=stretch))
    clip, samples = tiny_frames(2)[None], [tiny_samples([[0], [0]], [1])]
    model.loss(clip, samples)
    assert seen == [1.]
    model.train()
    for _ in range(20):
        model.loss(clip, samples)
    assert len(set(seen)) == 21 and 0.5 <= min(seen) < 0.8 and 1.25 < max(seen) <= 2
    model.stretch = 1.
    model.loss(clip, samples)
    assert seen[-1] == 1.
    plain, wide = original(clip[0]), original(clip[0], stretch=1.5)
    assert not torch.allclose(plain.rotation[0], wide.rotation[0])
    assert torch.equal(plain.x, wide.x) == (backbone is DINOV2)


@pytest.mark.parametrize('kind', KINDS)
@BACKBONES
def test_every_epsilon(kind, backbone):
    model = tiny_model(kind, backbone=backbone)

    def eps(part, kind=torch.nn.LayerNorm):
        return [norm.eps for norm in part.modules() if isinstance(norm, kind)]
    assert eps(model.backbone) == [1e-6 if backbone is DINOV2 else 1e-5] * 9
    assert eps(model.levels, torch.nn.BatchNorm1d) == [1e-5] * 4 and {x.norm.momentum for x in model.levels} == {0.1}
    assert eps(model.blocks) == [1e-5] * 4 and model.norm.eps == 1e-5 and eps(model.predictor) == [1e-6] * 2
    assert eps(model) == eps(model.backbone) + eps(model.blocks) + [1e-5] + eps(model.predictor)


def test_how_new_parts_start():
    model = MODELS.build(tiny_config())
    assert all(torch.equal(level.scale, torch.ones(24)) for level in model.levels)
    assert all((ls.gamma == 1).all() for block in model.blocks for ls in (block.ls1, block.ls2))
    assert model.blocks[0].mlp.fc1.out_features == 24 and model.levels[0].mlp.fc1.out_features == 12


@pytest.mark.parametrize('changes, sentence', [
    (dict(kind='lstm'), "propagation is 'gru' or 'linear', not 'lstm'"),
    (dict(levels=(0, 4)), 'levels are \\(0, 4\\); they must rise, from 0 to at most 3'),
    (dict(levels=(2, 1)), 'they must rise'),
    (dict(stretch=0.5), 'stretch is 0.5 and chunk_frames 0; the first must be at least 1'),
    (dict(label_rule='last'), "LVMT: label_rule is 'annotated' or 'official', not 'last'")])
def test_bad_settings(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        tiny_model(**changes)
