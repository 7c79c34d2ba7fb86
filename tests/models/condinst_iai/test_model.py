"""CondInst+IAI on tiny clips: training, inference frame by frame, results, the fast form of the model."""
import json

import numpy as np
import pytest
import torch
from helpers.tiny_iai import MAX_OBJ_NUM, NUM_CLASSES, tiny_model, tiny_sample

from mmvis.evaluation import ResultsWriter
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.structures import VideoInfo, VideoResult, decode_rle

VIDEO = VideoInfo(1, (120, 180), (60, 90), 0.5, 6)


def make_clip(num=6, seed=3):
    """Smooth frames [T, 3, 64, 96] that change slowly."""
    draw = torch.Generator().manual_seed(seed)
    base, change = torch.randn(2, 1, 3, 8, 12, generator=draw)
    coarse = torch.cat([base + 0.1 * t * change for t in range(num)])
    return torch.nn.functional.interpolate(coarse, (64, 96), mode='bilinear')


def run(model, clip, chunk_size=1, video=VIDEO):
    state, frames = model.start(video), []
    for start in range(0, len(clip), chunk_size):
        frames += model.step(state, clip[start:start + chunk_size])
    rest, verdicts = model.finish(state)
    assert list(rest) == []
    return frames, verdicts


def test_results_are_in_the_original_frame_and_do_not_depend_on_the_chunks():
    model = tiny_model()
    frames, verdicts = run(model, make_clip())
    assert [frame.frame_idx for frame in frames] == list(range(6)) and max(map(len, frames)) > 2
    covered = 0
    for frame in frames:
        assert len(set(frame.track_ids.tolist())) == len(frame) and (frame.labels < NUM_CLASSES).all()
        assert (frame.boxes >= 0).all() and (frame.boxes <= [180, 120, 180, 120]).all()
        masks = [decode_rle(mask) for mask in frame.masks if mask is not None]
        assert all(mask.shape == (120, 180) for mask in masks)
        assert not masks or np.sum(masks, axis=0).max() == 1                         # disjoint
        covered += sum(int(mask.sum()) for mask in masks)
    assert covered > 500 and verdicts
    assert [v.score for v in verdicts] == sorted((v.score for v in verdicts), reverse=True)
    for chunk_size in (2, 4, 6):
        others, other_verdicts = run(model, make_clip(), chunk_size)
        assert [a.track_ids.tolist() for a in frames] == [b.track_ids.tolist() for b in others]
        assert [(v.track_id, v.label) for v in verdicts] == [(v.track_id, v.label) for v in other_verdicts]


def test_one_video_does_not_touch_the_next_and_may_have_any_length():
    model = tiny_model()
    first, _ = run(model, make_clip())
    assert len(run(model, make_clip(1, seed=5))[0]) == 1
    second, _ = run(model, make_clip())
    assert [f.masks for f in first] == [f.masks for f in second]


def test_frames_without_detections():
    frames, verdicts = run(tiny_model(test_cfg=dict(cls_score_thr=1.1)), make_clip())
    assert [len(frame) for frame in frames] == [0] * 6 and verdicts == []


def test_without_memory_every_frame_is_seen_as_the_first():
    clip = make_clip(1).expand(3, -1, -1, -1)
    kept, lost = (run(tiny_model(memory=dict(policy=policy)), clip)[0] for policy in ('official', 'off'))
    assert kept[0].masks == lost[0].masks
    # Ranks differ between a first frame and others, but not what the network says of each place.
    by_box = [{tuple(box): score for box, score in zip(frame.boxes.tolist(), frame.scores.tolist())} for frame in lost]
    assert by_box[1] == by_box[2] and by_box[0].items() & by_box[1].items()
    assert not {*kept[1].scores.tolist()} & {*lost[1].scores.tolist()}


