"""Windows, their edges and what is kept of a video; clips of different sizes; the optimizer groups of the recipe."""
import copy
import math

import pytest
import torch
from helpers.tiny_ifc import NUM_CLASSES, batch, run_video, tiny_config, tiny_frames, tiny_model
from mmengine.optim import build_optim_wrapper

from mmvis.engine import load_config
from mmvis.models.ifc.tubes import TubeJoiner
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo, decode_rle


def windows_of(length, num_frames, stride):
    """The rule of the official code."""
    first, out = 0, []
    while first + num_frames < length:
        out.append((first, first + num_frames))
        first += stride
    return out + [(max(0, length - num_frames), length)]


def joined_at_once(model, frames, ori_shape):
    """The same video with all windows computed by ``clip_outputs`` and all masks kept to the end."""
    clip = model.data_preprocessor({'inputs': [frames]}, False)['inputs']
    joiner = TubeJoiner(model.match_threshold)
    for first, last in windows_of(len(frames), model.num_frames, model.stride):
        logits, masks = (x[-1, 0] for x in model.clip_outputs(clip[None, first:last]))
        keep = logits.argmax(-1) < model.num_classes
        joiner.add(first, logits.softmax(-1)[keep], masks[keep])
    found = {}
    for t, tubes, mean in joiner.take(len(frames)):
        if len(tubes):
            full = torch.nn.functional.interpolate(mean[None], ori_shape, mode='bilinear', align_corners=False)[0] > 0
            found.update({(t, tube): mask for tube, mask in zip(tubes.tolist(), full) if mask.any()})
    return found, joiner


@pytest.mark.parametrize('length, num_frames, stride, chunk', [
    (1, 3, 1, 1), (2, 3, 1, 2), (3, 3, 1, 1), (9, 3, 1, 1), (9, 3, 2, 4), (8, 3, 3, 1), (7, 36, 1, 3), (4, 1, 1, 2),
    (11, 2, 4, 1), (3, 2, 7, 3)])
@torch.no_grad()
def test_windows_give_what_all_windows_at_once_give(length, num_frames, stride, chunk):
    model = tiny_model(num_frames=num_frames, stride=stride)
    frames, ori_shape = tiny_frames(length), (90, 130)
    results, verdicts, state = run_video(model, frames, chunk, ori_shape)
    found, joiner = joined_at_once(model, frames, ori_shape)
    assert [frame.frame_idx for frame in results] == list(range(length))
    ours = {(frame.frame_idx, tube): decode_rle(rle) for frame in results
            for tube, rle in zip(frame.track_ids.tolist(), frame.masks)}
    assert ours.keys() == found.keys() and len(ours) > 0
    assert sum(int((ours[key] != found[key].numpy()).sum()) for key in ours) <= len(ours)      # rounding at the border
    assert len(state.joiner) == len(joiner)
    expected = joiner.verdicts(model.min_score)
    assert [(v.track_id, v.label) for v in verdicts] == [x[:2] for x in expected]
    assert [v.score for v in verdicts] == pytest.approx([x[2] for x in expected], abs=1e-5)
    for frame in results:
        for box, rle in zip(frame.boxes, frame.masks):
            rows, columns = decode_rle(rle).nonzero()
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize('num_frames, stride, lag', [(3, 1, 2), (1, 1, 0), (4, 2, 4), (3, 3, 3), (2, 5, 2)])
def test_every_frame_comes_as_late_as_stated_and_only_needed_frames_are_kept(num_frames, stride, lag):
    model = tiny_model(num_frames=num_frames, stride=stride)
    state = model.start(VideoInfo(1, (90, 130), (48, 64), 0.5, None))
    assert model.lag(state) == lag
    for t, frame in enumerate(tiny_frames(15)):
        out = model.step(state, model.data_preprocessor({'inputs': [frame[None]]}, False)['inputs'])
        assert [result.frame_idx for result in out] == ([t - lag] if t >= lag else [])
        assert len(state.features) == min(t + 1, lag) and len(state.joiner._frames) <= lag


def test_a_window_is_encoded_once_a_frame():
    model, calls = tiny_model(num_frames=3), []
    original = model.backbone.forward
    model.backbone.forward = lambda x: calls.append(len(x)) or original(x)
    run_video(model, tiny_frames(8))
    assert calls == [1] * 8


@torch.no_grad()
def test_a_video_without_objects():
    model = tiny_model()
    model.class_embed.layers[-1].bias[-1] += 100
    results, verdicts, _ = run_video(model, tiny_frames(5))
    assert [(frame.frame_idx, len(frame)) for frame in results] == [(t, 0) for t in range(5)] and verdicts == []


@torch.no_grad()
def test_a_video_of_more_objects_than_the_official_limit_of_50():
    model = tiny_model(num_queries=80)
    model.class_embed.layers[-1].bias[-1] -= 100
    frames = tiny_frames(5)
    results, verdicts, state = run_video(model, frames)
    assert len(state.joiner) >= 80 and len({verdict.track_id for verdict in verdicts}) >= 80
    assert max(len(frame) for frame in results) > 50
    found, _ = joined_at_once(model, frames, (90, 130))
    assert found.keys() == {(frame.frame_idx, tube) for frame in results for tube in frame.track_ids.tolist()}


