"""The benchmark of the evaluator runs, and finds the numbers of mmdet's copy of the official code; its seconds are no
test."""
import importlib
import re
from pathlib import Path

import pytest
from helpers.eval_sets import write_set


@pytest.fixture()
def tool(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / 'tools'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return importlib.import_module('benchmark_evaluation')


@pytest.mark.parametrize('name', ['tiny', 'mid20', 'longshort'])
def test_a_row(name, tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(tool.OFFICIAL, name, 1.0)
    tool.print_row(name, *tool.measure(write_set(name, tmp_path), rounds=1))
    assert re.fullmatch(rf'\| {name} \| \d+ \| 1.00( \| [\d.]+( \([\d.]+ x\))?){{5}} \|\n', capsys.readouterr().out)


def test_another_number_is_noticed(tool, tmp_path):
    gt, results = write_set('tiny', tmp_path)
    peer = tool.evaluate_with_mmdet(gt, results)
    peer.eval['recall'][0, 0, 0, 2] += 1e-15
    with pytest.raises(AssertionError, match='recall differs'):
        tool.check_equal(tool.evaluate_results(results, gt), peer)