def test_results_file_has_null_before_birth_empty_masks_in_gaps_and_several_labels_a_track(tmp_path):
    model = tiny_model(test_cfg=dict(video_score_thr=0.01, max_per_img=30))
    state, frames = model.start(VIDEO), []
    for t, image in enumerate(make_clip()):
        model.test_cfg['cls_score_thr'] = 0.1 if t != 3 else 1.1                     # one frame where nobody is seen
        frames += model.step(state, image[None])
    _, verdicts = model.finish(state)
    writer = ResultsWriter(str(tmp_path / 'r.json'), [1], list(range(1, NUM_CLASSES + 1)))
    writer.open()
    writer.start(VIDEO)
    for frame in frames:
        writer.add(frame)
    writer.end(verdicts)
    again = writer.read(1)
    writer.join()
    entries = json.loads((tmp_path / 'r.json').read_text())
    assert len(entries) == len(verdicts) > len({v.track_id for v in verdicts})
    gaps = 0
    for entry, verdict in zip(entries, verdicts):
        assert entry['score'] == verdict.score and entry['category_id'] == verdict.label + 1
        for t, (rle, frame) in enumerate(zip(entry['segmentations'], frames)):
            shown = dict(zip(frame.track_ids.tolist(), frame.masks)).get(verdict.track_id)
            if verdict.born is None or t < verdict.born:
                assert rle is None and shown is None
            else:
                assert rle == shown if shown else not decode_rle(rle).any()
                gaps += shown is None
    assert gaps
    assert again == VideoResult.from_frames(VIDEO, frames, verdicts)


def test_no_mask_is_reported_of_the_slot_that_several_share():
    model = tiny_model(memory=dict(policy='off'), test_cfg=dict(video_score_thr=0.))      # everything is always new
    frames, verdicts = run(model, make_clip())
    shared = [mask for frame in frames for i, mask in zip(frame.track_ids, frame.masks) if i == MAX_OBJ_NUM - 2]
    assert shared and set(shared) == {None}
    assert any(v.track_id == MAX_OBJ_NUM - 2 and v.born is None for v in verdicts)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_optimised_model_finds_the_same_objects(precision):
    plain, verdicts = run(tiny_model(), make_clip(3))
    with torch.inference_mode():
        fast, fast_verdicts = run(optimize_for_inference(tiny_model(), precision), make_clip(3))
    assert len(plain[0]) > 2
    if precision == 'bf16':                          # ranks of near ties may differ
        assert abs(len(fast[0]) - len(plain[0])) <= 3 and fast_verdicts
        return
    for a, b in zip(plain, fast):
        assert a.track_ids.tolist() == b.track_ids.tolist() and a.labels.tolist() == b.labels.tolist()
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose([v.score for v in verdicts], [v.score for v in fast_verdicts], rtol=1e-3)


@pytest.mark.parametrize('autocast', [False, True])
def test_losses_reach_every_parameter(autocast):
    model = tiny_model().train()
    samples = [[tiny_sample((0, 1) if t else (0,), t) for t in range(4)], [tiny_sample((), t) for t in range(4)]]
    clips = torch.stack([make_clip(4), make_clip(4, seed=4)])
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        losses = model.loss(clips, samples)
    assert set(losses) == {'loss_cls', 'loss_id', 'loss_bbox', 'loss_centerness', 'loss_mask'}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert model.lstt.id_bank.weight.grad.abs().max() > 0


def test_a_clip_of_one_frame_trains_too():
    losses = tiny_model().train().loss(make_clip(1)[None], [[tiny_sample((0, 1))]])
    assert all(torch.isfinite(x) for x in losses.values())


def test_wrong_settings_are_named_at_once():
    with pytest.raises(ValueError, match="policy must be one of official, bounded, off, not 'none'"):
        tiny_model(memory=dict(policy='none'))
    with pytest.raises(ValueError, match="associate_by must be 'identity' or 'overlap', not 'iou'"):
        tiny_model(test_cfg=dict(associate_by='iou'))


def test_for_a_stream_the_published_memory_is_bounded_and_one_that_was_chosen_stays():
    camera = VideoInfo('camera', (64, 96), (64, 96), 1., None)
    model = tiny_model()
    state = model.start(camera, live=True)
    assert (state.memory.policy, state.memory.max_frames, state.book.forget_after) == ('bounded', 30, 100)
    own = tiny_model(memory=dict(policy='bounded', max_frames=4), test_cfg=dict(forget_after=7))
    state = own.start(camera, live=True)
    assert (state.memory.policy, state.memory.max_frames, state.book.forget_after) == ('bounded', 4, 7)
    state = model.start(camera)                                        # live is a property of the state, not of the model
    assert (state.memory.policy, state.book.forget_after) == ('official', None)
