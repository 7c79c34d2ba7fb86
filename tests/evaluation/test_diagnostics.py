"""AP of single frames and with identities by an oracle, on small videos worked out by hand."""
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvis.evaluation import Evaluator, load_ground_truth
from mmvis.evaluation.diagnostics import match_oracle_identity, match_single_frames

WIDTH = 12
#: All of the object; half of it; nothing of it.
WHOLE, HALF, BESIDE = range(4), range(2), range(8, 12)


def rle(columns):
    """The mask of some columns of a frame of one row; None for none."""
    if columns is None:
        return None
    mask = np.zeros((1, WIDTH), np.uint8, order='F')
    mask[0, list(columns)] = 1
    encoded = coco_mask.encode(mask)
    return dict(encoded, counts=encoded['counts'].decode())


def visible(track):
    """Frame and compressed mask of a track where it has a pixel."""
    for t, mask in enumerate(track['segmentations']):
        if mask and isinstance(mask['counts'], list):
            mask = coco_mask.frPyObjects(mask, *mask['size'])
            mask = dict(mask, counts=mask['counts'].decode())
        if mask and coco_mask.area(mask):
            yield t, mask


def annotation(category, frames, number=1, crowd=0):
    return dict(id=number, video_id=7, category_id=category, iscrowd=crowd, segmentations=[rle(of) for of in frames],
                areas=[None if of is None else len(of) for of in frames])


def result(category, score, frames):
    return dict(video_id=7, category_id=category, score=score, segmentations=[rle(of) for of in frames])


@pytest.fixture
def annotated(tmp_path):
    """annotations of one video -> file; categories 1 and 2."""
    def write(*annotations):
        length = len(annotations[0]['segmentations'])
        content = dict(videos=[dict(id=7, height=1, width=WIDTH, length=length, file_names=['v/0.jpg'] * length)],
                       categories=[dict(id=1, name='a'), dict(id=2, name='b')], annotations=list(annotations))
        (tmp_path / 'gt.json').write_text(json.dumps(content))
        return tmp_path / 'gt.json'

    return write


def joined(path, results):
    """Category, score and whether it is right at IoU 0.5 of every prediction that the oracle leaves."""
    truth = load_ground_truth(path)
    match = match_oracle_identity(truth, truth.videos[7], results)
    return list(zip(match.categories.tolist(), match.scores.round(12).tolist(), match.matched[0, 0].tolist()))


def test_only_the_identity_is_wrong(annotated):
    """Two tracks share an object, half each: IoU 0.5, right at the first of ten thresholds."""
    results = [result(1, 0.9, [WHOLE, None]), result(1, 0.8, [None, WHOLE])]
    evaluator = Evaluator(results, annotated(annotation(1, [WHOLE, WHOLE])))
    assert evaluator.evaluate().stats['AP'] == pytest.approx(0.1)
    assert evaluator.diagnose('single_frames').stats['AP'] == pytest.approx(1)
    assert evaluator.diagnose('oracle_identity').stats['AP'] == pytest.approx(1)
    assert evaluator.tracking().detection_averaged['IDSW'] == 1


def test_only_the_masks_are_wrong(annotated):
    results = [result(1, 0.9, [HALF, HALF])]
    evaluator = Evaluator(results, annotated(annotation(1, [WHOLE, WHOLE])))
    found = [evaluator.evaluate(), evaluator.diagnose('single_frames'), evaluator.diagnose('oracle_identity')]
    for stats in (evaluation.stats for evaluation in found):
        assert stats['AP50'] == pytest.approx(1) and stats['AP'] == pytest.approx(0.1)


def test_a_mask_has_the_score_of_its_track(annotated):
    """Right, wrong, right by falling score (equal ones by frame): precision 1 up to recall 0.5, then 2/3."""
    results = [result(1, 0.9, [WHOLE, BESIDE]), result(1, 0.8, [None, WHOLE])]
    stats = Evaluator(results, annotated(annotation(1, [WHOLE, WHOLE]))).diagnose('single_frames').stats
    assert stats['AP'] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)
    assert stats['AR1'] == pytest.approx(0.5)              # in the second frame the best mask is the wrong one


def test_absent_objects_and_empty_masks_are_not_there(annotated):
    results = [result(1, 0.9, [range(0), WHOLE, None]), result(1, 0.8, [None, None, range(0)])]
    path = annotated(annotation(1, [None, WHOLE, range(0)]))
    truth = load_ground_truth(path)
    match = match_single_frames(truth, truth.videos[7], results)
    assert match.scores.tolist() == [0.9] and match.gt_ignored.shape[1] == 1
    assert Evaluator(results, path).diagnose('single_frames').stats['AP'] == pytest.approx(1)


def test_the_best_100_of_a_frame_count(annotated):
    """Tracks of one frame each, as of a detector without a tracker: more than 100 in the video, the right ones last."""
    path = annotated(annotation(1, [WHOLE, WHOLE]))
    wrong = [result(1, 0.9, [BESIDE, None])] * 99 + [result(1, 0.9, [None, BESIDE])] * 100
    right = [result(1, 0.1, [WHOLE, None]), result(1, 0.1, [None, WHOLE])]
    evaluator = Evaluator(wrong + right, path)
    assert evaluator.evaluate().stats['AR100'] == 0
    assert evaluator.diagnose('single_frames').stats['AR100'] == 0.5     # in the second frame it is the 101st