CLIPS = {'different sizes': [([[1, 2], [1], [2]], (48, 64)), ([[3]] * 3, (40, 96))],
         'one without objects': [([[]] * 2, (48, 64)), ([[3]] * 2, (48, 64))],
         'no objects at all': [([[]] * 2, (48, 64))],
         'images': [([[1, 2]], (48, 64)), ([[]], (64, 48))]}


@pytest.mark.parametrize('clips', CLIPS.values(), ids=CLIPS)
def test_clips_train_and_every_parameter_has_its_gradient(clips):
    """Else processes with and without objects would wait for each other."""
    model = MODELS.build(tiny_config(dropout=0.)).train()
    losses = model(**model.data_preprocessor(batch(*clips), True))
    assert len([name for name in losses if 'loss' in name]) == 9
    total, _ = model.parse_losses(losses)
    total.backward()
    assert math.isfinite(total.item())
    assert all(p.grad is not None for name, p in model.named_parameters() if p.requires_grad)


def test_mixed_precision_trains():
    torch.manual_seed(0)
    model = MODELS.build(tiny_config(dropout=0.)).train()
    data = model.data_preprocessor(batch(*CLIPS['different sizes']), True)
    exact, _ = model.parse_losses(model(**data))
    with torch.autocast('cpu', torch.bfloat16):
        total, _ = model.parse_losses(model(**data))
    total.backward()
    assert total.dtype == torch.float32 and total.item() == pytest.approx(exact.item(), rel=0.05)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def test_the_padding_is_not_attended():
    model = tiny_model()
    images = torch.randn(1, 3, 64, 96)
    features = model.frame_features(images, [(33, 70)])
    expected = torch.ones(2, 3, dtype=torch.bool)
    expected[:2, :3] = False                                  # ceil(33 / 32), ceil(70 / 32)
    assert torch.equal(features.padding.view(2, 3), expected)
    features = model.frame_features(images, [(32, 64)])
    changed = features.received.clone()
    changed[:, :6][features.padding] += 1                     # what stands in the padding must not matter
    for a, b in zip(model.decode(features, 1)[0], model.decode(features._replace(received=changed), 1)[0]):
        torch.testing.assert_close(a, b)
    assert model.frame_features(images, [(64, 96)]).padding is None


@torch.no_grad()
def test_the_order_of_frames_does_not_matter_to_a_clip():
    model = tiny_model()
    clip = torch.randn(1, 3, 3, 48, 64)
    logits, masks = model.clip_outputs(clip)
    turned = model.clip_outputs(clip.flip(1))
    torch.testing.assert_close(turned[0], logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turned[1].flip(3), masks, atol=1e-3, rtol=1e-4)
    alone = model.clip_outputs(clip[:, :1])[1]
    assert (alone[..., 0, :, :] - masks[..., 0, :, :]).abs().max() > 1e-2       # but the other frames do


def test_a_fast_model_finds_the_same():
    model = tiny_model(embed_dims=32, ffn_dims=64)
    frames = tiny_frames(6)
    plain, verdicts, _ = run_video(model, frames)
    fast, fast_verdicts, _ = run_video(optimize_for_inference(copy.deepcopy(model)), frames)
    assert [(v.track_id, v.label) for v in fast_verdicts] == [(v.track_id, v.label) for v in verdicts] != []
    assert [v.score for v in fast_verdicts] == pytest.approx([v.score for v in verdicts], abs=1e-4)
    for a, b in zip(plain, fast):
        assert a.track_ids.tolist() == b.track_ids.tolist()
        assert sum(int((decode_rle(x) != decode_rle(y)).sum()) for x, y in zip(a.masks, b.masks)) <= 2 * len(a)
    half, _, _ = run_video(optimize_for_inference(copy.deepcopy(model), 'bf16'), frames)
    assert len(half) == 6


def test_learning_rates_and_decay_of_the_recipe():
    cfg = load_config('ifc_r50_ytvis2019.py')
    model = MODELS.build(dict(tiny_config(), backbone=cfg.model.backbone, in_channels=cfg.model.in_channels))
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {names[id(p)]: (group['lr'], group['weight_decay']) for group in groups for p in group['params']}
    assert rates.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, rate in rates.items():
        assert rate == (pytest.approx(1e-5 if name.startswith('backbone.') else 1e-4), 1e-4), name
    # stem and first stage are frozen, and so is every batch norm
    assert not any(name.startswith(('backbone.conv1', 'backbone.layer1')) or '.bn' in name for name in rates)


def test_mistakes_cost_a_sentence():
    for changes, words in ((dict(stride=0), 'stride 0'), (dict(num_frames=2.5), 'num_frames is 2.5'),
                           (dict(num_frames='all'), "num_frames is 'all'")):
        with pytest.raises(ValueError, match=words):
            MODELS.build(tiny_config(**changes))
    model = tiny_model()
    with pytest.raises(ValueError, match='pad_size_divisor'):
        model.step(model.start(VideoInfo(1, (90, 130), (40, 64), 0.5, None)), torch.zeros(1, 3, 48, 64))
    assert model.num_classes == NUM_CLASSES
