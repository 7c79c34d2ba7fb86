"""Training and inference of a tiny InstanceFormer."""
import dataclasses

import numpy as np
import pytest
import torch
from helpers.tiny_instanceformer import (
    MEMORY,
    NUM_CLASSES,
    SIZE,
    tiny_batch,
    tiny_config,
    tiny_frames,
    tiny_model,
    tiny_video,
)

from mmvis.models.instanceformer.losses import contrastive_loss, looks_loss
from mmvis.models.instanceformer.matching import ClipTargets, clip_targets
from mmvis.models.instanceformer.model import next_reference
from mmvis.models.instanceformer.search import PointSearch
from mmvis.models.layers.deformable_encoder import Tokens
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.registry import MODELS
from mmvis.structures import VideoResult, decode_rle


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(model, video, frames, chunk=1):
    """(frames of each step, verdicts)."""
    state = model.start(video)
    steps = [model.step(state, frames[i:i + chunk]) for i in range(0, len(frames), chunk)]
    rest, verdicts = model.finish(state)
    return [*steps, list(rest)], verdicts


def flat(steps):
    return [frame for step in steps for frame in step]


def assert_same(ours, others, atol=1e-5):
    assert [frame.frame_idx for frame in ours] == [frame.frame_idx for frame in others]
    for a, b in zip(ours, others):
        assert a.track_ids.tolist() == b.track_ids.tolist() and a.labels.tolist() == b.labels.tolist()
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-4, atol=atol)
        np.testing.assert_allclose(a.boxes, b.boxes, rtol=1e-4, atol=1e-3)
        differing = sum((decode_rle(x) != decode_rle(y)).sum() for x, y in zip(a.masks, b.masks))
        assert differing <= 4


# Inference

@pytest.mark.parametrize('memory', [None, MEMORY])
def test_frames_come_out_in_order_whatever_the_chunks(memory):
    model, frames = tiny_model(memory=memory), tiny_frames(7)
    steps, verdicts = run(model, tiny_video(7), frames)
    assert [len(step) for step in steps] == [0, 0, 3, 1, 1, 1, 1, 0]
    results = flat(steps)
    assert [frame.frame_idx for frame in results] == list(range(7))
    assert verdicts and {v.track_id for v in verdicts} <= set(results[0].track_ids.tolist())
    for chunk in (3, 7):
        others, again = run(model, tiny_video(7), frames, chunk)
        assert_same(flat(others), results)
        assert [(v.track_id, v.label) for v in again] == [(v.track_id, v.label) for v in verdicts]


@pytest.mark.parametrize('num_frames', [1, 2])
def test_short_videos_come_out_at_the_end(num_frames):
    steps, verdicts = run(tiny_model(), tiny_video(num_frames), tiny_frames(num_frames))
    assert [len(step) for step in steps] == [0] * num_frames + [num_frames]
    assert verdicts


def test_a_video_without_a_frame_has_no_result():
    assert run(tiny_model(), tiny_video(0), tiny_frames(0)) == ([[]], [])


def test_what_was_seen_before_matters_and_what_was_not_does_not():
    model, frames = tiny_model(memory=MEMORY, num_candidates=1000), tiny_frames(5)
    last = flat(run(model, tiny_video(5), frames)[0])[-1]
    changed = frames.clone()
    changed[0] += 1
    other = flat(run(model, tiny_video(5), changed)[0])[-1]
    assert len(other) == len(last) == 12 and not np.allclose(np.sort(other.scores), np.sort(last.scores), atol=1e-7)
    # two videos with turns: nothing is kept in the model
    states = [model.start(tiny_video(5)) for _ in range(2)]
    outputs = [[], []]
    for t in range(5):
        for state, clip, out in zip(states, (frames, changed), outputs):
            out += model.step(state, clip[t:t + 1])
    np.testing.assert_array_equal(outputs[0][-1].scores, last.scores)


def test_padding_is_cut_off_before_the_network():
    model, frames = tiny_model(), tiny_frames(3)
    padded = torch.nn.functional.pad(frames, (0, 32, 0, 32))
    assert_same(flat(run(model, tiny_video(3), padded)[0]), flat(run(model, tiny_video(3), frames)[0]))


