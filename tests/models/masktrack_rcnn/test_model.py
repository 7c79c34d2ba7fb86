"""MaskTrackRCNN on the model contract: training in every corner case, inference by chunks, precision."""
import copy
from pathlib import Path

import mmdet.models
import numpy as np
import pytest
import torch
from helpers.tiny_masktrack import tiny_batch, tiny_model
from mmengine.config import Config

from mmvis.models import MaskTrackRCNN
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo, decode_rle

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
LOSSES = {'loss_rpn_cls', 'loss_rpn_reg', 'loss_cls', 'loss_reg', 'loss_match', 'loss_mask'}


def losses_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model.loss(data['inputs'], data['data_samples'])


@pytest.mark.parametrize('name', sorted(p.name for p in (CONFIGS / 'masktrack_rcnn').glob('*.py')))
def test_every_config_builds_our_class(name):
    config = Config.fromfile(CONFIGS / 'masktrack_rcnn' / name)
    model = MODELS.build(config.model)
    assert type(model) is MaskTrackRCNN and type(model) is not mmdet.models.MaskTrackRCNN
    assert type(model.backbone).__module__.startswith('mmdet.')
    assert model.bbox_head.num_classes == config.num_classes == model.mask_head.conv_logits.out_channels - 1


@pytest.mark.parametrize('counts', [((3, 2), (2, 3)), ((1, 1),), ((0, 2), (2, 2)), ((3, 0), (2, 0)), ((0, 0),)])
def test_every_parameter_gets_a_gradient_whatever_the_frames_hold(counts):
    model = tiny_model().train()
    losses = losses_of(model, tiny_batch(counts))
    assert LOSSES <= losses.keys() and len(losses['loss_rpn_cls']) == 5
    total, logged = model.parse_losses(losses)
    assert torch.isfinite(total) and {'acc', 'match_acc'} <= logged.keys()
    total.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained.values())
    if counts == ((3, 2), (2, 3)):
        heads = [p for name, p in trained.items() if name.startswith(('track_head', 'mask_head.conv'))]
        assert all(p.grad.abs().sum() > 0 for p in heads)


def test_reference_frame_is_trained_through():
    model = tiny_model()
    data = model.data_preprocessor(tiny_batch(((3, 3),)), True)
    clips = data['inputs'].requires_grad_()
    model.loss(clips, data['data_samples'])['loss_match'].backward()
    assert clips.grad[:, 0].abs().sum() > 0 and clips.grad[:, 1].abs().sum() > 0


def test_draws_follow_torch_seed():
    model, batch = tiny_model().train(), tiny_batch()
    totals = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        totals.append(model.parse_losses(losses_of(model, batch))[0].item())
    assert totals[0] == totals[1] != totals[2]


def test_match_targets_are_positions_in_the_reference_frame(monkeypatch):
    model, batch = tiny_model(), tiny_batch(((3, 3),))
    key, reference = batch['data_samples'][0]
    key.gt_instances.instance_ids = torch.tensor([70, 50, 60])
    reference.gt_instances.instance_ids = torch.tensor([60, 99, 70])
    seen = {}
    monkeypatch.setattr(model.track_head, 'loss', lambda logits, targets: seen.update(targets=targets) or {})
    monkeypatch.setattr(model, 'choose', lambda indices, num: indices[:num])
    losses_of(model, batch)
    assert seen['targets'][0][:3].tolist() == [3, 0, 1]


def test_single_positive_counts_unless_asked_otherwise():
    logits = [torch.tensor([[0., 1.]]), torch.tensor([[0., 2.], [0., 3.]])]
    targets = [torch.tensor([0]), torch.tensor([1, 0])]
    cross_entropy = torch.nn.functional.cross_entropy
    head = tiny_model().track_head
    both = (cross_entropy(logits[0], targets[0]) + cross_entropy(logits[1], targets[1])) / 2
    torch.testing.assert_close(head.loss(logits, targets)['loss_match'], both)
    head.skip_single_positive = True
    torch.testing.assert_close(head.loss(logits, targets)['loss_match'], cross_entropy(logits[1], targets[1]) / 2)


def test_clips_of_another_length_are_refused():
    model = tiny_model()
    with pytest.raises(ValueError, match='pairs of frames'):
        model.loss(torch.zeros(1, 3, 3, 64, 96), [[]])


def test_autocast_trains():
    model = tiny_model().train()
    with torch.autocast('cpu', torch.bfloat16):
        total, _ = model.parse_losses(losses_of(model, tiny_batch()))
    total.backward()
    assert torch.isfinite(total) and total.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


