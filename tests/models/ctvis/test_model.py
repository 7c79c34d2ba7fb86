"""CTVIS: losses of clips, videos frame by frame."""
import pytest
import torch
from helpers.tiny_segmenter import tiny_model
from helpers.tiny_videomt import tiny_frames, tiny_samples

from mmvis.structures import VideoInfo

SIZE = (64, 96)
VIDEO = VideoInfo(1, (130, 200), (60, 90), 0.5, 4)


@pytest.mark.parametrize('official', [False, True])
def test_embeddings_and_segmenter_learn_from_a_clip(official):
    torch.manual_seed(0)
    model = tiny_model('CTVIS', official_items=official)
    samples = [tiny_samples([[0, 1], [0], [0, 1, 2]], [1, 0, 1], SIZE), tiny_samples([[1], [0, 1], []], [0, 1], SIZE)]
    losses = model.loss(torch.stack([tiny_frames(3, SIZE), tiny_frames(3, SIZE)]), samples)
    assert {'loss_reid', 'loss_aux_reid', 'loss_ce', 'loss_dice_0'} <= losses.keys()
    assert losses['loss_reid'] > 0 and losses['loss_aux_reid'] > 0
    (losses['loss_reid'] + losses['loss_aux_reid']).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.reid_head.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.segmenter.pixel_decoder.parameters())


def test_chunks_change_nothing():
    model, frames, found = tiny_model('CTVIS', num_records=6), tiny_frames(4, SIZE), []
    for chunk in (1, 4):
        state = model.start(VIDEO)
        with torch.no_grad():
            results = [frame for part in frames.split(chunk) for frame in model.step(state, part)]
        rest, verdicts = model.finish(state)
        assert [frame.frame_idx for frame in results] == [0, 1, 2, 3] and not list(rest)
        found.append(([frame.track_ids.tolist() for frame in results], [(x.track_id, x.label) for x in verdicts]))
    assert found[0] == found[1] and len(found[0][1]) == 6