def test_masks_and_boxes_are_those_of_the_original_size():
    results = flat(run(tiny_model(), tiny_video(3, ori_shape=(50, 70)), tiny_frames(3))[0])
    assert all(mask['size'] == [50, 70] for frame in results for mask in frame.masks)
    boxes = np.concatenate([frame.boxes for frame in results])
    assert (boxes[:, 2] >= boxes[:, 0]).all() and boxes.max() > 1.5      # pixels, not units of the image


def test_verdicts_that_have_no_mask_or_no_class():
    model = tiny_model(num_classes=NUM_CLASSES + 2, class_units=range(1, NUM_CLASSES + 1))
    state = model.start(tiny_video(4))
    frames = [frame for image in tiny_frames(4) for frame in model.step(state, image[None])]
    count = len(state.slots)
    assert count >= 4
    state.seen = [False] + [True] * (count - 1)
    # track 0 has no pixel in any frame; of the others one has unit 0, which is of no class, and one scores very little
    state.scores.classes = torch.ones(count, 1, dtype=torch.int64)
    state.scores.classes[1] = 0
    state.scores.scores = torch.full((count, 1), .5)
    state.scores.scores[2] = .0005
    _, verdicts = model.finish(state)
    assert len(verdicts) == count - 2 and {v.label for v in verdicts} == {0}
    tracks = VideoResult.from_frames(state.video, frames, verdicts).tracks
    assert [len(track.masks) for track in tracks] == [0] + [4] * (count - 3)


def test_fast_model_gives_the_same_numbers():
    plain, fast = tiny_model(memory=MEMORY), optimize_for_inference(tiny_model(memory=MEMORY))
    ours, verdicts = run(fast, tiny_video(5), tiny_frames(5))
    others, expected = run(plain, tiny_video(5), tiny_frames(5))
    assert_same(flat(ours), flat(others), atol=1e-4)
    assert [(v.track_id, v.label) for v in verdicts] == [(v.track_id, v.label) for v in expected]


def test_low_precision_runs():
    model = optimize_for_inference(tiny_model(memory=MEMORY), 'bf16')
    frames = flat(run(model, tiny_video(4), tiny_frames(4))[0])
    assert len(frames) == 4 and all(np.isfinite(frame.scores).all() for frame in frames)


@pytest.mark.parametrize('rule', ['multiply', 'search'])
def test_coordinates_stay_in_float32_in_mixed_precision(rule):
    """A bfloat16 has eight bits: too few to name a pixel of a row of 640."""
    model = tiny_model(memory=MEMORY, propagate_reference=rule).train()
    data = model.data_preprocessor(tiny_batch([[7, 9], [9], [9, 7]]), True)
    targets = [clip_targets(clip, model.class_units, data['inputs'].shape[-2:]) for clip in data['data_samples']]
    with torch.autocast('cpu', torch.bfloat16):
        tokens = model.tokens(data['inputs'][0])
        frames, _, _ = model.run_clips(data['inputs'], data['data_samples'], targets)
        losses = model.loss(data['inputs'], data['data_samples'])
    assert tokens.values.dtype == torch.bfloat16 and tokens.valid_ratios.dtype == torch.float32
    for decoded in (frame.decoded for frame in frames):
        assert {x.dtype for x in (*decoded.references, *decoded.boxes, decoded.locations)} == {torch.float32}
    assert all(torch.isfinite(loss) and loss.dtype == torch.float32 for loss in losses.values())


def test_state_does_not_grow_with_the_video(monkeypatch):
    """1,000 frames: the network sees each, but what the state holds stays the same from frame 300 on."""
    model = tiny_model(memory=MEMORY, num_candidates=3)
    tokens, kept = model.tokens(tiny_frames(1)), {}
    monkeypatch.setattr(model, 'tokens', lambda images, padding=None: tokens)
    state = model.start(tiny_video(1000, ori_shape=(16, 24)))
    for t in range(1000):
        model.step(state, tiny_frames(1) if t < 1 else torch.empty(1, 3, *SIZE))
        tensors = [state.carried.content, state.carried.reference, state.scores.scores, state.scores.classes]
        tensors += [x for tokens_of_frame in state.carried.bank for x in tokens_of_frame]
        kept[t] = sum(x.numel() for x in tensors if x is not None)
    assert kept[999] == kept[300] and not state.waiting and len(state.carried.bank) == 3


