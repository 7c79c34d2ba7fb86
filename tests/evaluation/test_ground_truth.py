"""The annotation file: forms of masks, and the copy kept on disk."""
import json
import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvis.annotations import kept as kept_copies
from mmvis.evaluation import evaluate_results, load_ground_truth
from mmvis.structures.array_cache import cache_folder


def truth_of(segmentation, folder):
    gt = dict(videos=[dict(id=1, height=8, width=10, length=2, file_names=['v/0.jpg', 'v/1.jpg'])],
              categories=[dict(id=5, name='a'), dict(id=2, name='a')],
              annotations=[
                  dict(id=1, video_id=1, category_id=5, iscrowd=0, areas=[9, None], segmentations=[segmentation, None])
              ])
    (folder / 'gt.json').write_text(json.dumps(gt))
    return load_ground_truth(folder / 'gt.json')


def test_all_forms_of_masks_are_read_alike(tmp_path):
    runs = dict(size=[8, 10], counts=[8, 4, 4, 4, 60])
    text = dict(size=[8, 10], counts=coco_mask.frPyObjects(runs, 8, 10)['counts'].decode())
    for form in (runs, text, [[1, 0, 3, 0, 3, 4, 1, 4]]):
        truth = truth_of(form, tmp_path)
        np.testing.assert_array_equal(truth.masks.spans, [[8, 12], [16, 20]])
        np.testing.assert_array_equal(truth.masks.pixels, [8, 0])
    assert truth.category_ids == [2, 5] and truth.names == ['a (2)', 'a (5)']
    sentence = 'annotation 1: frame 0: counts of segmentations cover 12 pixels, but size 8 x 10 has 80'
    with pytest.raises(ValueError, match=sentence):
        truth_of(dict(size=[8, 10], counts=[8, 4]), tmp_path)


@pytest.fixture
def kept(monkeypatch):
    """Also small files are kept; says which were read."""
    read = []
    original = kept_copies.parse_json
    monkeypatch.setattr(kept_copies, 'MIN_CACHED_BYTES', 0)
    monkeypatch.setattr(kept_copies, 'parse_json', lambda data, path: read.append(path) or original(data, path))
    return read


def kept_files():
    return [Path(cache_folder(), name) for name in os.listdir(cache_folder()) if name.startswith('truth')]


def test_the_second_run_reads_the_copy(eval_set, kept, tmp_path):
    gt, results = eval_set('mid20')
    copy = tmp_path / 'gt.json'
    copy.write_bytes(gt.read_bytes())
    before = evaluate_results(results, copy)
    after = evaluate_results(results, copy)
    assert len(kept) == 1
    np.testing.assert_array_equal(before.precision, after.precision)
    for video, other in zip(load_ground_truth(gt).videos.values(), load_ground_truth(copy).videos.values()):
        assert (video.video_id, video.name, video.track_ids) == (other.video_id, other.name, other.track_ids)
    changed = json.loads(gt.read_text())
    changed['annotations'] = changed['annotations'][:5]
    copy.write_text(json.dumps(changed))
    kept.clear()
    assert len(load_ground_truth(copy).masks) == 5 and kept


@pytest.mark.parametrize('damage', [b'', b'MMVISARR', b'x' * 5000])
def test_a_damaged_copy_is_made_anew(damage, eval_set, kept):
    gt, results = eval_set('ovis_small')
    before = evaluate_results(results, gt).stats
    for file in kept_files():
        file.write_bytes(damage)
    kept.clear()
    assert evaluate_results(results, gt).stats == before and kept


def test_nothing_is_kept_where_nothing_can_be_written(eval_set, kept, monkeypatch):
    gt, results = eval_set('tiny')

    def full(*_):
        raise OSError('no space left')

    monkeypatch.setattr(kept_copies, 'save_arrays', full)
    assert evaluate_results(results, gt).stats['AP50'] == 1.0
    monkeypatch.setattr(kept_copies, 'cache_folder', lambda: None)
    assert evaluate_results(results, gt).stats['AP50'] == 1.0
