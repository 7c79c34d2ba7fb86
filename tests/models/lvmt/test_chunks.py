"""Training of clips in chunks: what goes over a boundary, one step from several backward passes, several processes."""
import copy
from unittest import mock

import pytest
import torch
from helpers.tiny_lvmt import tiny_model
from helpers.tiny_videomt import tiny_frames, tiny_samples
from mmengine.optim import OptimWrapper

from mmvis.engine.amp import MixedPrecisionOptimWrapper
from mmvis.engine.own_step import OwnStepDataParallel, steps_by_itself
from mmvis.models.layers.clip_targets import clip_targets
from mmvis.models.layers.query_matching import MatchingCost, match_consistent
from mmvis.models.lvmt.chunks import ChunkState

PRESENT = [[0], [0, 1], [0], [], [1, 2], [0, 2]]


def batch():
    """Two clips of six frames; object 0 is gone in the middle."""
    samples = [tiny_samples(PRESENT, [4, 1, 2]), tiny_samples([[0]] * 6, [3])]
    return torch.stack([tiny_frames(6), tiny_frames(6, seed=1)]), samples


def wrapper_of(model, kind=OptimWrapper, **kwargs):
    trained = [x for x in model.parameters() if x.requires_grad]
    return kind(optimizer=torch.optim.SGD(trained, 1e-3), **kwargs)


class Unchanged(torch.nn.Module):
    def forward(self, data, training):
        return data


def given(model, clips, samples):
    """What the loader would give, past the preprocessor."""
    model.data_preprocessor = Unchanged()
    return dict(inputs=clips, data_samples=samples)


@pytest.mark.parametrize('kind', ['gru', 'linear'])
def test_a_step_is_the_mean_of_its_chunks(kind):
    """Each chunk from the state of the one before, without its graph; the loss of a step is the mean."""
    plain = tiny_model(kind, stretch=1.).train()
    chunked = copy.deepcopy(plain)
    chunked.chunk_frames = 2
    clips, samples = batch()
    torch.manual_seed(0)
    queries, logged = None, []
    for first in (0, 2, 4):
        layers, queries, size = plain.clip_layers(clips[:, first:first + 2], queries)
        state = ChunkState()
        outputs = [plain.predict(layers[0], size, norm=False), plain.predict(layers[-1], size)]
        with mock.patch.object(plain, 'clip_layers', lambda *args: (layers, queries, size)):
            losses = plain.chunk_losses(clips[:, first:first + 2], [x[first:first + 2] for x in samples], state)
        assert len(outputs) == len(losses) // 3 and state.queries.requires_grad is False
        (sum(losses.values()) / 3).backward()
        logged.append(sum(losses.values()).item())
        queries = queries.detach()
        if first == 0:
            first_grad = plain.q.weight.grad.clone()
    if kind == 'gru':                                    # the learned queries enter the first chunk alone
        assert torch.equal(plain.q.weight.grad, first_grad)
    torch.manual_seed(0)
    wrapper, grads = wrapper_of(chunked), {}
    with mock.patch.object(wrapper, 'zero_grad', lambda: grads.update(
            {name: x.grad for name, x in chunked.named_parameters() if x.requires_grad})):
        log = chunked.train_step(given(chunked, clips, samples), wrapper)
    assert float(log['loss']) == pytest.approx(sum(logged) / 3) and wrapper._inner_count == 1
    for name, parameter in plain.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(grads[name], parameter.grad)


def test_a_clip_in_one_piece_is_trained_as_mmengine_does():
    ours, theirs = tiny_model().train(), tiny_model().train()
    clips, samples = batch()
    logs = []
    for model, step in ((ours, type(ours).train_step), (theirs, super(type(theirs), theirs).train_step.__func__)):
        torch.manual_seed(0)
        logs.append(step(model, given(model, clips, samples), wrapper_of(model)))
    assert {name: x.item() for name, x in logs[0].items()} == {name: x.item() for name, x in logs[1].items()}
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values()))


def test_gradients_of_several_batches_add_up_to_one_step():
    model = tiny_model(chunk_frames=3).train()
    before, wrapper = copy.deepcopy(model.q.weight.data), wrapper_of(model, accumulative_counts=2)
    data = given(model, *batch())
    model.train_step(data, wrapper)
    assert torch.equal(model.q.weight, before) and model.q.weight.grad.any()
    model.train_step(data, wrapper)
    assert not torch.equal(model.q.weight, before) and model.q.weight.grad is None