# Training

def losses_of(model, batch):
    data = model.data_preprocessor(batch, True)
    return model.loss(data['inputs'], data['data_samples'])


@pytest.mark.parametrize('memory', [None, MEMORY])
def test_training_reaches_every_weight(memory):
    model = tiny_model(memory=memory).train()
    losses = losses_of(model, tiny_batch([[7, 9], [9], [9, 7]], [[3], [3], [3, 8]]))
    names = {f'loss_{name}{suffix}' for name in ('ce', 'bbox', 'giou', 'mask', 'dice') for suffix in ('', '_0')}
    assert losses.keys() == names | ({'loss_contrastive'} if memory else set())
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert not [name for name, p in model.named_parameters() if p.grad is None and p.requires_grad]


def test_the_number_of_objects_is_the_mean_over_all_processes(monkeypatch):
    """The others of four processes have no object here: with two of ours the mean is a half, counted as one."""
    def other_processes(data, op):
        assert op == 'mean'
        data /= 4

    model = tiny_model()
    alone = losses_of(model, tiny_batch([[7, 9], [9], [9, 7]]))
    monkeypatch.setattr('mmvis.models.instanceformer.model.all_reduce', other_processes)
    together = losses_of(model, tiny_batch([[7, 9], [9], [9, 7]]))
    assert alone.keys() == together.keys()
    for name, loss in alone.items():
        torch.testing.assert_close(together[name], 2 * loss)


def test_a_label_without_a_class_is_named():
    model = tiny_model(class_units=[1, 3])
    with pytest.raises(ValueError, match='label 4, but the model has num_classes=2'):
        losses_of(model, tiny_batch([[9], [9], [9]]))


def test_training_starts_from_the_official_numbers():
    """Xavier's in every matrix of the transformer (bound sqrt(6 / (in + out))), boxes that start small, classes at 0.01."""
    model = MODELS.build(tiny_config(memory=MEMORY))
    for name, weight in [*model.encoder.named_parameters(), *model.decoder.layers.named_parameters()]:
        if weight.dim() > 1 and not any(part in name for part in ('sampling_offsets', 'attention_weights')):
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.95 * bound < weight.abs().max() <= bound, name
    for layer in model.decoder.layers:
        assert layer.cross_attn.sampling_offsets.weight.abs().max() == 0 < layer.cross_attn.sampling_offsets.bias.abs().max()
    assert [branch[-1].bias.tolist() for branch in model.decoder.box_branches] == [[0, 0, -2, -2], [0, 0, 0, 0]]
    assert all(torch.allclose(branch.bias.sigmoid(), torch.tensor(0.01)) for branch in model.class_branches)


def test_clips_without_an_object_train_too():
    model = tiny_model(memory=MEMORY).train()
    total, _ = model.parse_losses(losses_of(model, tiny_batch([[], [], []])))
    total.backward()
    assert torch.isfinite(total) and all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_clips_of_a_batch_do_not_see_each_other():
    """Also not through the memory, as they do in the official code; and padding changes nothing."""
    model = tiny_model(memory=MEMORY)
    clips = [[[7, 9], [9], [7]], [[3], [3], [3]]]
    sizes = [(64, 96), (40, 64)]
    together = tiny_batch(*clips, sizes=sizes)
    data = model.data_preprocessor(together, True)
    def logits(images, samples):
        targets = [clip_targets(clip, model.class_units, images.shape[-2:]) for clip in samples]
        with torch.no_grad():
            frames, _, slots = model.run_clips(images, samples, targets)
        return torch.stack([frame.logits[-1] for frame in frames]), torch.stack(slots)

    both, both_slots = logits(data['inputs'], data['data_samples'])
    for number in range(2):
        one, slots = logits(data['inputs'][number:number + 1], data['data_samples'][number:number + 1])
        torch.testing.assert_close(both[:, number:number + 1], one, rtol=1e-4, atol=1e-5)
        assert torch.equal(both_slots[:, number:number + 1], slots)


