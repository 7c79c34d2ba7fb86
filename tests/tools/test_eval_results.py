"""tools/eval_results.py: the table, the files and the report."""
import csv
import importlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.eval_sets import write_set

from mmvis.engine import run_tool
from mmvis.evaluation import Rules, evaluate_results

ROOT = Path(__file__).parents[2]


def run(python, *arguments):
    command = [python, str(ROOT / 'tools' / 'eval_results.py'), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope='module')
def everything(python, tmp_path_factory):
    """One run with all options, on a set with a category and a video whose names must be escaped in HTML."""
    folder = tmp_path_factory.mktemp('everything')
    gt, results = write_set('ovis_small', folder)
    content = json.loads(gt.read_text())
    content['categories'][0]['name'] = '<b>cat & dog</b>'
    gt.write_text(json.dumps(content))
    done = run(python, results, gt, '--benchmark', 'ovis', '--tracking', '--errors', '--per-video', '--long-frames', 40,
               '--single-frames', '--oracle-identity', '--workers', 2, '--json', folder / 'x.json', '--csv', folder / 'x.csv',
               '--html', folder / 'x.html')
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, evaluate_results(results, gt, Rules('ovis'))


def test_table(everything):
    _, printed, evaluation = everything
    assert printed.startswith(evaluation.table())
    for word in ('heavily occluded', '1 of the 8 categories are not annotated', 'Short and long videos', 'AP by video',
                 'HOTA', 'temporal', 'single frames', 'oracle identity'):
        assert word in printed


def test_json(everything):
    folder, _, evaluation = everything
    numbers = json.loads((folder / 'x.json').read_text())
    assert numbers['names'] == list(evaluation.stats) and numbers['stats'] == list(evaluation.stats.values())
    assert len(numbers['stats']) == 18
    assert numbers['per_category'] == {name: ap if ap > -1 else None for name, ap in evaluation.per_category.items()}
    assert numbers['per_category']['c05'] is None
    assert len(numbers['per_video']) == 8 and numbers['tracking']['class_averaged']['HOTA'] > 0
    assert numbers['mean']['stats'][0] == (numbers['short']['stats'][0] + numbers['long']['stats'][0]) / 2
    for name in ('single_frames', 'oracle_identity'):
        assert numbers[name]['names'] == numbers['names'] and numbers[name]['stats'][0] > 0
    errors = numbers['errors']
    assert sum(errors['counts'].values()) == sum(sum(counts.values()) for counts in errors['per_video'].values())


def test_csv_has_the_same_numbers(everything):
    folder, _, evaluation = everything
    with open(folder / 'x.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    stats = {row['metric']: float(row['value']) for row in rows if row['part'] == 'all'}
    assert stats == evaluation.stats
    by_category = {row['name']: row['value'] for row in rows if row['part'] == 'category' and row['metric'] == 'AP'}
    assert float(by_category['<b>cat & dog</b>']) == evaluation.per_category['<b>cat & dog</b>']
    assert by_category['c05'] == ''
    numbers = json.loads((folder / 'x.json').read_text())
    for name in ('single_frames', 'oracle_identity'):
        assert [float(row['value']) for row in rows if row['part'] == name] == numbers[name]['stats']


class Page(HTMLParser):
    """Counts elements, collects texts, and sees that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.count, self.text, self.links = [], {}, '', []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.links += [value for name, value in attributes if name in ('src', 'href', 'xlink:href')]
        if tag not in ('meta', 'br'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_report_is_whole_and_needs_nothing_else(everything):
    folder, _, evaluation = everything
    text = (folder / 'x.html').read_text(encoding='utf-8')
    page = Page(text)
    assert not page.open and not page.links
    assert 'script' not in page.count and not re.search(r'url\(|@import|https?://', text)
    assert '<b>cat & dog</b>' in page.text  # as text, not as an element
    assert page.count['b'] == 10                                # the tiles
    assert page.count['polyline'] == 5 + 3 * 7                  # mean over categories, and three a category
    assert f'{evaluation.stats["AP"]:.3f}' in page.text and 'identity switches' in page.text


@pytest.mark.parametrize('arguments, words', [
    (['none.json', 'none.json'], 'none.json: there is no such file'),
    (['{results}', '{gt}', '--json', '{gt}/x.json'], 'is not a folder'),
    (['{results}', '{gt}', '--html', '{gt}'], 'is an input of this run'),
    (['{results}', '{gt}', '--json', '{results}.x', '--html', '{results}.x'], 'given for two outputs'),
    (['{results}', '{gt}', '--benchmark', 'ovis'], 'occlusion must be a list'),
    (['{results}', '{gt}', '--benchmark', 'coco'], 'invalid choice'),
    (['{results}', '{gt}', '--long-frames', '9'], 'all 2 videos are short')])
def test_mistakes_cost_one_sentence(arguments, words, tmp_path, monkeypatch, capsys):
    gt, results = write_set('tiny', tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    tool = importlib.import_module('eval_results')
    arguments = [argument.format(gt=gt, results=results) for argument in arguments]
    monkeypatch.setattr(sys, 'argv', ['eval_results.py', *arguments])
    with pytest.raises(SystemExit) as stopped:
        run_tool(tool.main)
    assert stopped.value.code == 1 and words in capsys.readouterr().err
    assert not list(tmp_path.glob('*.tmp'))


@pytest.fixture
def in_two(tmp_path):
    """A set whole, and in two files as that of YouTube-VIS 2022: (whole, short, long, results)."""
    whole, results = write_set('ovis_small', tmp_path)
    content = json.loads(whole.read_text())
    long_ids = {video['id'] for video in content['videos'][::3]}
    for name, is_long in (('gt_short', False), ('gt_long', True)):
        part = dict(content, videos=[video for video in content['videos'] if (video['id'] in long_ids) == is_long],
                    annotations=[a for a in content['annotations'] if (a['video_id'] in long_ids) == is_long])
        (tmp_path / f'{name}.json').write_text(json.dumps(part))
    return whole, tmp_path / 'gt_short.json', tmp_path / 'gt_long.json', results


def run_here(monkeypatch, *arguments):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    monkeypatch.setattr(sys, 'argv', ['eval_results.py', *map(str, arguments)])
    importlib.import_module('eval_results').main()


def test_annotations_in_two_files_are_one_set(in_two, monkeypatch, capsys):
    whole, short, long, results = in_two
    printed = []
    for files in ([whole], [short, long], [long, short]):
        run_here(monkeypatch, results, *files, '--long-ids', long, '--per-video', '--tracking', '--errors',
                 '--single-frames', '--oracle-identity')
        printed.append(capsys.readouterr().out)
    assert 'Short and long videos' in printed[0] and printed[0] == printed[1] == printed[2]


def test_the_public_annotations_of_ovis(in_two, monkeypatch, capsys, tmp_path):
    whole, _, _, results = in_two
    run_here(monkeypatch, results, whole.rename(tmp_path / 'validGT.json'), '--benchmark', 'ovis')
    assert 'heavily occluded' in capsys.readouterr().out


@pytest.mark.parametrize('change, said', [
    (lambda content: content['categories'][0].update(name='x'), 'gt_long.json and .*gt_short.json have different categories'),
    (lambda content: content, 'video id .* stands in another of the annotation files')])
def test_annotations_that_are_not_one_set_are_told(in_two, change, said, monkeypatch):
    whole, short, long, results = in_two
    content = json.loads(long.read_text())
    other = whole if change(content) else long
    long.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=said):
        run_here(monkeypatch, results, short, other)
