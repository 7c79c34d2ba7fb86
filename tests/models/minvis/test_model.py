"""MinVIS: queries linked from frame to frame, whole videos, streams, training on frames."""
import numpy as np
import pytest
import torch
from helpers.tiny_segmenter import NUM_CLASSES, tiny_model
from helpers.tiny_videomt import tiny_frames, tiny_samples

from mmvis.models.layers.query_chain import next_in_chain
from mmvis.models.mask2former.losses import frames_as_images
from mmvis.models.mask2former.segmenter import FramePredictions
from mmvis.structures import VideoInfo, decode_rle

SIZE = (64, 96)
VIDEO = VideoInfo(1, (130, 200), (60, 90), 0.5, 4)


def run(model, frames, chunk=1, live=False):
    state = model.start(VIDEO, live=live)
    early = [frame for part in frames.split(chunk) for frame in model.step(state, part)]
    late, verdicts = model.finish(state)
    return state, early, list(late), verdicts


def test_slots_follow_what_is_most_alike():
    previous = torch.eye(4)
    embeddings = 7 * torch.eye(4)[[2, 0, 3, 1]] + 0.1
    assert next_in_chain(previous, embeddings).tolist() == [1, 3, 0, 2]
    assert next_in_chain(None, embeddings).tolist() == [0, 1, 2, 3]
    # all are assigned, and a query of length 0 hinders nobody
    embeddings[1] = 0
    assert next_in_chain(previous, embeddings).tolist() == [1, 3, 0, 2]


def test_a_slot_keeps_its_object_through_the_video():
    """Outputs whose queries change places in every frame: records are as if they had not."""
    model, draw = tiny_model(num_records=8), np.random.default_rng(0)
    torch.manual_seed(0)
    logits, masks, queries = torch.randn(4, 8, NUM_CLASSES + 1), torch.randn(4, 8, 16, 24), torch.eye(32)[:8].repeat(4, 1, 1)
    results = []
    for shuffle in (False, True):
        orders = [torch.from_numpy(draw.permutation(8)) if shuffle and t else torch.arange(8) for t in range(4)]
        state = model.start(VIDEO)
        model.advance(state, FramePredictions(*(torch.stack([x[t][order] for t, order in enumerate(orders)])
                                                for x in (logits, masks, queries)), SIZE))
        frames, verdicts = model.finish(state)
        results.append(([(v.track_id, v.label, v.score) for v in verdicts], [frame.masks for frame in frames]))
    assert results[0] == results[1] and len(results[0][0]) == 8


def test_numbers_are_those_of_all_frames_at_once():
    """The published rule: mean of the logits, softmax, best pairs; masks in two steps with a cut between."""
    model, frames = tiny_model(), tiny_frames(4, SIZE)
    with torch.no_grad():
        last = model.segmenter(frames)[-1]
    orders, slots = [], last.queries[0]
    for t in range(4):
        orders.append(torch.arange(8) if not t else next_in_chain(slots, last.queries[t]))
        slots = last.queries[t][orders[-1]]
    logits, masks = (torch.stack([x[t][order] for t, order in enumerate(orders)]) for x in (last.logits, last.masks))
    state, early, late, verdicts = run(model, frames, 4)
    assert early == [] and model.lag(state) is None and [frame.frame_idx for frame in late] == [0, 1, 2, 3]
    scores, places = logits.mean(0).softmax(-1)[:, :-1].flatten().topk(10)
    assert [v.track_id * NUM_CLASSES + v.label for v in verdicts] == places.tolist()
    np.testing.assert_allclose([v.score for v in verdicts], scores, rtol=1e-5)
    full = torch.nn.functional.interpolate(masks, SIZE, mode='bilinear')[..., :60, :90]
    full = torch.nn.functional.interpolate(full, (130, 200), mode='bilinear') > 0
    assert sum(map(len, late)) > 4
    for frame in late:
        own = dict(zip(frame.track_ids.tolist(), frame.masks))
        for row in {v.track_id for v in verdicts}:
            mask = decode_rle(own[row]) if row in own else np.zeros((130, 200))
            assert (mask != full[frame.frame_idx, row].numpy()).sum() <= 1


def test_chunks_change_nothing():
    model, frames = tiny_model(), tiny_frames(4, SIZE)
    one, other = run(model, frames, 4), run(model, frames, 1)
    assert [[v.track_id, v.label] for v in one[3]] == [[v.track_id, v.label] for v in other[3]]
    assert [frame.track_ids.tolist() for frame in one[2]] == [frame.track_ids.tolist() for frame in other[2]]


def test_a_live_source_shows_at_once_and_keeps_nothing():
    model = tiny_model(live_score=0.2)
    state, early, late, verdicts = run(model, tiny_frames(4, SIZE), 2, live=True)
    assert model.lag(state) == 0 and late == [] and [frame.frame_idx for frame in early] == [0, 1, 2, 3]
    assert len(state.masks) == 0 and 0 < sum(map(len, early))
    assert {v.track_id for v in verdicts} >= {i for frame in early for i in frame.track_ids.tolist()}


def test_every_frame_has_the_objects_of_its_clip():
    """One that is absent in a frame is matched there with an empty mask; the official labels are those of the last."""
    samples = [tiny_samples([[0], [0, 1], [1]], [4, 1], SIZE)]
    for rule, expected in (('annotated', [4, 1]), ('official', [NUM_CLASSES, 1])):
        target = tiny_model(label_rule=rule).targets(samples)[0]
        images = frames_as_images(target, present_only=False)
        assert [image.labels.tolist() for image in images] == [expected] * 3
        assert [image.masks.sum((1, 2, 3)).bool().tolist() for image in images] == [[True, False], [True, True],
                                                                                    [False, True]]
    images = frames_as_images(target, present_only=True)
    assert [image.instance_ids.tolist() for image in images] == [[100], [100, 101], [101]]
    with pytest.raises(ValueError, match="label_rule is 'annotated' or 'official', not 'last'"):
        tiny_model(label_rule='last')


def test_losses_and_gradients():
    model = tiny_model(label_rule='official').train()
    clips = torch.stack([tiny_frames(3, SIZE), tiny_frames(3, SIZE, seed=1)])
    losses = model.loss(clips, [tiny_samples([[0], [0, 1], [1]], [4, 1], SIZE), tiny_samples([[], [], []], [], SIZE)])
    assert len(losses) == 12
    sum(losses.values()).backward()
    assert [name for name, x in model.named_parameters() if x.grad is None] == []
