"""AP of single images: pycocotools' numbers of results files and of the metric of the loops."""
import json

import numpy as np
import pytest
from helpers.tiny_coco import write_coco
from mmengine.registry import init_default_scope

from mmvis.errors import InputError
from mmvis.evaluation import COCOMetric, evaluate_image_results, image_table
from mmvis.registry import METRICS
from mmvis.structures import VideoResult, encode_mask
from mmvis.structures.video_result import VideoTrack

META = dict(category_ids=(1, 74, 62, 9), has_annotations=True)


def square(place, shift=0):
    mask = np.zeros((40, 60), np.uint8)
    mask[6 + shift:16 + shift, 4 + 12 * place:14 + 12 * place] = 1
    return encode_mask(mask)


def results(shift=0):
    """All that is no crowd in the images of ``write_coco``, moved down."""
    found = [(139, 0, 0), (139, 1, 1), (139, 2, 2), (285, 3, 0), (632, 2, 0)]           # image, label, place
    return {image: VideoResult(image, 1, [VideoTrack(k, label, 0.9 - 0.1 * k, {0: square(place, shift)})
                                          for k, (other, label, place) in enumerate(found) if other == image])
            for image in (139, 285, 632)}


def entries(shift=0):
    return [dict(video_id=result.video_id, category_id=META['category_ids'][track.label], score=track.score,
                 segmentations=[track.masks[0]]) for result in results(shift).values() for track in result.tracks]


def test_what_is_right_has_ap_1_and_what_is_moved_less(tmp_path):
    ann_file = str(write_coco(tmp_path))
    stats = evaluate_image_results(entries(), ann_file)
    assert list(stats)[:6] == ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl']
    assert (stats['AP'], stats['AR100'], stats['APs'], stats['APm']) == (1, 1, 1, -1)
    moved = evaluate_image_results(entries(shift=2), ann_file)             # IoU 80 / 120
    assert moved['AP50'] == 1 and moved['AP75'] == 0 and moved['AP'] == pytest.approx(0.4)
    assert image_table(moved).splitlines()[0] == 'AP     0.400  IoU 0.50:0.95'


def test_nothing_found_is_missed(tmp_path, capsys):
    ann_file = str(write_coco(tmp_path))
    stats = evaluate_image_results([dict(entries()[0], segmentations=[None])], ann_file)
    assert stats['AP'] == stats['AR100'] == 0 and not capsys.readouterr().out


def test_the_metric_of_the_loops_has_the_same_numbers(tmp_path):
    ann_file = str(write_coco(tmp_path))
    init_default_scope('mmvis')
    metric = METRICS.build(dict(type='COCOMetric'))
    assert isinstance(metric, COCOMetric)
    metric.dataset_meta = dict(META, ann_file=ann_file)
    for result in results(shift=2).values():
        metric.process(None, [result])
    numbers = metric.evaluate(4)
    (tmp_path / 'results.json').write_text(json.dumps(entries(shift=2)))
    stats = evaluate_image_results(tmp_path / 'results.json', ann_file)
    assert numbers == {f'coco/segm_{name}': value for name, value in stats.items()}
    assert metric.evaluate(4)['coco/segm_AP'] == 0                                       # and begins anew
    metric.dataset_meta['has_annotations'] = False
    assert metric.evaluate(4) == {}


@pytest.mark.parametrize('change, said', [
    (dict(video_id=5), 'entry 0: video_id 5 is not in'), (dict(score='high'), 'entry 0: score'),
    (dict(segmentations=[]), 'image 139, category 1: segmentations has 0 frames'),
    (dict(segmentations=[square(0)] * 2), 'segmentations has 2 frames'),
    (dict(segmentations=[dict(size=[4, 4], counts='a')]), 'category 1, frame 0: counts of segmentations')])
def test_results_that_are_none(tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        evaluate_image_results([{**entries()[0], **change}], str(write_coco(tmp_path)))