def test_the_contrastive_loss_may_be_that_of_any_number_of_clips_a_process():
    """By itself it is a sum over the clips of a process; over those of a step it must not depend on the split."""
    clips = [[[7, 9], [9], [7]], [[3], [3], [3]]]
    for loss_clips, share in ((None, 0.5), (4, 1)):
        model = tiny_model(memory=MEMORY, loss_clips=loss_clips)
        together = losses_of(model, tiny_batch(*clips))['loss_contrastive']
        data = model.data_preprocessor(tiny_batch(*clips), True)
        apart = [model.loss(data['inputs'][i:i + 1], data['data_samples'][i:i + 1])['loss_contrastive'] for i in range(2)]
        torch.testing.assert_close(sum(apart) / 2, together * share, rtol=1e-4, atol=1e-5)
        assert together > 0.1


def test_matched_slots_become_memory_first():
    model = tiny_model(memory=MEMORY)
    scores = torch.tensor([[.1, .9, .2, .8, .3, .7]])
    assert model.memory.choose(scores).tolist() == [[1, 3, 5, 4]]
    assert model.memory.choose(scores, [torch.tensor([4, 0])]).tolist() == [[0, 4, 1, 3]]
    assert model.memory.choose(scores, [torch.arange(6)]).tolist() == [[0, 1, 2, 3]]


def test_official_mask_pairs_concern_only_other_layers_of_later_frames():
    batch = [[7, 9, 12], [9, 7, 12]], [[3, 5], [5, 3]]
    # with the weights of this seed the two layers match the objects to different slots
    ours = losses_of(tiny_model(3), tiny_batch(*batch))
    official = losses_of(tiny_model(3, official_mask_pairs=True), tiny_batch(*batch))
    differing = {name for name in ours if not torch.allclose(ours[name], official[name])}
    assert differing == {'loss_mask_0', 'loss_dice_0'}
    single = [losses_of(tiny_model(3, official_mask_pairs=on), tiny_batch([[7, 9, 12]])) for on in (True, False)]
    assert all(torch.allclose(single[0][name], single[1][name]) for name in single[0])


def test_training_and_inference_may_propagate_differently():
    model = tiny_model(propagate_reference='multiply', test_propagate_reference='add')
    carried = model.begin(1)
    points = {}
    for mode in (True, False):
        model.train(mode)
        decoded = model.decode(model.tokens(tiny_frames(1)), carried)
        points[mode] = model.carry(decoded, model.class_branches[-1](decoded.features[-1]), carried).reference
    start = carried.reference
    torch.testing.assert_close(points[True], (start * start).sigmoid())
    torch.testing.assert_close(points[False], (start + start).sigmoid())
    assert torch.equal(next_reference(points[True], start, None), start)


def test_a_slot_may_start_where_its_box_was():
    model = tiny_model(propagate_reference='box')
    carried, before = model.begin(1), None
    for seed in (1, 2):
        decoded = model.decode(model.tokens(tiny_frames(1, seed)), carried)
        assert before is None or torch.equal(decoded.references[0], before)
        carried = model.carry(decoded, model.class_branches[-1](decoded.features[-1]), carried)
        before = decoded.boxes[-1][..., :2]
        assert torch.equal(carried.reference, before) and not carried.reference.requires_grad


def test_a_slot_may_start_where_the_frame_looks_like_it():
    model = tiny_model(propagate_reference='search')
    carried, frames = model.begin(1), tiny_frames(2)
    decoded = model.decode(model.tokens(frames[:1]), carried)
    assert torch.equal(decoded.references[0], carried.reference)                    # the first frame as ever
    carried = model.carry(decoded, model.class_branches[-1](decoded.features[-1]), carried)
    tokens = model.tokens(frames[1:])
    points = model.search(carried.content, decoded.boxes[-1], tokens)
    assert torch.equal(model.decode(tokens, carried).references[0], points)