def test_single_frames_are_videos_of_one_frame(eval_set, tmp_path, backend):
    """The same numbers as of files in which every frame is a video."""
    gt, results = (json.loads(file.read_text()) for file in eval_set('mid20'))
    ids = {}
    for video in sorted(gt['videos'], key=lambda video: video['id']):
        ids.update({(video['id'], t): len(ids) + t + 1 for t in range(video['length'])})
    split = dict(gt, annotations=[], videos=[
        dict(video, id=ids[video['id'], t], length=1, file_names=video['file_names'][t:t + 1])
        for video in gt['videos'] for t in range(video['length'])])

    def frames(tracks):
        for track in tracks:
            for t, mask in visible(track):
                if (track['video_id'], t) in ids:
                    yield dict(track, video_id=ids[track['video_id'], t], segmentations=[mask],
                               areas=[int(coco_mask.area(mask))],
                               bboxes=[coco_mask.toBbox(mask).tolist()])

    split['annotations'] = [dict(track, id=n) for n, track in enumerate(frames(gt['annotations']), 1)]
    (tmp_path / 'split.json').write_text(json.dumps(split))
    expected = Evaluator(list(frames(results)), tmp_path / 'split.json').evaluate()
    found = Evaluator(results, eval_set('mid20')[0]).diagnose('single_frames')
    assert found.stats == expected.stats and found.per_category == expected.per_category


def test_more_objects_than_16_bits_hold(annotated):
    """A long video has more frames of objects; only the very last is found."""
    length = 1 << 15
    results = [result(1, 0.9, [None] * length + [WHOLE])]
    path = annotated(annotation(1, [WHOLE] * (length + 1)))
    truth = load_ground_truth(path)
    match = match_single_frames(truth, truth.videos[7], results)
    assert match.taken[0, 0].tolist() == [length] and match.matched[0].all()


def test_class_scores_are_means_over_the_frames(annotated):
    """One mask track under two classes, then one without the second: it counts as 0 there."""
    results = [result(1, 0.6, [WHOLE, WHOLE, None]), result(2, 0.3, [WHOLE, WHOLE, None]),
               result(1, 0.9, [None, None, WHOLE])]
    path = annotated(annotation(1, [WHOLE] * 3))
    assert joined(path, results) == [(0, 0.7, True), (1, 0.2, False)]
    assert joined(path, results[::-1]) == joined(path, results)


def test_the_class_does_not_matter_to_the_oracle(annotated):
    """An object under another class in half of its frames: one joined track with both."""
    results = [result(1, 0.8, [WHOLE, None]), result(2, 0.6, [None, WHOLE])]
    assert joined(annotated(annotation(2, [WHOLE, WHOLE])), results) == [(0, 0.4, False), (1, 0.3, True)]


def test_what_is_left_of_a_track_stays_one(annotated):
    """Frames 0 and 2 are on the object (the last by an IoU of just 0.5), frame 1 is beside it: a third of the score."""
    path = annotated(annotation(1, [WHOLE, WHOLE, WHOLE]))
    results = [result(1, 0.9, [WHOLE, BESIDE, HALF]), result(1, 0.5, [None, None, None])]
    assert joined(path, results) == [(0, 0.9, True), (0, 0.5, False), (0, 0.3, False)]
    # 4 + 2 of 12 pixels: right at 0.5 alone, and the two wrong ones come behind it.
    assert Evaluator(results, path).diagnose('oracle_identity').stats['AP'] == pytest.approx(0.1)


def test_one_mask_a_frame_the_best_in_sum(annotated):
    """IoUs of the first track 0.9 and 7/12, of the second 0.6 and 1/3: together they fit best the other way round."""
    path = annotated(annotation(1, [range(10)]), annotation(2, [range(2, 12)], number=2))
    results = [result(1, 0.3, [range(9)]), result(1, 0.4, [range(6)])]
    assert joined(path, results) == [(0, 0.4, True), (0, 0.3, False)]
    truth = load_ground_truth(path)
    match = match_oracle_identity(truth, truth.videos[7], results)
    assert match.taken[0, 0].tolist() == [0, -1]           # the other is of the wrong class for the second object


def test_duplicates_stay_wrong(annotated):
    """The same masks twice under the same class are two tracks, and the better score is joined."""
    path = annotated(annotation(1, [WHOLE, WHOLE]))
    results = [result(1, 0.4, [WHOLE, WHOLE]), result(1, 0.7, [WHOLE, WHOLE])]
    assert joined(path, results) == joined(path, results[::-1]) == [(0, 0.7, True), (0, 0.4, False)]


def test_crowds_are_not_joined_and_unknown_categories_not_looked_at(annotated):
    path = annotated(annotation(1, [WHOLE, WHOLE], crowd=1), annotation(2, [BESIDE, BESIDE], number=2))
    results = [result(1, 0.9, [WHOLE, None]), result(1, 0.8, [None, WHOLE]), result(99, 0.9, [BESIDE, BESIDE])]
    assert [score for _, score, _ in joined(path, results)] == [0.9, 0.8]
    assert Evaluator(results, path).diagnose('single_frames').stats['AR100'] == 0


def test_the_oracle_mends_identities_and_nothing_else(eval_set):
    """The annotations themselves with another identity in every frame have AP 1 again, as single frames have."""
    gt_file, _ = eval_set('tiny')
    gt = json.loads(gt_file.read_text())
    results = []
    for track in gt['annotations']:
        for t, mask in visible(track):
            alone = [None] * len(track['segmentations'])
            alone[t] = mask
            results.append(dict(track, score=1.0, segmentations=alone))
    evaluator = Evaluator(results, gt_file, workers=2)
    assert evaluator.evaluate().stats['AP'] < 0.2
    for name in ('single_frames', 'oracle_identity'):
        assert evaluator.diagnose(name).stats['AP'] == pytest.approx(1)
