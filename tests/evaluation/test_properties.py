"""The evaluator against a plain reference that works pixel by pixel, on random small sets, and what must not matter."""
import copy
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvis.evaluation import Rules, evaluate_results
from mmvis.structures import decode_rle, encode_mask
from mmvis.structures.compiled import NUMBA_VARIABLE

H, W = 3, 4
AREAS = [(0, 1e10), (0, 128**2), (128**2, 256**2), (256**2, 1e10)]
LEVELS = {'no_occlusion': 0.0, 'slight_occlusion': 0.25, 'severe_occlusion': 0.75}

#: A few masks that often meet: halves, quarters and strips, so that equal IoUs and IoUs at a threshold are common.
POOL = [0, 0b111111000000, 0b000000111111, 0b111000000000, 0b000111000000, 0b110110110110, 0b111111111111]
masks = st.one_of(st.sampled_from(POOL), st.sampled_from(POOL), st.none(), st.integers(0, 2**(H * W) - 1))
tracks = st.one_of(st.sampled_from(POOL).map(lambda mask: [mask] * 3), st.lists(masks, min_size=3, max_size=3))
videos, categories = st.sampled_from([1, 1, 2]), st.sampled_from([1, 1, 1, 2, 3])
scores = st.sampled_from([0.1, 0.3, 0.3, 0.5, 0.9])
annotations = st.tuples(videos, categories, st.sampled_from([0, 0, 1]), tracks,
                        st.sampled_from([1, 1, 16384, 20000, 65536]),
                        st.lists(st.sampled_from(list(LEVELS)), min_size=3, max_size=3))
predictions = st.tuples(videos, st.one_of(categories, st.just(4)), scores, tracks)


def to_rle(bits):
    if bits is None:
        return None
    return encode_mask(np.array([bits >> i & 1 for i in range(H * W)], np.uint8).reshape(H, W))


def build(annotated, predicted):
    videos = [dict(id=v, height=H, width=W, length=3, file_names=[f'{v}/{t}.jpg' for t in range(3)]) for v in (1, 2)]
    truth = dict(videos=videos,
                 categories=[dict(id=c, name=f'c{c}') for c in (1, 2, 3)],
                 annotations=[
                     dict(id=i + 1,
                          video_id=video,
                          category_id=category,
                          iscrowd=crowd,
                          segmentations=[to_rle(mask) for mask in bits],
                          areas=[None if mask is None else area for mask in bits],
                          occlusion=[None if mask is None else level for mask, level in zip(bits, levels)])
                     for i, (video, category, crowd, bits, area, levels) in enumerate(annotated)
                 ])
    results = [dict(video_id=video, category_id=category, score=score, segmentations=[to_rle(mask) for mask in bits])
               for video, category, score, bits in predicted]
    return truth, results


def evaluate(truth, results, rules=Rules()):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'gt.json'
        file.write_text(json.dumps(truth))
        return evaluate_results(results, file, rules)


# The reference: the rules as one would write them down, without any regard to speed

def pixels(mask):
    return 0 if mask is None else bin(mask).count('1')


def reference(annotated, predicted, ovis):
    """Precision [10, 101, 3, areas, (occlusions,) 3] and recall."""
    occlusions = [(0, 1), (0, 0.25), (0.25, 0.5), (0.5, 1)] if ovis else [(0, 1)]
    precision = -np.ones((10, 101, 3, 4, len(occlusions), 3))
    recall = -np.ones((10, 3, 4, len(occlusions), 3))
    for t, threshold in enumerate(np.linspace(0.5, 0.95, 10)):
        for c in range(3):
            for a, area in enumerate(AREAS):
                for o, occlusion in enumerate(occlusions):
                    for m, cap in enumerate((1, 10, 100)):
                        found = outcomes(annotated, predicted, c + 1, threshold, area, occlusion, cap)
                        if found:
                            precision[t, :, c, a, o, m], recall[t, c, a, o, m] = found
    return (precision, recall) if ovis else (precision[:, :, :, :, 0], recall[:, :, :, 0])


def outcomes(annotated, predicted, category, threshold, area, occlusion, cap):
    ranked, wanted = [], 0
    for video in (1, 2):
        gts = [x for x in annotated if x[:2] == (video, category)]
        ignored = [bool(x[2]) or not within(gt_area(x), area) or not within(gt_occlusion(x), occlusion) for x in gts]
        wanted += ignored.count(False)
        taken = [False] * len(gts)
        own = sorted((x for x in predicted if x[:2] == (video, category)), key=lambda x: -x[2])
        for prediction in own[:100][:cap]:
            for kind in (False, True):  # those that count, then the ignored
                fits = [g for g in range(len(gts)) if ignored[g] == kind and (gts[g][2] or not taken[g])
                        and iou(prediction[3], gts[g][3]) >= threshold]
                if fits:
                    break
            if fits:
                best = max(fits, key=lambda g: (iou(prediction[3], gts[g][3]), g))
                taken[best] = True
                outcome = None if ignored[best] else True
            else:
                seen = [pixels(mask) for mask in prediction[3] if pixels(mask)]
                outcome = False if within(sum(seen) / len(seen) if seen else 0, area) else None
            ranked.append((prediction[2], outcome))
    if not wanted:
        return None
    ranked = [outcome for _, outcome in sorted(ranked, key=lambda x: -x[0]) if outcome is not None]
    points = [(sum(ranked[:i + 1]) / wanted, sum(ranked[:i + 1]) / (i + 1 + np.spacing(1))) for i in range(len(ranked))]
    curve = [max((p for r, p in points if r >= level), default=0) for level in np.linspace(0, 1, 101)]
    return curve, points[-1][0] if points else 0


