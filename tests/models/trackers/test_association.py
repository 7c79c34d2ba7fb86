"""Online association: the rules of the published code, one by one."""
import numpy as np
import torch

from mmvis.models.trackers import AssociationTracker, TrackMemory, TrackSummary, visible


def frame(*entries):
    """Detections (object, label, score): object o has the o-th axis as embedding and its own box."""
    objects = [entry[0] for entry in entries]
    boxes = torch.tensor([[50. * o, 0., 50. * o + 40, 40.] for o in objects]).reshape(-1, 4)
    embeddings = 20 * torch.eye(8)[objects] if objects else torch.zeros(0, 8)
    return (boxes, torch.tensor([entry[2] for entry in entries], dtype=torch.float32),
            torch.tensor([entry[1] for entry in entries], dtype=torch.long), embeddings)


def test_ids_follow_the_objects_not_the_order():
    tracker, memory = AssociationTracker(), TrackMemory()
    assert tracker.update(memory, *frame()).tolist() == []
    assert tracker.update(memory, *frame((0, 3, .9), (1, 7, .8))).tolist() == [0, 1]
    assert tracker.update(memory, *frame((1, 7, .8), (2, 3, .7), (0, 3, .9))).tolist() == [1, 2, 0]
    assert tracker.update(memory, *frame()).tolist() == []
    assert tracker.update(memory, *frame((2, 3, .7))).tolist() == [2]


def test_of_two_detections_of_an_object_the_better_stays():
    for order, expected in (((.9, .3), [0, -1]), ((.3, .9), [0, 0])):
        tracker, memory = AssociationTracker(), TrackMemory()
        tracker.update(memory, *frame((0, 3, .5)))
        ids = tracker.update(memory, *frame(*((0, 3, score) for score in order)))
        assert ids.tolist() == expected
        kept = visible(ids)
        assert np.float32(order[kept[0]]) == np.float32(.9) and len(kept) == 1
        assert memory.scores.tolist() == [np.float32(.9)]


def test_label_of_an_object_never_changes():
    tracker, memory = AssociationTracker(match_coeff=(1., 2., 1.)), TrackMemory()
    tracker.update(memory, *frame((0, 3, .9)))
    assert tracker.update(memory, *frame((0, 5, .9))).tolist() == [0]      # the embedding outweighs the label
    assert memory.labels.tolist() == [3]
    heavy = AssociationTracker(match_coeff=(1., 2., 1000.))
    assert heavy.update(memory, *frame((0, 5, .9))).tolist() == [1]        # here the label does not


def test_new_object_column_counts_as_the_same_class():
    tracker, memory = AssociationTracker(), TrackMemory()
    tracker.update(memory, *frame((0, 3, .9)))
    boxes, scores, labels, embeddings = frame((1, 4, .5))
    log_probs, comparison = tracker.compare(memory, boxes, scores, labels, embeddings)
    torch.testing.assert_close(log_probs, torch.full((1, 2), -np.log(2.)).float())
    torch.testing.assert_close(comparison, log_probs + torch.tensor(.5).log() + torch.tensor([[10., 0.]]))


def test_hopeless_match_is_dropped():
    tracker, memory = AssociationTracker(floor=5.), TrackMemory()
    tracker.update(memory, *frame((0, 3, .9)))
    assert tracker.update(memory, *frame((0, 3, 1e-6))).tolist() == [-1]


def test_bounded_memory_forgets_and_never_reuses_an_id():
    tracker = AssociationTracker(max_age=2)
    memory = tracker.start()
    tracker.update(memory, *frame((0, 3, .9), (1, 3, .9)))
    for _ in range(2):
        tracker.update(memory, *frame((1, 3, .9)))
    assert memory.track_ids.tolist() == [0, 1]
    tracker.update(memory, *frame((1, 3, .9)))
    assert memory.track_ids.tolist() == [1] and len(memory.embeddings) == 1
    assert tracker.update(memory, *frame((0, 3, .9), (1, 3, .9))).tolist() == [2, 1]


def test_for_a_stream_the_published_rule_gets_an_age_and_a_given_age_stays():
    published, own = AssociationTracker(), AssociationTracker(max_age=2)
    assert [tracker.start(live=True).max_age for tracker in (published, own)] == [300, 2]
    assert [tracker.start().max_age for tracker in (published, own)] == [None, 2]


def test_state_grows_with_objects_not_with_frames():
    tracker, memory, summary = AssociationTracker(), TrackMemory(), TrackSummary()
    for _ in range(300):
        boxes, scores, labels, embeddings = frame((0, 3, .9), (1, 7, .8))
        ids = tracker.update(memory, boxes, scores, labels, embeddings)
        summary.add(ids, labels.numpy(), scores.numpy())
    assert len(memory) == 2 and memory.embeddings.shape == (2, 8)
    assert len(summary.sums) == len(summary.votes) == 2


def test_results_do_not_share_memory_with_the_tracker():
    tracker, memory = AssociationTracker(), TrackMemory()
    boxes, scores, labels, embeddings = frame((0, 3, .9))
    before = boxes.clone()
    tracker.update(memory, boxes, scores, labels, embeddings)
    moved = boxes + 3
    tracker.update(memory, moved, scores, labels, embeddings)
    assert torch.equal(boxes, before) and torch.equal(memory.boxes, moved)


def test_visible_keeps_the_last_of_equal_ids_in_the_place_of_the_first():
    assert visible(np.array([4, -1, 2, 4, 7])).tolist() == [3, 2, 4]
    assert visible(np.array([-1, -1])).tolist() == []


def test_verdict_is_mean_score_and_majority_with_ties_to_the_smallest_label():
    summary = TrackSummary()
    for track_id, label, score in ((5, 9, .5), (2, 1, .25), (5, 4, .75), (5, 9, .25), (5, 4, .5)):
        summary.add(np.array([track_id]), np.array([label]), np.array([score], np.float32))
    assert [(v.track_id, v.label, v.score) for v in summary.verdicts()] == [(5, 4, .5), (2, 1, .25)]