VIDEO = VideoInfo('v', (128, 192), (64, 96), 0.5, 6)


def run(model, chunk_size, clip, video=VIDEO):
    state, frames = model.start(video), []
    for start in range(0, len(clip), chunk_size):
        frames += model.step(state, clip[start:start + chunk_size])
    rest, verdicts = model.finish(state)
    assert list(rest) == []
    return frames, verdicts


def make_clip(num=6):
    return torch.randn(num, 3, 64, 96, generator=torch.Generator().manual_seed(3))


def test_results_are_in_the_original_frame_and_do_not_depend_on_the_chunks():
    model = tiny_model()
    frames, verdicts = run(model, 1, make_clip())
    assert [frame.frame_idx for frame in frames] == list(range(6)) and max(map(len, frames)) > 2
    for frame in frames:
        assert len(set(frame.track_ids.tolist())) == len(frame) <= 10
        assert frame.boxes.dtype == frame.scores.dtype == np.float32 and frame.labels.dtype == np.int64
        assert (frame.boxes >= 0).all() and (frame.boxes <= [191, 127, 191, 127]).all()
        for box, mask in zip(frame.boxes, frame.masks):
            assert mask['size'] == [128, 192]
            rows, columns = np.nonzero(decode_rle(mask))
            if len(rows):
                x1, y1, x2, y2 = box.astype(int)
                assert x1 <= columns.min() and columns.max() <= max(x2, x1)
                assert y1 <= rows.min() and rows.max() <= max(y2, y1)
    assert frames[0].boxes.max() > 96                        # beyond the network's size
    seen = list(dict.fromkeys(i for frame in frames for i in frame.track_ids.tolist()))
    assert [verdict.track_id for verdict in verdicts] == seen
    for chunk_size in (2, 4, 6):
        others, other_verdicts = run(model, chunk_size, make_clip())
        for a, b in zip(frames, others):
            assert a.track_ids.tolist() == b.track_ids.tolist() and a.labels.tolist() == b.labels.tolist()
            np.testing.assert_allclose(a.boxes, b.boxes, rtol=1e-3, atol=1e-2)
        assert [v.label for v in verdicts] == [v.label for v in other_verdicts]


def test_one_video_does_not_touch_the_next():
    model = tiny_model()
    first, _ = run(model, 2, make_clip())
    second, _ = run(model, 2, make_clip())
    assert [f.track_ids.tolist() for f in first] == [f.track_ids.tolist() for f in second]
    assert [f.masks for f in first] == [f.masks for f in second]


def test_frames_without_detections():
    model = tiny_model(test_cfg=dict(rcnn=dict(score_thr=1.1)))
    frames, verdicts = run(model, 4, make_clip())
    assert [len(frame) for frame in frames] == [0] * 6 and verdicts == []


def test_mask_of_one_class_equals_its_slot_of_all():
    head = tiny_model().mask_head
    features, labels = torch.randn(4, 16, 14, 14), torch.tensor([4, 0, 2, 2])
    every = head(features)
    torch.testing.assert_close(head(features, labels), every[torch.arange(4), labels + 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_optimised_model_finds_the_same_objects(precision):
    plain, _ = run(tiny_model(), 2, make_clip(2))
    with torch.inference_mode():
        fast, verdicts = run(optimize_for_inference(tiny_model(), precision), 2, make_clip(2))
    assert len(plain[0]) and all(frame.boxes.dtype == np.float32 for frame in fast)
    if precision == 'fp32':
        for a, b in zip(plain, fast):
            assert a.labels.tolist() == b.labels.tolist() and a.track_ids.tolist() == b.track_ids.tolist()
            np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-4)
    assert len(verdicts) and abs(len(fast[0]) - len(plain[0])) <= 2


def test_options_of_the_config_reach_the_parts():
    model = tiny_model(test_cfg=dict(rpn=dict(max_num=7, nms_post=5), rcnn=dict(max_per_img=2, score_thr=0.01)),
                       train_cfg=dict(rpn=dict(allowed_border=-1, sampler=dict(num=8, pos_fraction=0.25))),
                       tracker=dict(type='AssociationTracker', max_age=3))
    assert model.rpn_head.sampler.num == 8 and model.tracker.max_age == 3
    features = model.extract_features(make_clip(2))
    proposals = model.rpn_head.proposals(*model.rpn_head(features), [(64, 96)] * 2)
    assert [len(x) for x in proposals] == [7, 7] and (proposals[0][:-1, 4] >= proposals[0][1:, 4]).all()
    assert [len(boxes) for boxes, _, _ in model.detect(features, VIDEO)] == [2, 2]