def test_points_are_searched_for_by_looks_and_near_the_last_box():
    """Two levels of one feature map: a finest one that is left out, and 4 x 8 places of which one looks like slot 0."""
    search = PointSearch(8, near=0.01)
    for linear in (search.query, search.key):
        torch.nn.init.eye_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    torch.nn.init.zeros_(search.place_key.weight)
    content = torch.zeros(1, 2, 8)
    content[0, 0, 3] = 100.
    values = torch.zeros(1, 1 + 32, 8)
    values[0, 0, 3] = values[0, 1 + 2 * 8 + 5, 3] = 10.                              # row 2, column 5
    tokens = Tokens(values, [(1, 1), (4, 8)], torch.ones(1, 2, 2), None)
    boxes = torch.tensor([[[.1, .1, .1, .1], [.3, .6, .1, .1]]])
    found, middle = search(content, boxes, tokens)[0]
    assert found.tolist() == pytest.approx([5.5 / 8, 2.5 / 4], abs=1e-3)
    assert middle.tolist() == pytest.approx([.5, .5], abs=0.01)                      # looks like nothing in particular
    torch.nn.init.constant_(search.log_near, 8.)
    assert search(content, boxes, tokens)[0, 1].tolist() == pytest.approx([.3, .6], abs=0.05)
    # The right half is padding: places in units of the image without it, and none beyond it.
    padding = torch.zeros(1, 33, dtype=torch.bool)
    padding[0, 1:] = (torch.arange(32) % 8) >= 4
    values[0, 1 + 2 * 8 + 1, 3] = 9.                                                 # row 2, column 1
    tokens = Tokens(values, tokens.shapes, torch.tensor([[[.5, 1.], [.5, 1.]]]), padding)
    torch.nn.init.constant_(search.log_near, -4.)
    assert search(content, boxes, tokens)[0, 0].tolist() == pytest.approx([1.5 / 4, 2.5 / 4], abs=1e-3)


def test_features_may_say_where_a_slot_was():
    model = tiny_model(carry_places=True)
    carried = model.begin(1)
    decoded = model.decode(model.tokens(tiny_frames(1)), carried)
    logits = model.class_branches[-1](decoded.features[-1])
    assert torch.equal(model.carry(decoded, logits, carried).content, decoded.features[-1])     # nothing at first
    torch.nn.init.normal_(model.places.weight)
    added = model.carry(decoded, logits, carried).content - decoded.features[-1]
    assert added.abs().amax(-1).gt(0).all()
    moved = dataclasses.replace(decoded, boxes=[box.flip(1) for box in decoded.boxes])
    torch.testing.assert_close(model.carry(moved, logits, carried).content - decoded.features[-1], added.flip(1))


def test_separate_frames_are_images_of_their_own_that_share_looks():
    model = tiny_model(separate_frames=True).train()
    clips = [[7, 9], [9, 12]], [[3, 5], [5]]
    terms = losses_of(model, tiny_batch(*clips))
    looks = terms.pop('loss_looks')
    batch = tiny_batch(*clips)
    batch['inputs'] = [frame[None] for clip in batch['inputs'] for frame in clip]
    batch['data_samples'] = [[sample] for clip in batch['data_samples'] for sample in clip]
    single = losses_of(tiny_model().train(), batch)
    assert terms.keys() == single.keys()
    for name, value in single.items():
        torch.testing.assert_close(terms[name], value)
    assert looks > 0
    # No object is in two frames, in one clip or in two: nothing is to be pulled together.
    assert losses_of(model, tiny_batch([[7], [9]], [[7], [9]]))['loss_looks'] == 0


def test_looks_are_those_of_an_object_whichever_slots_hold_it():
    """Two images of one clip, one of another; object 5 is in slot 0 of the first and slot 2 of the second."""
    features = torch.zeros(3, 3, 4)
    features[0, 0], features[1, 2], features[1, 0], features[2, 0] = torch.eye(4)[[0, 0, 1, 2]]
    targets = [ClipTargets(*[torch.zeros(0)] * 3, torch.tensor(ids)) for ids in ([5], [8, 5], [5])]
    pairs = [(torch.tensor(slots), torch.tensor(objects))
             for slots, objects in (([0], [0]), ([0, 2], [0, 1]), ([0], [0]))]
    expected = contrastive_loss(torch.eye(4)[[0, 1, 0, 2]], torch.tensor([0, 1, 0, 2]))
    torch.testing.assert_close(looks_loss(features, pairs, targets, [0, 0, 1]), expected)


def test_mistakes_in_a_config_are_named():
    with pytest.raises(ValueError, match='propagate_reference'):
        MODELS.build(tiny_config(propagate_reference='divide'))
    with pytest.raises(ValueError, match='class_units'):
        MODELS.build(tiny_config(class_units=[1, 2, NUM_CLASSES]))
    with pytest.raises(ValueError, match='memory.num_tokens is 500'):
        MODELS.build(tiny_config(memory=dict(num_tokens=500, num_frames=3)))