def test_mixed_precision_carries_float32():
    model = tiny_model(chunk_frames=2).train()
    seen, original = [], model.clip_layers
    with mock.patch.object(model, 'clip_layers', lambda clips, queries, stretch: seen.append(queries) or original(
            clips, queries, stretch)):
        log = model.train_step(given(model, *batch()), wrapper_of(model, MixedPrecisionOptimWrapper))
    assert seen[0] is None and {x.dtype for x in seen[1:]} == {torch.float32} and torch.isfinite(log['loss'])
    assert not any(x.requires_grad for x in seen[1:])


def test_frames_that_make_no_whole_chunks():
    model = tiny_model(chunk_frames=4).train()
    with pytest.raises(ValueError, match=r'clips have 6 frames, which is no multiple of chunk_frames \(4\)'):
        model.train_step(given(model, *batch()), wrapper_of(model))


@pytest.mark.parametrize('hold', [False, True])
def test_objects_hold_their_queries_over_chunks_if_asked(hold):
    """A query that an object has stays its own, in every layer, also while the object is away."""
    model = tiny_model(hold_pairs=hold, num_queries=8).eval()
    clips, samples = batch()
    state, found = ChunkState(hold_pairs=hold), []
    original = state.match

    def match(cost, logits, masks, targets):
        pairs = original(cost, logits, masks, targets)
        found.append([dict(zip(own.instance_ids[objects].tolist(), queries.tolist()))
                      for own, (queries, objects) in zip(targets, pairs[::targets[0].present.shape[1]])])
        return pairs
    state.match = match
    with torch.no_grad():
        for first in range(6):
            model.q.weight.mul_(-1)
            model.chunk_losses(clips[:, first:first + 1], [x[first:first + 1] for x in samples], state)
    changed = 0
    for layer in (0, 1):
        for clip in (0, 1):
            queries = {}
            for chunk in found[layer::2]:
                for instance, query in chunk[clip].items():
                    changed += queries.setdefault(instance, query) != query
                if hold:
                    assert len(set(queries.values())) == len(queries)
    assert (changed == 0) == hold


def test_matching_goes_around_held_queries():
    samples, logits, masks = [tiny_samples([[0, 1]], [1, 2])], torch.zeros(1, 4, 6), torch.zeros(1, 4, 12, 16)
    logits[0, 2, 1] = 9.                                 # the best for object 0
    targets = [clip_targets(samples[0])]
    for held, expected in ((None, 2), ([{101: 2}], None), ([{999: 2}], None), ([{100: 3}], 3)):
        torch.manual_seed(0)
        (queries, objects), = match_consistent(MatchingCost(num_points=32), [logits], [masks], targets, held)
        own = dict(zip(objects.tolist(), queries.tolist()))
        assert sorted(own) == [0, 1] and len(set(own.values())) == 2
        assert own[0] == expected if expected is not None else own[0] != 2
        assert held != [{101: 2}] or own[1] == 2


def test_several_processes_join_gradients_once(tmp_path):
    """The wrapper takes the model's own step; gradients are averaged once, whatever the number of chunks."""
    assert steps_by_itself(tiny_model()) and not steps_by_itself(torch.nn.Linear(1, 1))
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path / "group"}', rank=0, world_size=1)
    try:
        alone, wrapped = tiny_model(chunk_frames=2).train(), OwnStepDataParallel(tiny_model(chunk_frames=2).train())
        joined = []
        for model, inner in ((alone, alone), (wrapped, wrapped.module)):
            torch.manual_seed(0)
            with mock.patch('mmvis.models.lvmt.model.all_reduce_params',
                            lambda grads, op: joined.append((len(grads), op))):
                model.train_step(given(inner, *batch()), optim_wrapper=wrapper_of(inner))
        number = sum(x.requires_grad for x in alone.parameters())
        assert joined == [(number, 'mean')] * 2
        assert all(torch.equal(a, b) for a, b in zip(alone.state_dict().values(), wrapped.module.state_dict().values()))
    finally:
        torch.distributed.destroy_process_group()
