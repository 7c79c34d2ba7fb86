"""Identities of a video: assignment, the cap, the verdict."""
import numpy as np
import pytest

from mmvis.models.condinst_iai.identity import IdentityBook, OverlapScores
from mmvis.models.condinst_iai.masks import CroppedMask

M, K = 8, 3


def row(**scores):
    """Identity scores [M]: s2=.7 is slot 2, new=.4 the last one."""
    out = np.full(M, 0.01, np.float32)
    for name, value in scores.items():
        out[-1 if name == 'new' else int(name[1:])] = value
    return out


def frame(book, *rows, cls=None):
    slots, has_new = book.assign(np.stack(rows) if rows else np.zeros((0, M), np.float32))
    book.count(slots, np.full((len(slots), K), 0.5, np.float32) if cls is None else np.array(cls, np.float32))
    return slots, has_new


def test_all_of_the_first_frame_are_new_whatever_they_say():
    book = IdentityBook(M)
    assert frame(book, row(s3=.9), row(s0=.9)) == ([0, 1], True)
    assert book.num_used == 2 and book.born == {0: 0, 1: 0}


def test_later_frames_follow_the_best_sum_of_scores():
    book = IdentityBook(M)
    frame(book, row(), row(), row())
    assert frame(book, row(s1=.9), row(s0=.8)) == ([1, 0], False)
    # Both claim 0: the one that can go elsewhere does.
    assert frame(book, row(s0=.9, s2=.8), row(s0=.7)) == ([2, 0], False)
    assert frame(book, row(s0=.9), row(s0=.8, new=.5)) == ([0, 3], True)
    assert book.born[3] == 3 and book.num_used == 4


def test_slots_not_yet_taken_and_the_column_that_scores_nothing_mean_new():
    book = IdentityBook(M)
    frame(book, row())
    assert frame(book, row(s5=.9)) == ([1], True)
    assert frame(book, row(s0=.9, s1=0), row(s0=.8, s1=0), row(s0=.7, s1=0)) == ([0, 2, 3], True)


def test_a_video_that_begins_empty():
    book = IdentityBook(M)
    assert frame(book) == ([], False) and frame(book) == ([], False)
    assert frame(book, row(new=.8), row(new=.7)) == ([0, 1], True)
    assert book.born == {0: 2, 1: 2}


def test_newcomers_beyond_the_cap_share_a_slot_that_is_never_born():
    book = IdentityBook(M)
    slots, _ = frame(book, *[row() for _ in range(9)], cls=np.eye(9, K) + 0.1)
    assert slots == [0, 1, 2, 3, 4, 5, 6, 6, 6] and book.num_used == book.shared_slot == 6
    assert 6 not in book.born
    np.testing.assert_allclose(book.cls_sums[6], [0.1, 0.1, 0.1])            # the last of them counts
    assert frame(book, row(s2=.9), row(new=.9)) == ([2, 6], True)


def test_on_a_stream_newcomers_get_the_slot_of_who_is_absent_longest():
    book = IdentityBook(M, forget_after=2)
    frame(book, *[row() for _ in range(6)], cls=np.full((6, K), .5))
    frame(book, row(s0=.9), row(s2=.9), row(s3=.9), row(s4=.9), row(s5=.9))             # 1 was last seen in frame 0
    assert frame(book, row(s0=.9), row(new=.9), row(s3=.9)) == ([0, 6, 3], True)        # too early
    assert frame(book, row(s0=.9), row(new=.9), row(s3=.9)) == ([0, 1, 3], True)
    assert book.tracks([0, 1, 3, 6]) == [0, M + 6, 3, 6] and book.born[M + 6] == 3
    assert frame(book, row(new=.9), row(new=.8), row(s1=.9)) == ([2, 4, 1], True)
    assert book.tracks([2, 4, 1]) == [M + 7, M + 8, M + 6]
    assert frame(book, row(s4=.9)) == ([4], False)
    verdicts = {v.track_id: (v.score, v.born) for v in book.verdicts(100, 0.)}
    assert len(verdicts) == 10 and 6 in verdicts and verdicts[6][1] is None
    assert verdicts[2] == (pytest.approx(2 * .5 / 6), 0) and verdicts[M + 8] == (pytest.approx(2 * .5 / 6), 4)


def test_absent_frames_count_as_zero_and_a_slot_may_have_several_labels():
    book = IdentityBook(M)
    frame(book, row(), row(), cls=[[.9, .6, 0], [.19, 0, .1]])
    frame(book, row(s0=.9), cls=[[.7, .2, 0]])
    frame(book)
    frame(book)
    verdicts = book.verdicts(10, 0.05)
    assert [(v.track_id, v.label, v.born) for v in verdicts] == [(0, 0, 0), (0, 1, 0)]      # .19 / 4 is not over .05
    assert [v.score for v in verdicts] == pytest.approx([.4, .2])
    assert len(book.verdicts(1, 0.05)) == 1 and IdentityBook(M).verdicts(10, 0.05) == []


def mask(x):
    return CroppedMask(x, 0, np.ones((10, 10), bool), (20, 60))


def test_overlap_stands_for_the_identity_branch():
    overlaps, book = OverlapScores(), IdentityBook(M)
    for masks, expected in (([mask(0), mask(30)], [0, 1]), ([mask(31), mask(2)], [1, 0]), ([mask(3)], [0]),
                            ([mask(15), mask(32)], [2, 1])):
        slots, _ = frame(book, *overlaps.scores(masks, M))
        overlaps.update(slots, masks)
        assert slots == expected