def within(value, limits):
    return limits[0] <= value <= limits[1]


def gt_area(annotation):
    return annotation[4] if any(mask is not None for mask in annotation[3]) else 0


def gt_occlusion(annotation):
    values = sorted((LEVELS[level] for mask, level in zip(annotation[3], annotation[5]) if mask is not None),
                    reverse=True)
    half = values[:-(-len(values) // 2)]
    return sum(half) / len(half) if half else 0


def iou(first, second):
    inter = sum(pixels((a or 0) & (b or 0)) for a, b in zip(first, second))
    union = sum(pixels((a or 0) | (b or 0)) for a, b in zip(first, second))
    return inter / union if union else 0.0


@pytest.fixture(autouse=True, scope='module', params=['1', '0'], ids=['numba', 'numpy'])
def both_backends(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NUMBA_VARIABLE, request.param)
        yield


@settings(max_examples=120, deadline=None)
@given(st.lists(annotations, min_size=1, max_size=5), st.lists(predictions, max_size=7), st.booleans())
def test_numbers_are_those_of_the_reference(annotated, predicted, ovis):
    if ovis:  # an annotation without any mask has no occlusion, which OVIS does not take
        annotated = [x for x in annotated if any(mask is not None
                                                 for mask in x[3])] or [(1, 1, 0, [1, 1, 1], 1, list(LEVELS))]
    evaluation = evaluate(*build(annotated, predicted), Rules('ovis' if ovis else 'ytvis'))
    precision, recall = reference(annotated, predicted, ovis)
    np.testing.assert_array_equal(evaluation.precision, precision)
    np.testing.assert_array_equal(evaluation.recall, recall)


sets = dict(annotated=st.lists(annotations, min_size=1, max_size=5),
            predicted=st.lists(predictions, min_size=2, max_size=7))


@settings(max_examples=25, deadline=None)
@given(**sets, order=st.randoms(use_true_random=False))
def test_order_of_results_matters_only_among_equal_scores(annotated, predicted, order):
    truth, results = build(annotated, predicted)
    before = evaluate(truth, results)
    stable = sorted(results, key=lambda entry: entry['score'])  # equal scores keep their order, all else is reversed
    np.testing.assert_array_equal(evaluate(truth, stable).precision, before.precision)
    distinct = [dict(entry, score=0.01 * i) for i, entry in enumerate(results)]
    mixed = list(distinct)
    order.shuffle(mixed)
    np.testing.assert_array_equal(evaluate(truth, mixed).precision, evaluate(truth, distinct).precision)


@settings(max_examples=25, deadline=None)
@given(**sets)
def test_no_mask_and_an_empty_mask_are_the_same(annotated, predicted):
    truth, results = build(annotated, predicted)
    emptied = copy.deepcopy(results)
    for entry in emptied:
        entry['segmentations'] = [rle or to_rle(0) for rle in entry['segmentations']]
    np.testing.assert_array_equal(evaluate(truth, emptied).precision, evaluate(truth, results).precision)


@settings(max_examples=25, deadline=None)
@given(**sets)
def test_resolution_does_not_matter_as_long_as_it_is_the_same(annotated, predicted):
    truth, results = build(annotated, predicted)
    before = evaluate(truth, results)
    for video in truth['videos']:
        video.update(height=2 * H, width=2 * W)
    for entry in [*truth['annotations'], *results]:
        entry['segmentations'] = [rle and grow(rle) for rle in entry['segmentations']]
    np.testing.assert_array_equal(evaluate(truth, results).precision[..., 0, :], before.precision[..., 0, :])
    shrunk = build(annotated, predicted)[1]
    for entry in shrunk:  # at another resolution than the annotations there is no overlap at all
        entry['segmentations'] = [rle or to_rle(0) for rle in entry['segmentations']]
    assert evaluate(truth, shrunk).stats['AP'] <= 0


def grow(rle):
    return encode_mask(np.kron(decode_rle(rle), np.ones((2, 2), np.uint8)))


@settings(max_examples=25, deadline=None)
@given(**sets)
def test_only_the_order_of_scores_counts(annotated, predicted):
    truth, results = build(annotated, predicted)
    before = evaluate(truth, results)
    for entry in results:
        entry['score'] = 100 * entry['score'] - 50
    np.testing.assert_array_equal(evaluate(truth, results).precision, before.precision)
