"""CTMinVIS: trained as CTVIS, with all objects of a clip in each of its frames; queries linked by their embeddings."""
import torch
from helpers.tiny_segmenter import tiny_model
from helpers.tiny_videomt import tiny_frames, tiny_samples

from mmvis.models.mask2former.segmenter import FramePredictions
from mmvis.structures import VideoInfo

SIZE = (64, 96)


def test_embeddings_learn_from_the_frames_in_which_an_object_is():
    model = tiny_model('CTMinVIS')
    samples = [tiny_samples([[0, 1], [0], [0, 1]], [1, 0], SIZE)]
    losses = model.loss(tiny_frames(3, SIZE)[None], samples)
    (losses['loss_reid'] + losses['loss_aux_reid']).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.reid_head.parameters())
    # an object in one frame only has nothing to be compared with
    losses = model.loss(tiny_frames(3, SIZE)[None], [tiny_samples([[0], [], []], [1], SIZE)])
    assert losses['loss_reid'] == losses['loss_aux_reid'] == 0 and losses['loss_mask'] > 0


def test_queries_are_linked_by_embeddings():
    """Queries that change places: the records are as if they had not."""
    model, results = tiny_model('CTMinVIS', num_records=8), []
    torch.manual_seed(0)
    logits, masks, embeddings = torch.randn(3, 8, 6), torch.randn(3, 8, 16, 24), torch.eye(32)[:8].repeat(3, 1, 1)
    for order in (torch.arange(8), torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])):
        state = model.start(VideoInfo(1, (130, 200), (60, 90), 0.5, 3))
        orders = [torch.arange(8), order, torch.arange(8)]
        model.advance(state, FramePredictions(*(torch.stack([x[t][o] for t, o in enumerate(orders)])
                                                for x in (logits, masks, embeddings)), SIZE))
        frames, verdicts = model.finish(state)
        results.append(([(v.track_id, v.label, v.score) for v in verdicts], [frame.masks for frame in frames]))
    assert results[0] == results[1] and len(results[0][0]) == 8
