"""The metric gives the numbers of the evaluator, video by video."""
import gzip
import json
from pathlib import Path

import pytest

import mmvis.evaluation.vis_metric as vis_metric
from mmvis.evaluation import VISMetric, evaluate_results
from mmvis.structures import VideoResult, VideoTrack

GOLDEN = Path(__file__).parents[1] / 'golden' / 'eval'


@pytest.fixture()
def case(tmp_path):
    data = json.loads(gzip.decompress((GOLDEN / 'mid20.json.gz').read_bytes()))
    (tmp_path / 'gt.json').write_text(json.dumps(data['gt']))
    category_ids = [category['id'] for category in data['gt']['categories']]
    videos = []
    for video in data['gt']['videos']:
        entries = [r for r in data['results'] if r['video_id'] == video['id'] and r['category_id'] in category_ids]
        tracks = [VideoTrack(i, category_ids.index(entry['category_id']), entry['score'],
                             {t: rle for t, rle in enumerate(entry['segmentations']) if rle})
                  for i, entry in enumerate(entries)]
        videos.append(VideoResult(video['id'], video['length'], tracks))
    meta = dict(ann_file=str(tmp_path / 'gt.json'), has_annotations=True, category_ids=tuple(category_ids),
                classes=tuple(category['name'] for category in data['gt']['categories']))
    return data, meta, videos


def make_metric(meta):
    metric = VISMetric()
    metric.dataset_meta = meta
    return metric


def test_metric_equals_evaluator(case):
    data, meta, videos = case
    metric = make_metric(meta)
    for video in reversed(videos):
        metric.process(None, [video])
    expected = evaluate_results(data['results'], meta['ann_file']).stats
    assert metric.evaluate(len(videos)) == {f'vis/segm_{name}': value for name, value in expected.items()}
    assert not metric.results


def test_unequal_shares_of_two_processes_are_all_counted(case, monkeypatch):
    """17 videos of one process and 3 of another, as all_gather_object hands them over."""
    _, meta, videos = case
    alone, first, second = (make_metric(meta) for _ in range(3))
    alone.process(None, videos)
    first.process(None, videos[:17])
    second.process(None, videos[17:])
    expected = alone.evaluate(len(videos))
    monkeypatch.setattr(vis_metric, 'all_gather_object', lambda own: [list(own), list(second.results)])
    assert first.evaluate(len(videos)) == expected


def test_only_videos_that_were_run_count(case):
    data, meta, videos = case
    metric = make_metric(meta)
    metric.process(None, videos[:5])
    data['gt']['videos'] = data['gt']['videos'][:5]
    ids = {video['id'] for video in data['gt']['videos']}
    for key, source in (('annotations', data['gt']), ('results', data)):
        source[key] = [entry for entry in source[key] if entry['video_id'] in ids]
    part = Path(meta['ann_file']).with_name('part.json')
    part.write_text(json.dumps(data['gt']))
    assert metric.evaluate(5)['vis/segm_AP'] == evaluate_results(data['results'], part).stats['AP']


def test_without_annotations_nothing_is_measured(case):
    _, meta, videos = case
    metric = make_metric(dict(meta, has_annotations=False))
    metric.process(None, videos)
    assert metric.evaluate(len(videos)) == {}


def test_unknown_video_is_named(case):
    _, meta, videos = case
    with pytest.raises(ValueError, match="video 'street' is not in"):
        make_metric(meta).process(None, [VideoResult('street', 1, [])])
