"""Every kind of error by hand, and what mending it brings."""
import json

import numpy as np
import pytest

from mmvis.evaluation import Evaluator
from mmvis.structures import encode_mask


def box(x, y, w, h):
    mask = np.zeros((20, 20), np.uint8)
    mask[y:y + h, x:x + w] = 1
    return encode_mask(mask)


THING = [box(0, 0, 10, 10)] * 4
OTHER = [box(10, 10, 10, 10)] * 4
FAR = [box(10, 0, 4, 4)] * 4


def breakdown(folder, annotated, results):
    """Counts and gains of entries (category, masks), scores falling."""
    gt = dict(videos=[dict(id=1, height=20, width=20, length=4, file_names=['v/0.jpg'] * 4)],
              categories=[dict(id=c, name=f'c{c}') for c in (1, 2)],
              annotations=[
                  dict(id=i + 1, video_id=1, category_id=category, iscrowd=0, areas=[100] * 4, segmentations=masks)
                  for i, (category, masks) in enumerate(annotated)
              ])
    results = [dict(video_id=1, category_id=category, score=1 - 0.1 * i, segmentations=masks)
               for i, (category, masks) in enumerate(results)]
    (folder / 'gt.json').write_text(json.dumps(gt))
    errors = Evaluator(results, folder / 'gt.json').errors()
    return {name: count for name, count in errors.counts.items() if count}, errors


@pytest.mark.parametrize('kind, result', [
    ('class', (2, THING)),
    ('spatial', (1, [box(0, 0, 10, 4)] * 4)),                       # IoU 0.4 in every frame
    ('temporal', (1, [THING[0], None, None, None])),                # IoU 1 in a quarter of the frames
    ('temporal', (1, [THING[0], *FAR[:3]])),                        # goes astray after the first frame
    ('both', (2, [box(0, 0, 10, 4)] * 4)),
    ('background', (1, FAR)),
    ('background', (1, [None] * 4))])
def test_one_wrong_result(kind, result, tmp_path):
    counts, errors = breakdown(tmp_path, [(1, THING)], [result])
    missed = {'missed': 1} if kind in ('both', 'background') else {}
    assert counts == {kind: 1, **missed}
    assert errors.ap50 == 0
    # Mending class, space or time makes it right; what is nowhere near leaves the track to be found.
    assert errors.gains[kind] == pytest.approx(0 if missed else 1)
    assert errors.table().splitlines()[0].split() == ['error', 'tracks', 'AP50']


def test_duplicate_and_false_positive_before_the_right_one(tmp_path):
    counts, errors = breakdown(tmp_path, [(1, THING), (1, OTHER)], [(1, THING), (1, THING), (1, FAR), (1, OTHER)])
    assert counts == {'duplicate': 1, 'background': 1}
    assert errors.gains['duplicate'] > 0 and errors.gains['background'] > 0
    assert errors.per_video == {1: errors.counts}


def test_missed_track(tmp_path):
    counts, errors = breakdown(tmp_path, [(1, THING), (1, OTHER)], [(1, THING)])
    assert counts == {'missed': 1}
    assert errors.ap50 + errors.gains['missed'] == pytest.approx(1)


def test_where_nothing_is_left_to_be_found_there_is_no_gain(tmp_path):
    counts, errors = breakdown(tmp_path, [(1, THING)], [(1, FAR)])
    assert counts == {'background': 1, 'missed': 1} and errors.ap50 == 0
    assert errors.gains['missed'] is None and errors.gains['background'] == errors.gains['class'] == 0
    rows = {line.split()[0]: line.split()[1:3] for line in errors.table().splitlines()}
    assert rows['missed'] == ['1', '-'] and rows['background'] == ['1', '+0.000']


def test_only_one_of_two_poor_results_can_be_mended(tmp_path):
    poor = [box(0, 0, 10, 4)] * 4
    counts, errors = breakdown(tmp_path, [(1, THING)], [(1, poor), (1, poor)])
    assert counts == {'spatial': 2}
    assert errors.gains['spatial'] == pytest.approx(1)  # the other is taken away


def test_ap50_is_that_of_the_evaluation(eval_set):
    gt, results = eval_set('mid20')
    evaluator = Evaluator(results, gt)
    errors = evaluator.errors()
    assert errors.ap50 == pytest.approx(evaluator.evaluate().stats['AP50'], abs=1e-12)
    assert min(errors.gains.values()) >= 0
