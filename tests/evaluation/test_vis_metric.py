"""The metric gives the numbers of the evaluator, video by video."""
import json
from pathlib import Path

import pytest
from mmengine.config import Config

import mmvis.evaluation.vis_metric as vis_metric
from mmvis.evaluation import Evaluator, Rules, VISMetric, evaluate_results
from mmvis.evaluation.subsets import evaluate_short_long, find_long
from mmvis.registry import METRICS
from mmvis.structures import VideoResult, VideoTrack


@pytest.fixture()
def case(tmp_path, eval_set):
    data = dict(zip(('gt', 'results'), (json.loads(file.read_text()) for file in eval_set('mid20'))))
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


def test_only_the_classes_of_the_dataset_count(case):
    data, meta, videos = case
    chosen = dict(meta, category_ids=meta['category_ids'][:5], classes=meta['classes'][:5])
    metric = make_metric(chosen)
    for video in videos:
        metric.process(None, [VideoResult(video.video_id, video.num_frames, [t for t in video.tracks if t.label < 5])])
    per_category = evaluate_results(data['results'], meta['ann_file']).per_category
    expected = [ap for name, ap in per_category.items() if name in chosen['classes'] and ap > -1]
    assert metric.evaluate(len(videos))['vis/segm_AP'] == pytest.approx(sum(expected) / len(expected), abs=1e-12)


def test_rules_of_ovis(eval_set):
    gt, results = eval_set('ovis_small')
    data = json.loads(gt.read_text())
    metric = VISMetric(benchmark='ovis')
    metric.dataset_meta = dict(ann_file=str(gt), has_annotations=True, category_ids=tuple(range(1, 9)),
                               classes=tuple(f'c{i:02d}' for i in range(1, 9)))
    entries = json.loads(results.read_text())
    for video in data['videos']:
        own = [entry for entry in entries if entry['video_id'] == video['id']]
        tracks = [VideoTrack(i, entry['category_id'] - 1, entry['score'],
                             {t: rle for t, rle in enumerate(entry['segmentations']) if rle})
                  for i, entry in enumerate(own)]
        metric.process(None, [VideoResult(video['id'], video['length'], tracks)])
    expected = evaluate_results(results, gt, Rules('ovis')).stats
    assert metric.evaluate(8) == {f'vis/segm_{name}': value for name, value in expected.items()}


def test_short_and_long_videos_apart(case):
    data, meta, videos = case
    lengths = sorted(video.num_frames for video in videos)
    metric = VISMetric(long_frames=lengths[len(lengths) // 2])
    metric.dataset_meta = meta
    metric.process(None, videos)
    evaluator = Evaluator(data['results'], meta['ann_file'])
    parts = evaluate_short_long(evaluator, find_long(evaluator.truth, frames=metric.long_frames))
    expected = {'': evaluator.evaluate().stats, 'short_': parts.short.stats, 'long_': parts.long.stats,
                'mean_': parts.mean}
    assert metric.evaluate(len(videos)) == {f'vis/{part}segm_{name}': value for part, stats in expected.items()
                                            for name, value in stats.items()}


@pytest.mark.parametrize('name, benchmark', [('ovis', 'ovis'), ('ytvis2019', 'ytvis'), ('ytvis2022', 'ytvis')])
def test_the_sets_are_measured_by_their_own_rules(name, benchmark):
    cfg = Config.fromfile(Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / f'{name}.py')
    assert METRICS.build(cfg.val_evaluator).rules == METRICS.build(cfg.test_evaluator).rules == Rules(benchmark)
